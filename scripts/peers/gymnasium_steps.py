"""Time Gymnasium stepping one copy of MuJoCo tasks with uniform random actions, resets included.

usage: gymnasium_steps.py [TASK ...]     Prints one JSON line per task: env steps per second.
"""

import json
import sys
import time

import gymnasium
import numpy as np

STEPS = 2000

for task in sys.argv[1:] or ["HalfCheetah-v5", "Hopper-v5", "Walker2d-v5", "Ant-v5", "Humanoid-v5"]:
    env = gymnasium.make(task)
    env.reset(seed=0)
    low, high = env.action_space.low, env.action_space.high
    actions = np.random.default_rng(0).uniform(low, high, (STEPS, *low.shape))
    start = time.perf_counter()
    for action in actions:
        _, _, terminated, truncated, _ = env.step(action)
        if terminated or truncated:
            env.reset()
    seconds = time.perf_counter() - start
    print(json.dumps({"peer": "gymnasium", "task": task, "env_steps_per_s": round(STEPS / seconds)}))
