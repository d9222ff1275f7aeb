"""Holds solutions of the discrete algebraic Riccati equation against SciPy's.

usage: dare_oracle.py FILE.safetensors    (as lqr_test.cc writes it: 0.a, 0.b, 0.q, 0.r, 0.s, 0.p, 1.a, ...)
"""
import sys

import numpy as np
from safetensors.numpy import load_file
from scipy.linalg import solve_discrete_are

tensors = load_file(sys.argv[1])
count = len({name.split(".")[0] for name in tensors})
assert count == 20, count
for i in range(count):
    a, b, q, r, s, p = (tensors[f"{i}.{key}"] for key in "abqrsp")
    theirs = solve_discrete_are(a, b, q, r, s=s.T)
    error = np.abs(theirs - p).max() / np.abs(theirs).max()
    assert error < 1e-8, (i, error)
