"""Draw how the constraint between a policy and trajectories comes to hold, from what reverie_constraint_residuals prints.

    python scripts/plot_residuals.py OUT.svg RESIDUALS.csv

Needs matplotlib (scripts/peers/requirements.txt has it).
"""

import sys

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams["svg.hashsalt"] = "reverie"  # equal data gives an equal file
import matplotlib.pyplot as plt

from lib.tables import rows


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    out, path = sys.argv[1:]
    table = rows(path)
    figure, axes = plt.subplots(figsize=(6, 3.6), layout="constrained")
    for method in dict.fromkeys(row["method"] for row in table):
        of_method = [row for row in table if row["method"] == method]
        axes.plot([int(row["iteration"]) for row in of_method], [float(row["residual"]) for row in of_method], label=method)
    axes.set(title="What is left between the policy and the trajectories", xlabel="iteration",
             ylabel="largest residual, in actions", yscale="log")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(out, metadata={"Date": None})


if __name__ == "__main__":
    main()
