"""Reads event files with the real TensorBoard and compares with what tensorboard_test.cc wrote.

Usage: tensorboard_oracle.py CASE FOLDER [NOW]
"""
import math
import sys

import numpy as np
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader


def read(folder):
    accumulator = EventAccumulator(folder, size_guidance={"scalars": 0})
    accumulator.Reload()
    return accumulator


def values(folder, now):
    accumulator = read(folder)
    loss = accumulator.Scalars("sac/loss")
    assert [e.step for e in loss] == [i**3 for i in range(300)]
    assert [e.value for e in loss] == [float(np.float32(i / 7 - 3)) for i in range(300)]
    times = [e.wall_time for e in loss]
    assert times == sorted(times) and float(now) - 60 < times[0] <= times[-1] <= float(now) + 1e-3, (times[0], now)
    assert sorted(accumulator.Tags()["scalars"]) == sorted(["sac/loss"] + ["time/" + "n" * i for i in range(300)])
    for i in range(300):
        (event,) = accumulator.Scalars("time/" + "n" * i)
        assert (event.step, event.value) == (i**3, i)
    first = next(iter(EventFileLoader(next(p for p in paths(folder))).Load()))
    assert first.file_version == "brain.Event:2", first


def paths(folder):
    import pathlib
    return [str(p) for p in sorted(pathlib.Path(folder).glob("events.out.tfevents.*"))]


def non_finite(folder):
    nan, low = read(folder).Scalars("sac/loss")
    assert math.isnan(nan.value) and low.value == -math.inf, (nan, low)


def restart(folder):
    loss = read(folder).Scalars("sac/loss")
    assert [(e.step, e.value) for e in loss] == [(0, 1), (100, 1), (200, 1), (300, 1), (400, 2)], loss


def clocks(folder):
    loss = read(folder).Scalars("sac/loss")
    assert [(e.step, e.value) for e in loss] == [(i, i) for i in range(1, 9)] + [(9, -1)], loss
    times = [e.wall_time for e in loss]
    assert times == sorted(times), times
    # Where a clock is right its time is taken as it is; where it is behind, time goes on from what was last.
    assert times[:2] == [1.7e9, 1.7e9 + 1000], times
    assert 0 < times[5] - times[1] < 2000, times
    assert times[6:8] == [1.71e9, 1.71e9 + 1000], times


def damaged(folder):
    loss = read(folder).Scalars("sac/loss")
    assert [(e.step, e.value) for e in loss] == [(1, 1), (2, 2), (3, 3)], loss


def rows(folder):
    accumulator = read(folder)
    train = accumulator.Scalars("learner/steps")
    assert [(e.step, e.value) for e in train] == [(i, i) for i in (10, 20, 30, 40)], train
    returns = accumulator.Scalars("eval/return_mean")
    assert [(e.step, e.value) for e in returns] == [(i, (i + 1) / 2) for i in (0, 10, 20, 30, 40)], returns
    assert "rate/env_steps_per_s" in accumulator.Tags()["scalars"]


globals()[sys.argv[1]](*sys.argv[2:])
