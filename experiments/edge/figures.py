"""Figures of the edge-of-stability experiment."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from matplotlib.figure import Figure

from experiments.edge import optimizers
from experiments.edge.linearized import Found, largest_step
from experiments.edge.optimizers import MOMENTUM
from odegan import plots
from odegan.plots.style import INK, panels
from odegan.solvers import stability

HIGHEST = 3.0  # imaginary part that the panels show
SHOWN = 0.05, 20.0  # ratios; a seed that leaves the region of stability would flatten all other lines
MARGIN = 1.45  # of the shown part of the real axis, over the region of stability


def along(found: Mapping[str, Found]) -> Figure:
    """The step over the largest stable one along each training, one line a seed; 1 is the edge."""
    with plots.style():
        figure, grid = panels(len(found), None, share=False)
        for axes, (name, one) in zip(grid, found.items(), strict=True):
            axes.sharey(grid[0])  # but not x: optimizers have no mean squares at their start
            for member, color in zip(one.ratios.T, plots.PALETTE, strict=False):
                axes.plot(one.counts, member, color=color, linewidth=1.1)
            axes.axhline(1, color=INK, linewidth=0.8, linestyle="--")
            axes.set(yscale="log", ylim=SHOWN)
            axes.set_title(name, fontsize="small")
        figure.supxlabel("steps", fontsize="medium")
        figure.supylabel("h / largest stable step", fontsize="medium")
    return figure


def eigenvalues(found: Mapping[str, Found]) -> Figure:
    """h times the eigenvalue that limits the step, over the second half, on the edge of the solver's region of stability."""
    with plots.style():
        figure, grid = panels(len(found), None, share=False)
        for axes, (name, one) in zip(grid, found.items(), strict=True):
            left = MARGIN * largest_step(-1.0, one.solver)
            plane = _left_half(left)
            axes.contour(plane.real, plane.imag, _stability(one.solver, plane), [1.0], colors=[INK], linewidths=0.9)
            z = one.h * torch.tensor([limit.eigenvalue for row in one.late for limit in row], dtype=torch.complex128)
            # Complex eigenvalues come in pairs, of which the limit names one.
            for sign in (1, -1):
                axes.scatter(z.real, sign * z.imag, 12, plots.PALETTE[1], alpha=0.7, linewidths=0)
            if hidden := int(((z.real < -left) | (z.imag.abs() > HIGHEST)).sum()):
                axes.text(0.04, 0.04, f"{hidden} outside", transform=axes.transAxes, fontsize="x-small")
            # An ellipse so long that equal axes would show a line.
            aspect = "auto" if MOMENTUM.get(one.solver) else "equal"
            axes.set(xlim=(-left, left / 8), ylim=(-HIGHEST, HIGHEST), aspect=aspect)
            axes.set_title(name, fontsize="small")
        figure.supxlabel("Re h λ", fontsize="medium")
        figure.supylabel("Im h λ", fontsize="medium")
    return figure


def _left_half(left: float) -> torch.Tensor:
    """Complex numbers on a grid over the shown part of the left half-plane: growing eigenvalues are left out of the limit."""
    x = torch.linspace(-left, 0.0, 401, dtype=torch.float64)
    y = torch.linspace(-HIGHEST, HIGHEST, 401, dtype=torch.float64)
    return torch.complex(*torch.meshgrid(x, y, indexing="xy"))


def _stability(solver: str, plane: torch.Tensor) -> torch.Tensor:
    """At most 1 where the solver is stable."""
    if solver in MOMENTUM:
        return optimizers.stability(plane, MOMENTUM[solver])
    return stability.stability_function(solver)(plane).abs()
