"""Plot eigenvalues against a penalty's weight: measured points over the closed form."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from odegan import plots
from odegan.plots.style import panels


class Branches(NamedTuple):
    """Measured eigenvalues at some weights, and closed forms at more weights."""

    weights: Sequence[float]
    measured: Sequence[Sequence[complex]]
    fine: Sequence[float]
    exact: Sequence[Sequence[complex]]


COMPONENTS: Mapping[str, Callable[[complex], float]] = {
    "real part": lambda value: value.real,
    "imaginary part": lambda value: abs(value.imag),
}


def draw_branches(branches: Mapping[str, Branches], xlabel: str, columns: int = 4) -> Figure:
    """One panel per penalty: circles are measured, lines are the closed form."""
    with plots.style():
        figure, axes = panels(len(branches), columns, share=True, size=2.5)
        for panel, (name, branch) in zip(axes, branches.items(), strict=True):
            for (label, take), color in zip(COMPONENTS.items(), plots.PALETTE, strict=False):
                _draw_component(panel, branch, take, label, color)
            panel.set(title=name, xscale="log")
            panel.set_yscale("symlog", linthresh=0.1)
            panel.grid(axis="y")
        figure.supxlabel(xlabel, fontsize="medium")
        figure.supylabel(r"eigenvalues $\lambda$", fontsize="medium")
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return figure


def _draw_component(panel: Axes, branch: Branches, take: Callable[[complex], float], label: str, color: str) -> None:
    for k in range(len(branch.exact[0])):
        panel.plot(branch.fine, [take(values[k]) for values in branch.exact], color=color, linewidth=1.1)
    for k in range(len(branch.measured[0])):
        marks = [take(values[k]) for values in branch.measured]
        shown = label if k == 0 else None
        panel.plot(branch.weights, marks, "o", color=color, markersize=3.5, fillstyle="none", label=shown)
