"""Holds our statistics of made-up scores against the package rliable.

Usage: rliable_oracle.py FILE, as statistics_test.cc writes it
"""
import json
import sys

import numpy as np
from rliable import library, metrics

DRAWS = 5000
# Of an interval's width: the percentiles of two bootstraps of 5,000 draws differ by 0.014 (one standard deviation).
SAMPLING_ERROR = 0.06


def check(what, ours, value, interval):
    assert abs(ours["value"] - value) <= 1e-9, (what, ours, value)
    low, high = np.ravel(interval)
    width = high - low
    assert width > 0, (what, interval)
    for mine, theirs in ((ours["low"], low), (ours["high"], high)):
        assert abs(mine - theirs) <= SAMPLING_ERROR * width, (what, ours, interval)


def main():
    with open(sys.argv[1]) as file:
        ours = json.load(file)
    scores = {name: np.array(ours[name]["scores"]).T for name in ("x", "y")}  # [runs, tasks]
    random = np.random.RandomState(0)
    for what, function in (("iqm", metrics.aggregate_iqm), ("mean", metrics.aggregate_mean)):
        values, intervals = library.get_interval_estimates(
            scores, lambda s, f=function: np.array([f(s)]), reps=DRAWS, random_state=random)
        for name in scores:
            check(f"{what} of {name}", ours[name][what], values[name][0], intervals[name])

    levels = np.array(ours["levels"])
    profiles, intervals = library.create_performance_profile(scores, levels, reps=DRAWS)
    for name in scores:
        for i, level in enumerate(levels):
            mine = ours[name]["profile"][i]
            assert abs(mine["value"] - profiles[name][i]) <= 1e-9, (name, level, mine, profiles[name][i])
            # A share of 30 runs moves in steps of 1/30.
            assert np.all(np.abs(np.array([mine["low"], mine["high"]]) - intervals[name][:, i]) <= 1.01 / 30), (
                name, level, mine, intervals[name][:, i])

    pair = {"x,y": (scores["x"], scores["y"])}
    values, intervals = library.get_interval_estimates(
        pair, metrics.probability_of_improvement, reps=DRAWS, random_state=random)
    check("probability of improvement", ours["improvement"], values["x,y"], intervals["x,y"])


if __name__ == "__main__":
    main()
