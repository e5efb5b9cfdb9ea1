"""Figures of the vanishing step: points with the power laws fitted to them, or curves predicted for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from experiments.framework.power_laws import Mean
from odegan import plots

Curve = Callable[[torch.Tensor], torch.Tensor]
MARKS = "osD^vP"


class Series(NamedTuple):
    """Points with their standard errors, a curve of x, and a name."""

    label: str
    x: Sequence[float]
    y: Sequence[Mean]
    curve: Curve


class Panel(NamedTuple):
    """One pair of axes; x is logarithmic."""

    title: str
    xlabel: str
    ylabel: str
    series: Sequence[Series]
    yscale: str = "log"


def side_by_side(panels: Sequence[Panel]) -> Figure:
    """The panels as one row; marks are measured (bars: two standard errors), lines are the curves."""
    with plots.style():
        figure = Figure(figsize=(5.3 * len(panels), 4.8), layout="constrained")
        for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
            for i, one in enumerate(panel.series):
                color = plots.PALETTE[i]
                x = torch.tensor(one.x, dtype=torch.float64)
                fine = torch.logspace(float(x.min().log10()), float(x.max().log10()), 50, dtype=torch.float64)
                bars = [2 * y.error for y in one.y]
                marks = {"fmt": MARKS[i], "markersize": 5, "fillstyle": "none", "capsize": 2, "color": color}
                axes.errorbar(one.x, [y.value for y in one.y], bars, label=one.label, **marks)
                axes.plot(fine, one.curve(fine), color=color, linewidth=1.1)
            axes.set(title=panel.title, xlabel=panel.xlabel, ylabel=panel.ylabel, xscale="log", yscale=panel.yscale)
            ticks = sorted({value for one in panel.series for value in one.x})
            axes.set_xticks(ticks, [f"{tick:.3g}" for tick in ticks])
            axes.xaxis.set_minor_locator(NullLocator())
            axes.grid(axis="both")
            axes.legend(fontsize="small", loc="upper center", bbox_to_anchor=(0.5, -0.15), ncols=2)
    return figure
