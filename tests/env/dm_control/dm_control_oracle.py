"""Asks dm_control itself.

usage: dm_control_oracle.py trace DIR       steps every task of DIR/tasks.txt: for each DIR/DOMAIN-TASK/CASE/ with
                                            state.csv, actions.csv and trace.csv (observation, reward; a row a step)
       dm_control_oracle.py tolerance DIR   writes DIR/table.csv: the tolerance of many numbers
       dm_control_oracle.py facts DIR       holds DIR/facts.json and DIR/DOMAIN-TASK.csv (start states, a row each)
                                            against dm_control; prints what differs and exits with 1
"""

import itertools
import json
import math
import os
import pathlib
import sys

os.environ["MUJOCO_GL"] = "disabled"

import mujoco  # noqa: E402
import numpy as np  # noqa: E402
from dm_control.mujoco.wrapper.mjbindings import sizes  # noqa: E402

# dm_control 1.0.50 indexes some arrays of flexes that MuJoCo 4 has no more.
for struct, arrays in sizes.array_sizes.items():
    kind = {"mjmodel": mujoco.MjModel, "mjdata": mujoco.MjData}.get(struct)
    for gone in [name for name in arrays if kind and not hasattr(kind, name)]:
        del arrays[gone]

from dm_control import suite  # noqa: E402
from dm_control.utils import rewards  # noqa: E402

STEPS = 200

# What a task draws beside qpos and qvel: an array of the model, the object, the components.
DRAWN = {
    "reacher": ("geom_pos", "target", ["x", "y"]),
    "finger-turn": ("site_pos", "target", ["x", "z"]),
    "fish": ("geom_pos", "target", ["x", "y", "z"]),
}

# What is not 0 in a state that is rewarded, where that is not the model's own pose.
REWARDED = {
    "ball_in_cup": {"ball_z": 0.35},
    "finger-spin": {"v:hinge": -60},
    "finger-turn": {"target": (0.2, 0.53)},
    "fish": {"target": (0, 0.08, 0.1)},
    "reacher": {"target": (0.24, 0)},
    "walker-run": {"v:rootx": 6},
    "walker-walk": {"v:rootx": 1},
    "cheetah": {"v:rootx": 5},
    "hopper-hop": {"v:rootx": 2, "rootz": 0.5},
    "humanoid-run": {"v:root": (4, 0, 0, 0, 0, 0)},
    "humanoid-walk": {"v:root": (1, 0, 0, 0, 0, 0)},
}

problems = []


def of_task(table, task):
    """The entry whose key the task's name begins with."""
    return next((value for key, value in table.items() if task.startswith(key)), None)


def load(task, seed):
    domain, name = task.split("-")
    return suite.load(domain, name, task_kwargs={"random": seed}, environment_kwargs={"flat_observation": True})


def drawn(env, task):
    entry = of_task(DRAWN, task)
    if not entry:
        return np.array([])
    array, target, components = entry
    return np.array(getattr(env.physics.named.model, array)[target, components])


def state_of(env, task):
    return np.concatenate([env.physics.data.qpos, env.physics.data.qvel, drawn(env, task)])


def set_state(env, task, state):
    physics = env.physics
    nq, nv = physics.model.nq, physics.model.nv
    if entry := of_task(DRAWN, task):
        array, target, components = entry
        getattr(physics.named.model, array)[target, components] = state[nq + nv:]
    with physics.reset_context():
        physics.data.qpos[:] = state[:nq]
        physics.data.qvel[:] = state[nq:nq + nv]


def rewarded_state(env, task):
    physics = env.physics
    physics.data.qpos[:] = physics.model.ptr.qpos0
    physics.data.qvel[:] = 0
    target = drawn(env, task)
    for what, value in (of_task(REWARDED, task) or {}).items():
        if what == "target":
            target = np.array(value)
        elif what.startswith("v:"):
            physics.named.data.qvel[what[2:]] = value
        else:
            physics.named.data.qpos[what] = value
    return np.concatenate([physics.data.qpos, physics.data.qvel, target])


def observation(env):
    return np.concatenate([np.ravel(x) for x in env.task.get_observation(env.physics).values()])


def write_csv(path, rows):
    path.write_text("".join(",".join("%.17g" % x for x in row) + "\n" for row in rows))


def trace(folder):
    for task in (folder / "tasks.txt").read_text().split():
        env = load(task, 1)
        for case in range(3):
            rng = np.random.default_rng(case)
            env.reset()
            state = state_of(env, task) if case < 2 else rewarded_state(env, task)
            if case == 1:  # further from rest than any reset
                nq, nv = env.physics.model.nq, env.physics.model.nv
                state[nq:nq + nv] += rng.normal(scale=0.3, size=nv)
            env.reset()
            set_state(env, task, state)
            spec = env.action_spec()
            # A part of the actions lies outside the bounds: nothing may clip them but the simulation.
            actions = rng.uniform(1.1 * spec.minimum, 1.1 * spec.maximum, size=(STEPS, spec.minimum.size))
            if case == 2:  # stay there for a while
                actions[:20] *= 0.1
            rows = [[*observation(env), 0]]
            for action in actions:
                step = env.step(action)
                rows.append([*observation(env), step.reward])
            out = folder / task / str(case)
            out.mkdir(parents=True)
            write_csv(out / "state.csv", [state])
            write_csv(out / "actions.csv", actions)
            write_csv(out / "trace.csv", rows)


def tolerance(folder):
    sigmoids = ["gaussian", "hyperbolic", "long_tail", "reciprocal", "cosine", "linear", "quadratic", "tanh_squared"]
    intervals = [(0, 0), (-0.5, 2), (1.2, np.inf), (-np.inf, -3)]
    rows = []
    for (kind, name), bounds, margin, value in itertools.product(enumerate(sigmoids), intervals, [0, 0.6, 10],
                                                                 [0, 0.1, 0.5]):
        if value == 0 and name not in ("cosine", "linear", "quadratic"):
            continue
        for x in [*np.linspace(-30, 30, 21), *bounds, bounds[0] - margin, bounds[1] + margin]:
            if np.isfinite(x):
                y = rewards.tolerance(float(x), bounds, margin, name, value)
                rows.append([kind, *bounds, margin, value, x, y])
    write_csv(folder / "table.csv", rows)


def expect(condition, task, text):
    if not condition:
        problems.append(f"{task}: {text}")


def check_facts(task, env, facts):
    spec = env.action_spec()
    expect(facts["action_low"] == spec.minimum.tolist(), task, f"action_low {facts['action_low']}, {spec.minimum}")
    expect(facts["action_high"] == spec.maximum.tolist(), task, f"action_high {facts['action_high']}, {spec.maximum}")
    obs_dim = env.observation_spec()["observations"].shape[0]
    expect(facts["obs_dim"] == obs_dim, task, f"obs_dim {facts['obs_dim']}, dm_control {obs_dim}")
    expect(abs(facts["dt"] - env.control_timestep()) < 1e-12, task, f"dt {facts['dt']}, {env.control_timestep()}")
    expect(facts["time_limit"] == math.ceil(env._step_limit), task, f"time_limit {facts['time_limit']}, {env._step_limit}")


def check_resets(task, env, ours):
    from scipy import stats
    theirs = []
    for _ in range(len(ours)):
        env.reset()
        theirs.append(state_of(env, task))
    theirs = np.array(theirs)
    if ours.shape[1] != theirs.shape[1]:
        problems.append(f"{task}: {ours.shape[1]} numbers of state, dm_control {theirs.shape[1]}")
        return
    varies = []
    for i in range(theirs.shape[1]):
        if np.ptp(theirs[:, i]) == 0:
            expect(np.all(ours[:, i] == theirs[0, i]), task, f"state {i} is constant in dm_control")
            continue
        varies.append(i)
        p = stats.ks_2samp(ours[:, i], theirs[:, i]).pvalue
        expect(p > 1e-5, task, f"state {i} is distributed otherwise: p {p:.2g}")
        # Many uniform draws: none beyond the interval, and some close to either end.
        low, high = theirs[:, i].min(), theirs[:, i].max()
        if len(ours) > 1000 and stats.kstest((theirs[:, i] - low) / (high - low), "uniform").pvalue > 1e-3:
            for end in (ours[:, i].min() - low, ours[:, i].max() - high):
                expect(abs(end) < 0.01 * (high - low), task, f"state {i} reaches {end:.3g} beyond dm_control's range")
    if len(varies) > 1:
        between = np.corrcoef(ours[:, varies], rowvar=False) - np.corrcoef(theirs[:, varies], rowvar=False)
        expect(np.abs(between).max() < 5 / math.sqrt(len(ours)), task, f"correlations differ by {np.abs(between).max():.2f}")


def facts(folder):
    for task, said in json.loads((folder / "facts.json").read_text()).items():
        env = load(task, 1)
        check_facts(task, env, said)
        resets = folder / f"{task}.csv"
        if resets.exists():
            check_resets(task, env, np.loadtxt(resets, delimiter=",", ndmin=2))
    print("\n".join(problems))
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    {"trace": trace, "tolerance": tolerance, "facts": facts}[sys.argv[1]](pathlib.Path(sys.argv[2]))
