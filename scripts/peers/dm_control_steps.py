"""Time dm_control's suite stepping one copy of a task with uniform random actions, resets included.

usage: dm_control_steps.py [TASK ...]     TASK is <domain>-<task>. Prints one JSON line per task: control steps per second.
"""
import json
import sys
import time

import mujoco
import numpy as np
from dm_control.mujoco.wrapper.mjbindings import sizes

# dm_control 1.0.50 indexes some arrays of flexes that MuJoCo 4 has no more.
for struct, arrays in sizes.array_sizes.items():
    kind = {"mjmodel": mujoco.MjModel, "mjdata": mujoco.MjData}.get(struct)
    for gone in [name for name in arrays if kind and not hasattr(kind, name)]:
        del arrays[gone]

from dm_control import suite  # noqa: E402

STEPS = 2000

for task in sys.argv[1:] or ["walker-walk", "cheetah-run"]:
    env = suite.load(*task.split("-"), task_kwargs={"random": 0})
    spec = env.action_spec()
    actions = np.random.default_rng(0).uniform(spec.minimum, spec.maximum, (STEPS, *spec.shape))
    env.reset()
    start = time.perf_counter()
    for action in actions:
        if env.step(action).last():
            env.reset()
    seconds = time.perf_counter() - start
    print(json.dumps({"peer": "dm_control", "task": f"dm_control/{task}", "env_steps_per_s": round(STEPS / seconds)}))
