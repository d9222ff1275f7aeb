"""Steps Gymnasium's own environments and writes what they did.

usage: gymnasium_trace.py ENV_ID OUT_DIR [STEPS]

For every option set and seed a folder OUT_DIR/CASE-SEED with sets.txt (a `reverie trace --set` argument a line),
state.csv, actions.csv and trace.csv in the format of `reverie trace`.
"""

import json
import math
import pathlib
import sys

import gymnasium
import numpy as np

OPTIONS = {
    "HalfCheetah-v5": [
        {},
        {"exclude_current_positions_from_observation": False, "forward_reward_weight": 2.5, "ctrl_cost_weight": 0.7},
        {"frame_skip": 2, "reset_noise_scale": 0.3},
    ],
    "Hopper-v5": [
        {},
        {"exclude_current_positions_from_observation": False, "healthy_reward": 0.25, "healthy_z_range": [1.0, 1.3],
         "healthy_angle_range": [-0.05, 0.1], "forward_reward_weight": 0.5, "ctrl_cost_weight": 0.1},
        {"terminate_when_unhealthy": False, "healthy_state_range": [-2.0, 3.0], "frame_skip": 7,
         "reset_noise_scale": 0.05, "max_episode_steps": 120},
    ],
    "Walker2d-v5": [
        {},
        {"xml_file": "walker2d.xml", "exclude_current_positions_from_observation": False, "healthy_reward": 3.0,
         "forward_reward_weight": 0.5, "ctrl_cost_weight": 0.1},
        {"terminate_when_unhealthy": False, "healthy_z_range": [1.1, math.inf], "healthy_angle_range": [-0.1, 0.2],
         "frame_skip": 3, "reset_noise_scale": 0.05},
    ],
    "Ant-v5": [
        {},
        {"include_cfrc_ext_in_observation": False, "contact_cost_weight": 0.01, "main_body": "aux_2",
         "healthy_reward": 0.5, "healthy_z_range": [0.4, 0.7], "ctrl_cost_weight": 0.1},
        {"exclude_current_positions_from_observation": False, "contact_force_range": [-0.3, 0.6], "main_body": 5,
         "frame_skip": 3, "terminate_when_unhealthy": False, "forward_reward_weight": 2.0, "reset_noise_scale": 0.3},
        {"include_cfrc_ext_in_observation": False, "contact_cost_weight": 0.0},
    ],
    "Humanoid-v5": [
        {},
        {"include_cinert_in_observation": False, "include_cvel_in_observation": False,
         "include_qfrc_actuator_in_observation": False, "include_cfrc_ext_in_observation": False,
         "contact_cost_weight": 1e-4, "contact_cost_range": [0.5, 2.0], "forward_reward_weight": 0.5},
        {"exclude_current_positions_from_observation": False, "include_cvel_in_observation": False, "frame_skip": 3,
         "healthy_z_range": [1.2, 1.39], "healthy_reward": 2.0, "ctrl_cost_weight": 0.3, "reset_noise_scale": 0.05},
        {"terminate_when_unhealthy": False, "contact_cost_weight": 0.0, "include_cfrc_ext_in_observation": False,
         "contact_cost_range": [0.25, 1.0]},
    ],
    "HumanoidStandup-v5": [
        {},
        {"include_cinert_in_observation": False, "include_qfrc_actuator_in_observation": False,
         "impact_cost_weight": 1e-4, "impact_cost_range": [0.5, 2.0], "uph_cost_weight": 3.0},
        {"exclude_current_positions_from_observation": False, "include_cvel_in_observation": False,
         "include_cfrc_ext_in_observation": False, "frame_skip": 3, "ctrl_cost_weight": 0.3,
         "reset_noise_scale": 0.05},
    ],
    "InvertedPendulum-v5": [{}, {"frame_skip": 5, "reset_noise_scale": 0.1}],
    "InvertedDoublePendulum-v5": [{}, {"frame_skip": 2, "healthy_reward": 3.0, "reset_noise_scale": 0.02}],
    "Reacher-v5": [{}, {"frame_skip": 5, "reward_dist_weight": 3.0, "reward_control_weight": 0.1}],
    "Swimmer-v5": [
        {},
        {"exclude_current_positions_from_observation": False, "forward_reward_weight": 2.0, "ctrl_cost_weight": 0.1,
         "frame_skip": 2, "reset_noise_scale": 0.3},
    ],
    "Pusher-v5": [
        {},
        {"xml_file": "pusher.xml", "frame_skip": 3, "reward_near_weight": 2.0, "reward_dist_weight": 0.3,
         "reward_control_weight": 0.7},
    ],
    "Pendulum-v1": [{}, {"g": 9.81}, {"max_episode_steps": 250}],  # longer than its own 200
}


def yaml(value):
    """A value as `--set` reads it."""
    if isinstance(value, list):
        return "[" + ", ".join(yaml(x) for x in value) + "]"
    if isinstance(value, float) and math.isinf(value):
        return ".inf" if value > 0 else "-.inf"
    return json.dumps(value)


def get_state(env):
    if env.spec.id == "Pendulum-v1":
        return np.array(env.state)
    return np.concatenate([env.data.qpos, env.data.qvel])


def set_state(env, state):
    if env.spec.id == "Pendulum-v1":
        env.state = state.copy()
    else:
        env.set_state(state[: env.model.nq], state[env.model.nq :])


def write_csv(path, rows):
    path.write_text("".join(",".join("%.17g" % x for x in row) + "\n" for row in rows))


def run_case(env_id, options, seed, steps, folder):
    folder.mkdir(parents=True)
    kwargs = {k: tuple(v) if isinstance(v, list) else v for k, v in options.items()}
    env = gymnasium.make(env_id, disable_env_checker=True, **kwargs)
    base = env.unwrapped
    rng = np.random.default_rng(seed)
    env.reset(seed=seed)
    state = get_state(base)
    if seed == 2:  # further from rest than any reset
        state = state + rng.normal(scale=0.1, size=state.shape)
    env.reset(seed=seed + 100)
    set_state(base, state)

    # A third of the actions lie outside the bounds: nothing may clip them but the simulation.
    low, high = env.action_space.low.astype(float), env.action_space.high.astype(float)
    actions = rng.uniform(1.25 * low, 1.25 * high, size=(steps, low.size))
    obs = base._get_obs()
    rows = [[0, *obs.astype(float), 0.0, 0, 0]]
    for i, action in enumerate(actions):
        _, reward, terminated, truncated, _ = env.step(action)
        rows.append([i + 1, *base._get_obs().astype(float), float(reward), int(terminated), int(truncated)])

    # An argument of gymnasium.make, not of the environment.
    section = {k: "env" if k == "max_episode_steps" else "env.options" for k in options}
    (folder / "sets.txt").write_text("".join(f"{section[k]}.{k}={yaml(v)}\n" for k, v in options.items()))
    write_csv(folder / "state.csv", [state])
    write_csv(folder / "actions.csv", actions)
    header = ",".join(["step", *(f"obs_{i}" for i in range(obs.size)), "reward", "terminated", "truncated"])
    write_csv(folder / "trace.csv", rows)
    text = (folder / "trace.csv").read_text()
    (folder / "trace.csv").write_text(header + "\n" + text)


def main():
    env_id, out = sys.argv[1], pathlib.Path(sys.argv[2])
    steps = int(sys.argv[3]) if len(sys.argv) > 3 else 300
    for case, options in enumerate(OPTIONS[env_id]):
        for seed in range(3):
            run_case(env_id, options, seed, steps, out / f"{case}-{seed}")


if __name__ == "__main__":
    main()
