"""Time the backward pass of Crocoddyl's DDP, in C++, on linear-quadratic problems.

usage: crocoddyl_lqr.py       prints one JSON line per size: backward passes per second, the best of many repetitions
"""
import json
import time

import crocoddyl
import numpy as np

for n, m, horizon in ((4, 1, 50), (8, 2, 50), (18, 6, 30), (37, 12, 100)):
    rng = np.random.default_rng(0)

    def model():
        a, b = rng.normal(size=(n, n)) / np.sqrt(n), rng.normal(size=(n, m))
        return crocoddyl.ActionModelLQR(a, b, np.eye(n), np.eye(m), np.zeros((n, m)), np.zeros(n), rng.normal(size=n),
                                        rng.normal(size=m))

    problem = crocoddyl.ShootingProblem(np.zeros(n), [model() for _ in range(horizon)], model())
    problem.nthreads = 1
    solver = crocoddyl.SolverDDP(problem)
    controls = [np.zeros(m)] * horizon
    solver.setCandidate(problem.rollout(controls), controls, True)
    solver.computeDirection(True)
    best = float("inf")
    for _ in range(20):
        repetitions = 50
        start = time.perf_counter()
        for _ in range(repetitions):
            solver.backwardPass()
        best = min(best, (time.perf_counter() - start) / repetitions)
    print(json.dumps({"peer": "crocoddyl", "n": n, "m": m, "T": horizon, "backward_passes_per_s": round(1 / best)}))
