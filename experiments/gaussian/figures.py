"""Figures of the isotropic Gaussian."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.framework.eigenvalue_blocks import conditioning_factor, phase_factor
from experiments.framework.eigenvalue_branches import Branches
from experiments.framework.folder import Row
from experiments.gaussian.training import Curve
from odegan import plots

GAMMA = r"$\gamma$"
# A row's column -> what its closed form takes from the eigenvalues; None where the row has a prediction instead.
_FACTORS: dict[str, Callable[[Sequence[complex]], float] | None] = {
    "phase factor": phase_factor,
    "conditioning factor": conditioning_factor,
    "steps": None,
}


def factors(rows: Sequence[Row], branches: Mapping[str, Branches]) -> Figure:
    """Both factors and the steps to converge over gamma: circles measured, lines closed forms (dotted: predicted); dashed,
    a method without a gamma.
    """
    with plots.style():
        figure = Figure(figsize=(10.5, 3.6), layout="constrained")
        panels = figure.subplots(1, len(_FACTORS))
        for axes, (column, factor) in zip(panels, _FACTORS.items(), strict=True):
            for (method, branch), color in zip(branches.items(), plots.PALETTE, strict=False):
                _points_and_curve(axes, [row for row in rows if row["method"] == method], branch, column, factor, color)
            others = [row for row in rows if row["method"] not in branches]
            for row, color in zip(others, plots.PALETTE[len(branches) :], strict=False):
                axes.axhline(_number(row[column]), color=color, linestyle="--", linewidth=1.1, label=row["method"])
            axes.set(title=column, xscale="log", yscale="log", xlabel=GAMMA)
            axes.grid(axis="y")
        # Symmetric log, because the phase factor is 0 once the rotation has ended.
        panels[0].set_yscale("symlog", linthresh=0.01)
        panels[0].set_ylim(bottom=-0.001)
        panels[2].set_title("Euler steps to converge")
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=len(branches) + 1)
    return figure


def _points_and_curve(
    axes: Axes,
    rows: Sequence[Row],
    branch: Branches,
    column: str,
    factor: Callable[[Sequence[complex]], float] | None,
    color: str,
) -> None:
    """One method: its measured column, and the closed form or the prediction; a method without a gamma repeats its row."""
    repeated = list(rows) * (len(branch.weights) // len(rows))
    if factor is None:
        predicted = [_number(row["predicted steps"]) for row in repeated]
        axes.plot(branch.weights, predicted, ":", color=color, linewidth=1.1)
    else:
        axes.plot(branch.fine, [factor(values) for values in branch.exact], color=color, linewidth=1.1)
    marks = [_number(row[column]) for row in repeated]
    axes.plot(branch.weights, marks, "o", color=color, markersize=4.5, fillstyle="none", label=rows[0]["method"])


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def training(curves: Mapping[str, Curve]) -> Figure:
    """|y - y*| over its start: the mean over seeds, with the band from the smallest to the largest."""
    means = {method: (counts, distances.mean(1)) for method, (counts, distances) in curves.items()}
    bands = {method: (distances.amin(1), distances.amax(1)) for method, (_, distances) in curves.items()}
    return plots.curves(means, "steps", "distance to the equilibrium, start = 1", log=True, band=bands)
