"""Figures of the isotropic Gaussian."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from matplotlib.figure import Figure

from experiments.dirac import figures as dirac_figures
from experiments.dirac.figures import Branches
from experiments.framework.eigenvalue_blocks import conditioning_factor, phase_factor
from odegan import plots

# A row's column -> what its closed form takes from the eigenvalues, if it has one.
_FACTORS: dict[str, Callable[[Sequence[complex]], float] | None] = {
    "phase factor": phase_factor,
    "conditioning factor": conditioning_factor,
    "steps": None,
}
_AXIS = r"$\gamma$"


def eigenvalues(branches: Mapping[str, Branches]) -> Figure:
    """One panel a method: both blocks' eigenvalues over gamma."""
    return dirac_figures.eigenvalues(branches, _AXIS)


def factors(rows: Sequence[Mapping[str, Any]], branches: Mapping[str, Branches]) -> Figure:
    """Both factors and the steps to converge over gamma: circles measured, lines closed forms (dotted: predicted); dashed,
    a method without a gamma.
    """
    with plots.style():
        figure = Figure(figsize=(10.5, 3.6), layout="constrained")
        panels = figure.subplots(1, len(_FACTORS))
        for axes, (column, factor) in zip(panels, _FACTORS.items(), strict=True):
            for (method, branch), color in zip(branches.items(), plots.PALETTE, strict=False):
                mine = [row for row in rows if row["method"] == method] * (
                    1 if method != "none" else len(branch.weights)
                )
                if factor is not None:
                    axes.plot(branch.fine, [factor(values) for values in branch.exact], color=color, linewidth=1.1)
                else:
                    predicted = [
                        float("nan") if row["predicted steps"] is None else row["predicted steps"] for row in mine
                    ]
                    axes.plot(branch.weights, predicted, ":", color=color, linewidth=1.1)
                marks = [float("nan") if row[column] is None else row[column] for row in mine]
                axes.plot(branch.weights, marks, "o", color=color, markersize=4.5, fillstyle="none", label=method)
            for found, color in zip(
                [row for row in rows if row["method"] not in branches], plots.PALETTE[len(branches) :], strict=False
            ):
                level = float("nan") if found[column] is None else found[column]
                axes.axhline(level, color=color, linestyle="--", linewidth=1.1, label=found["method"])
            axes.set(title=column, xscale="log", yscale="log", xlabel=_AXIS)
            axes.grid(axis="y")
        panels[0].set_yscale("symlog", linthresh=0.01)
        panels[0].set_ylim(bottom=-0.001)
        panels[2].set_title("Euler steps to converge")
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=len(branches) + 1)
    return figure


def training(curves: Mapping[str, tuple[torch.Tensor, torch.Tensor]]) -> Figure:
    """|y - y*| over its start: the mean over seeds, with the band from the smallest to the largest."""
    means = {method: (counts, distances.mean(1)) for method, (counts, distances) in curves.items()}
    bands = {method: (distances.amin(1), distances.amax(1)) for method, (_, distances) in curves.items()}
    return plots.curves(means, "steps", "distance to the equilibrium, start = 1", log=True, band=bands)
