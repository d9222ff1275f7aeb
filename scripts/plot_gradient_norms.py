"""Draw the actor's gradient norm against the horizon from what reverie_gradient_norms prints, with and without layer
normalisation: a thin line for each file, a seed, through its medians over batches, and the median of these.

    python scripts/plot_gradient_norms.py OUT.svg NORMS.csv ...

Needs matplotlib and NumPy (scripts/peers/requirements.txt has them).
"""

import sys

import matplotlib
import numpy as np

matplotlib.use("svg")
matplotlib.rcParams["svg.hashsalt"] = "reverie"  # equal data gives an equal file
import matplotlib.pyplot as plt
import matplotlib.ticker

from lib.tables import rows


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    out, *paths = sys.argv[1:]
    tables = [rows(path) for path in paths]
    figure, axes = plt.subplots(figsize=(6, 3.6), layout="constrained")
    for layer_norm, label in (("1", "with layer normalisation"), ("0", "without")):
        medians = []
        for table in tables:
            norms = {}
            for row in table:
                if row["layer_norm"] == layer_norm:
                    norms.setdefault(int(row["horizon"]), []).append(float(row["actor_grad_norm"]))
            horizons = sorted(norms)
            medians.append([np.median(norms[h]) for h in horizons])
        (line,) = axes.plot(horizons, np.median(medians, axis=0), marker="o", label=label)
        for median in medians:
            axes.plot(horizons, median, color=line.get_color(), alpha=0.4, linewidth=0.8)
    axes.set(title=f"The actor's gradient through the model, {tables[0][0]['env']}", xlabel="horizon", ylabel="norm",
             xscale="log", yscale="log")
    axes.set_xticks(horizons, [str(h) for h in horizons])
    axes.yaxis.set_major_locator(matplotlib.ticker.LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(out, metadata={"Date": None})


if __name__ == "__main__":
    main()
