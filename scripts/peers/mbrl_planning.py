"""Time decisions of mbrl-lib's PETS agent on CPU (CEM, 5 members of 4x200, 18 observations, 6 actions), 2 threads.

usage: mbrl_planning.py     Prints one JSON line per propagation and size: imagined rows per second of whole decisions.
The same work as bench/planning.cc: horizon 30, 5 iterations, a tenth of the population elites, HalfCheetah's reward.
"""
import json
import time
import types
import warnings

warnings.filterwarnings("ignore")
import gymnasium as gym
import numpy as np
import torch
from omegaconf import OmegaConf

import mbrl.planning
from mbrl.env import reward_fns, termination_fns
from mbrl.models import GaussianMLP, ModelEnv, OneDTransitionRewardModel

OBS, ACT, HORIZON, ITERATIONS = 18, 6, 30, 5
SECONDS = 2  # at least, of each

torch.set_num_threads(2)
spaces = types.SimpleNamespace(observation_space=gym.spaces.Box(-np.inf, np.inf, (OBS,)),
                               action_space=gym.spaces.Box(-1, 1, (ACT,)))
for kind, method in (("tsinf", "fixed_model"), ("ts1", "random_model")):
    net = GaussianMLP(OBS + ACT, OBS, "cpu", num_layers=4, ensemble_size=5, hid_size=200, propagation_method=method,
                      activation_fn_cfg={"_target_": "torch.nn.SiLU"})
    model = OneDTransitionRewardModel(net, target_is_delta=True, normalize=True, learned_rewards=False)
    env = ModelEnv(spaces, model, termination_fns.no_termination, reward_fns.halfcheetah, torch.Generator().manual_seed(0))
    for population, particles in ((400, 20), (100, 5)):
        agent = mbrl.planning.create_trajectory_optim_agent_for_model(env, OmegaConf.create({
            "_target_": "mbrl.planning.TrajectoryOptimizerAgent", "_recursive_": False, "action_lb": "???", "action_ub": "???",
            "planning_horizon": HORIZON, "optimizer_cfg": {
                "_target_": "mbrl.planning.CEMOptimizer", "num_iterations": ITERATIONS, "elite_ratio": 0.1,
                "population_size": population, "alpha": 0.1, "device": "cpu", "lower_bound": "???",
                "upper_bound": "???", "return_mean_elites": True}}), particles)
        obs = np.zeros(OBS)
        env.evaluate_action_sequences(torch.zeros(population, 2, ACT), obs, particles)
        decisions, start = 0, time.perf_counter()
        while time.perf_counter() - start < SECONDS:
            agent.act(obs)
            decisions += 1
        seconds = time.perf_counter() - start
        print(json.dumps({"peer": "mbrl-lib 0.2.0", "propagation": kind, "population": population, "particles": particles,
                          "rows_per_s": round(decisions * population * particles * HORIZON * ITERATIONS / seconds),
                          "s_per_decision": round(seconds / decisions, 4)}))
