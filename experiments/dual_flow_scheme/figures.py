"""The figure of the minimizing-movement scheme on particles."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from experiments.dual_flow_scheme.options import Scheme
from experiments.framework.folder import Row
from odegan import plots


def errors_over_tau(rows: Sequence[Row], options: Scheme) -> Figure:
    """W2 at the last time over tau, a panel a kernel, beside slope 1."""
    last = [row for row in rows if row["t"] == options.times[-1]]
    kernels = list(dict.fromkeys(row["kernel"] for row in last))
    with plots.style():
        figure = Figure(figsize=(7.6, 3.4), layout="constrained")
        panels = figure.subplots(1, len(kernels), sharey=True, squeeze=False)[0]
        for axes, kernel in zip(panels, kernels, strict=True):
            for row, marker in zip([row for row in last if row["kernel"] == kernel], "osv", strict=True):
                errors = [row[f"W2, tau {tau:g}"] for tau in options.taus]
                label = f"{row['order'].replace('_', ' ')}, slope {row['slope of W2']:.3f}"
                axes.plot(options.taus, errors, marker=marker, markersize=5, fillstyle="none", label=label)
            guide = [0.5 * errors[0] * tau / options.taus[0] for tau in options.taus]
            axes.plot(options.taus, guide, ":", color=plots.PALETTE[-1], linewidth=1.0, label="slope 1")
            axes.set(title=f"{kernel}, t = {options.times[-1]:g}", xscale="log", yscale="log", xlabel="step tau")
            axes.set_xticks(options.taus, [f"{tau:g}" for tau in options.taus])
            axes.minorticks_off()
            axes.grid(axis="y")
            axes.legend(fontsize="small")
        panels[0].set_ylabel("W2 between scheme and flow")
    return figure
