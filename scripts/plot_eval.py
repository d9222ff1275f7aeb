"""Draw evaluation returns of groups of runs: one line a run, one thick line for a group's mean.

    python scripts/plot_eval.py OUT.svg TITLE 'LABEL=GLOB OF EVAL.CSV' ...

Needs matplotlib (scripts/peers/requirements.txt has it).
"""

import glob
import sys

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams["svg.hashsalt"] = "reverie"  # equal data gives an equal file
import matplotlib.pyplot as plt

from lib.tables import rows


def read(path):
    return {int(row["env_step"]): float(row["return_mean"]) for row in rows(path)}


def main():
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    out, title, *groups = sys.argv[1:]
    figure, axes = plt.subplots(figsize=(6, 3.6), layout="constrained")
    for group in groups:
        label, pattern = group.split("=", 1)
        runs = [read(path) for path in sorted(glob.glob(pattern))]
        if not runs:
            sys.exit(f"no file matches {pattern}")
        steps = sorted(set.intersection(*(set(run) for run in runs)))
        mean = [sum(run[step] for run in runs) / len(runs) for step in steps]
        (line,) = axes.plot(steps, mean, linewidth=2, label=f"{label}, mean of {len(runs)} seeds")
        for run in runs:
            axes.plot(list(run), list(run.values()), color=line.get_color(), linewidth=0.7, alpha=0.5)
    axes.set(title=title, xlabel="env steps", ylabel="evaluation return")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(out, metadata={"Date": None})


if __name__ == "__main__":
    main()
