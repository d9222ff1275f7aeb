"""Time mbrl-lib's MBPO (PyPI mbrl==0.2.0) on one task: env steps per second once learning has begun.

usage: mbrl_mbpo.py TASK EXPLORATION_STEPS LEARNING_STEPS UPDATES_PER_STEP [SAC_HIDDEN [WORK_DIR]]
Same work as a `mbpo` run: 7 members of 4x200, 400 model rollouts per env step, model refit every 250 steps,
batch 256, SAC 2x256. Prints one JSON line.
"""
import json
import sys
import tempfile
import time
import warnings

warnings.filterwarnings("ignore")
import gymnasium as gym
import numpy as np
import torch
from omegaconf import OmegaConf

import mbrl.algorithms.mbpo as mbpo
import mbrl.env.termination_fns as term

task, explore, learn, utd = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
hidden = int(sys.argv[5]) if len(sys.argv) > 5 else 256
torch.set_num_threads(2)
TERM = {"HalfCheetah": term.no_termination, "Hopper": term.hopper, "Walker2d": term.walker2d,
        "InvertedPendulum": term.inverted_pendulum}
cfg = OmegaConf.create(f"""
seed: 0
device: cpu
debug_mode: false
log_frequency_agent: 1000000
save_video: false
algorithm:
  name: mbpo
  normalize: true
  normalize_double_precision: true
  target_is_delta: true
  learned_rewards: true
  freq_train_model: 250
  real_data_ratio: 0.0
  sac_samples_action: true
  initial_exploration_steps: {explore}
  random_initial_explore: true
  num_eval_episodes: 1
  agent:
    _target_: mbrl.third_party.pytorch_sac_pranz24.sac.SAC
    num_inputs: ???
    action_space:
      _target_: gymnasium.spaces.Box
      low: ???
      high: ???
      shape: ???
    args: {{gamma: 0.99, tau: 0.005, alpha: 0.2, policy: Gaussian, target_update_interval: 1,
            automatic_entropy_tuning: true, target_entropy: -1, hidden_size: {hidden}, device: cpu, lr: 0.0003}}
dynamics_model:
  _target_: mbrl.models.GaussianMLP
  device: cpu
  num_layers: 4
  in_size: ???
  out_size: ???
  ensemble_size: 7
  hid_size: 200
  deterministic: false
  propagation_method: random_model
  learn_logvar_bounds: false
  activation_fn_cfg: {{_target_: torch.nn.SiLU}}
overrides:
  num_steps: {learn}
  epoch_length: 1000000
  num_elites: 5
  patience: 5
  model_lr: 0.001
  model_wd: 0.00005
  model_batch_size: 256
  validation_ratio: 0.2
  freq_train_model: 250
  effective_model_rollouts_per_step: 400
  rollout_schedule: [1, 15, 1, 1]
  num_sac_updates_per_step: {utd}
  sac_updates_every_steps: 1
  num_epochs_to_retain_sac_buffer: 1
  sac_batch_size: 256
  learned_rewards: true
""")
# epoch_length also sets model-buffer capacity; keep the published 1000.
cfg.overrides.epoch_length = 1000
build = mbpo.hydra.utils.instantiate


def instantiate(node, *args, **kwargs):
    if str(node.get("_target_", "")).endswith(".SAC"):  # its list bounds are refused by today's gymnasium
        a = node.args
        return mbpo.pytorch_sac_pranz24.SAC(env.observation_space.shape[0], env.action_space, a)
    return build(node, *args, _recursive_=False, **kwargs)


mbpo.hydra.utils.instantiate = instantiate
env, test = gym.make(task), gym.make(task)
env.reset(seed=0)
test.reset(seed=1)
start, spent = {}, {"model_fit_s": 0.0, "rollout_s": 0.0, "sac_s": 0.0}


def timed(name, function):
    def call(*args, **kwargs):
        t = time.time()
        start.setdefault("t", t)
        result = function(*args, **kwargs)
        spent[name] += time.time() - t
        return result
    return call


common = mbpo.mbrl.util.common
common.train_model_and_save_model_and_data = timed("model_fit_s", common.train_model_and_save_model_and_data)
mbpo.rollout_model_and_populate_sac_buffer = timed("rollout_s", mbpo.rollout_model_and_populate_sac_buffer)
SAC = mbpo.pytorch_sac_pranz24.SAC
SAC.update_parameters = timed("sac_s", SAC.update_parameters)
mbpo.VideoRecorder.save = lambda *a, **k: None
mbpo.VideoRecorder.init = lambda *a, **k: None
mbpo.evaluate = lambda *a, **k: np.float32(0)
mbpo.train(env, test, TERM[task.split("-")[0]], cfg, silent=True, work_dir=sys.argv[6] if len(sys.argv) > 6 else tempfile.mkdtemp())
seconds = time.time() - start["t"]
print(json.dumps({"peer": "mbrl-lib 0.2.0", "task": task, "updates_per_step": utd, "learning_steps": learn,
                  "seconds": round(seconds, 2), "env_steps_per_s": round(learn / seconds, 3),
                  "updates_per_s": round(learn * utd / seconds, 1),
                  **{k: round(v, 2) for k, v in spent.items()}}))
