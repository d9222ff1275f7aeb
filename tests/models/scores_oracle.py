"""Holds our scores of distributions and rankings against scoringrules, uncertainty-toolbox, scikit-learn and SciPy.

usage: scores_oracle.py SCORES.safetensors    (as scores_test.cc writes it)
"""
import sys

import numpy as np
import scoringrules
from safetensors.numpy import load_file
from scipy import special, stats
from sklearn.metrics import roc_auc_score
from uncertainty_toolbox import metrics_calibration

d = load_file(sys.argv[1])
y, mean, std = d["y"], d["mean"], d["std"]
HYPOTHESES = mean.shape[0]


def check(name, theirs, tolerance=1e-12):
    error = np.abs(d[name] - theirs).max() / max(1, np.abs(theirs).max())
    assert error <= tolerance, f"{name}: {error:.3g} of the largest, allowed {tolerance}"


log_normal = stats.norm.logpdf(y, mean, std)
check("log_density", special.logsumexp(log_normal, 0) - np.log(HYPOTHESES))
check("log_density_of_rows", special.logsumexp(log_normal.sum(-1), 0) - np.log(HYPOTHESES))
check("cdf", stats.norm.cdf(y, mean, std).mean(0))
check("cdf_of_quantile", np.full_like(y, 0.3), 1e-9)
last = [np.moveaxis(x, 0, -1) for x in (mean, std)]
check("crps", scoringrules.crps_mixnorm(y, *last), 1e-10)
check("crps_of_one", scoringrules.crps_normal(y, mean[0], std[0]), 1e-10)
check("crps_of_points", scoringrules.crps_ensemble(y, last[0], estimator="nrg"), 1e-10)

w = np.exp(d["log_weight"])
assert np.abs(w.sum(0) - 1).max() < 1e-12
check("weighted_log_density", special.logsumexp(log_normal + d["log_weight"][..., None], 0))
check("weighted_log_density_of_rows", special.logsumexp(log_normal.sum(-1) + d["log_weight"], 0))
check("weighted_cdf", (w[..., None] * stats.norm.cdf(y, mean, std)).sum(0))
check("weighted_cdf_of_quantile", np.full_like(y, 0.3), 5e-8)  # a bisection to 2^-32 of the range, times the density
weights = np.broadcast_to(np.moveaxis(w, 0, -1)[:, None, :], last[0].shape)
check("weighted_crps", scoringrules.crps_mixnorm(y, *last, w=weights), 1e-10)

levels = d["levels"]
check("distance_from_uniform", stats.kstest(levels.ravel(), "uniform").statistic)
check("coverage", np.mean(np.abs(2 * levels - 1) <= 0.9))
one = [x.ravel() for x in (mean[0], std[0], y)]
check("calibration_error",
      metrics_calibration.mean_absolute_calibration_error(*one, num_bins=100, prop_type="interval"), 1e-9)

a, b = d["a"], d["b"]
truth = np.r_[np.ones(a.size), np.zeros(b.size)]
check("auroc", roc_auc_score(truth, np.r_[a, b]))
check("rank_correlation", stats.spearmanr(a[: b.size], b).statistic)
print("ok")
