"""Holds what Reverie says of its environments against Gymnasium's own.

usage: gymnasium_facts.py DIR

DIR/facts.json: {env_id: {"options": {name: default}, "action_low", "action_high", "obs_dim", "dt", "time_limit"}};
DIR/ENV_ID.csv: states right after a reset, a row each. Prints what differs and exits with 1.
"""

import inspect
import json
import math
import pathlib
import sys

import gymnasium
import numpy as np
from scipy import stats

# Rendering is none of our business, and no option of ours.
RENDERING = {"self", "kwargs", "render_mode", "default_camera_config"}

problems = []


def expect(condition, env_id, text):
    if not condition:
        problems.append(f"{env_id}: {text}")


def plain(value):
    """Numbers as floats, tuples as lists, infinities as text."""
    if isinstance(value, bool) or isinstance(value, str):
        return value
    if isinstance(value, (tuple, list)):
        return [plain(x) for x in value]
    if math.isinf(value):
        return ".inf" if value > 0 else "-.inf"
    return float(value)


def check_facts(env_id, env, facts):
    signature = inspect.signature(type(env.unwrapped).__init__)
    theirs = {n: plain(p.default) for n, p in signature.parameters.items() if n not in RENDERING}
    ours = {n: plain(v) for n, v in facts["options"].items()}
    if env_id == "Ant-v5":
        theirs["main_body"] = str(int(theirs["main_body"]))
    expect(ours == theirs, env_id, f"options {ours}, Gymnasium {theirs}")
    expect(np.array_equal(np.float32(facts["action_low"]), env.action_space.low), env_id, "action_low")
    expect(np.array_equal(np.float32(facts["action_high"]), env.action_space.high), env_id, "action_high")
    expect(facts["obs_dim"] == env.observation_space.shape[0], env_id, "obs_dim")
    expect(facts["dt"] == env.unwrapped.dt, env_id, f"dt {facts['dt']}, Gymnasium {env.unwrapped.dt}")
    expect(facts["time_limit"] == env.spec.max_episode_steps, env_id, "time_limit")


def state_of(env):
    if env.spec.id == "Pendulum-v1":
        return np.array(env.unwrapped.state)
    return np.concatenate([env.unwrapped.data.qpos, env.unwrapped.data.qvel])


def check_resets(env_id, env, ours):
    theirs = []
    for i in range(1500):
        env.reset(seed=1 if i == 0 else None)
        theirs.append(state_of(env))
    theirs = np.array(theirs)
    expect(ours.shape[1] == theirs.shape[1], env_id, f"{ours.shape[1]} numbers of state, Gymnasium {theirs.shape[1]}")
    drawn = []
    for i in range(theirs.shape[1]):
        if np.ptp(theirs[:, i]) == 0:
            expect(np.all(ours[:, i] == theirs[0, i]), env_id, f"state {i} is constant in Gymnasium")
            continue
        drawn.append(i)
        p = stats.ks_2samp(ours[:, i], theirs[:, i]).pvalue
        expect(p > 1e-5, env_id, f"state {i} is distributed otherwise: p {p:.2g}")
        # Uniform noise: no draw outside the interval, and some close to either end. Gymnasium's own extremes tell it
        # from normal noise, whose tails no interval holds.
        low, high = theirs[:, i].min(), theirs[:, i].max()
        width = high - low
        if stats.kstest((theirs[:, i] - low) / width, "uniform").pvalue > 1e-4:
            for end in (ours[:, i].min() - low, ours[:, i].max() - high):
                expect(abs(end) < 0.01 * width, env_id, f"state {i} reaches {end:.3g} beyond Gymnasium's range")
    if len(drawn) > 1:
        correlation = np.corrcoef(ours[:, drawn], rowvar=False) - np.eye(len(drawn))
        expect(np.abs(correlation).max() < 0.1, env_id, "two numbers of the state are drawn together")


def main():
    folder = pathlib.Path(sys.argv[1])
    for env_id, facts in json.loads((folder / "facts.json").read_text()).items():
        env = gymnasium.make(env_id, disable_env_checker=True)
        check_facts(env_id, env, facts)
        check_resets(env_id, env, np.loadtxt(folder / f"{env_id}.csv", delimiter=",", ndmin=2))
    print("\n".join(problems))
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
