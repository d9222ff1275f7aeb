"""Holds our Gaussian process regression against scikit-learn and SciPy.

usage: gp_oracle.py CASE.safetensors    (as gp_regression_test.cc writes it)
"""
import math
import sys

import numpy as np
from safetensors.numpy import load_file
from scipy.optimize import approx_fprime
from scipy.stats import multivariate_normal
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

d = load_file(sys.argv[1])
x, y, z, theta, at = (d[k] for k in ("x", "y", "z", "theta", "at"))
rows, inputs = x.shape
length, signal, noise = np.exp(theta[:inputs]), math.exp(theta[-2]), math.exp(theta[-1])


def check(name, ours, theirs, tolerance):
    error = np.abs(np.asarray(ours) - theirs).max() / max(np.abs(theirs).max(), 1e-30)
    assert error <= tolerance, f"{name}: {error:.3g} of the largest element, allowed {tolerance}"


def kernel_at(t):
    return ConstantKernel(math.exp(2 * t[-2])) * RBF(np.exp(t[:inputs])) + WhiteKernel(math.exp(2 * t[-1]))


# The likelihood and its gradient; theirs is by log s_f^2, log l, log s_n^2.
gp = GaussianProcessRegressor(kernel_at(theta), optimizer=None, alpha=0).fit(x, y)
value, gradient = gp.log_marginal_likelihood(gp.kernel_.theta, eval_gradient=True)
check("likelihood", d["value"], -value, 1e-10)
check("gradient", d["gradient"], -np.concatenate([gradient[1:-1], 2 * gradient[:1], 2 * gradient[-1:]]), 1e-8)

# The bound, written out (Titsias 2009, equation 9), and its gradient by differences.
def k(a, b, t):
    return math.exp(2 * t[-2]) * RBF(np.exp(t[:inputs]))(a, b)


def sparse(t):
    s2 = math.exp(2 * t[-1])
    kzz = k(z, z, t) + 1e-6 * math.exp(2 * t[-2]) * np.eye(len(z))
    q = k(x, z, t) @ np.linalg.solve(kzz, k(z, x, t))
    return (-multivariate_normal(np.zeros(rows), q + s2 * np.eye(rows)).logpdf(y)
            + (rows * math.exp(2 * t[-2]) - np.trace(q)) / (2 * s2))


check("bound", d["bound"], sparse(theta), 1e-8)
check("the bound's gradient", d["bound_gradient"], approx_fprime(theta, sparse, 1e-6), 1e-4)


# Draws [blocks, draws, points]: blocks have features of their own, so that their mean is that of the process.
def check_draws(name, draws, mean, covariance):
    blocks = draws.shape[0]
    of_blocks = draws.mean(1)
    z_mean = (of_blocks.mean(0) - mean) / (of_blocks.std(0, ddof=1) / math.sqrt(blocks))
    assert np.abs(z_mean).max() < 4.5, f"mean of {name}: {z_mean}"
    centred = draws - mean
    products = np.einsum("bdi,bdj->bij", centred, centred) / draws.shape[1]
    error = products.std(0, ddof=1) / math.sqrt(blocks)
    z_cov = (products.mean(0) - covariance) / error
    assert np.abs(z_cov).max() < 4.5, f"covariance of {name}: {z_cov}"
    assert (error < 0.2 * np.sqrt(np.outer(np.diag(covariance), np.diag(covariance)))).all(), "too few draws to tell"



big = k(x, x, theta) + noise ** 2 * np.eye(rows)
mean = k(at, x, theta) @ np.linalg.solve(big, y)
theirs, std = gp.predict(at, return_std=True)
check("mean", d["mean"], theirs, 1e-7)
covariance = k(at, at, theta) - k(at, x, theta) @ np.linalg.solve(big, k(x, at, theta))
check("variance", np.diag(covariance) + noise ** 2, std ** 2, 1e-8)
check_draws("exact draws", d["draws"], mean, covariance)
kzz = k(z, z, theta) + 1e-6 * signal ** 2 * np.eye(len(z))
sigma = np.linalg.inv(kzz + k(z, x, theta) @ k(x, z, theta) / noise ** 2)
kaz = k(at, z, theta)
mean = kaz @ sigma @ k(z, x, theta) @ y / noise ** 2
covariance = k(at, at, theta) - kaz @ np.linalg.inv(kzz) @ kaz.T + kaz @ sigma @ kaz.T
check_draws("sparse draws", d["sparse_draws"], mean, covariance)

# A fit from the same start is as good as theirs.
start = np.concatenate([np.zeros(inputs), [0.0, math.log(0.1)]])
fitted = GaussianProcessRegressor(kernel_at(start), alpha=0, n_restarts_optimizer=0).fit(x, y)
assert d["fitted_value"] <= -fitted.log_marginal_likelihood_value_ + 0.01, \
    f"{d['fitted_value']} is worse than {-fitted.log_marginal_likelihood_value_}"
print("ok")
