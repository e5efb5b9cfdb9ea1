"""Figures of the edge-of-stability experiment."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from einops import repeat
from matplotlib.figure import Figure

from experiments.edge.linearized import Found
from odegan import plots
from odegan.plots.style import INK, panels
from odegan.solvers import stability

CEILING = 10.0  # of the plotted regions' moduli


def along(found: Mapping[str, Found]) -> Figure:
    """The step over the largest stable one along each training, one line a seed; 1 is the edge."""
    with plots.style():
        figure, grid = panels(len(found), None, share=False)
        for axes, (name, one) in zip(grid, found.items(), strict=True):
            axes.sharey(grid[0])  # but not x: RMSProp has no mean squares at its start
            for member, color in zip(one.ratios.T, plots.PALETTE, strict=False):
                axes.plot(one.counts, member, color=color, linewidth=1.1)
            axes.axhline(1, color=INK, linewidth=0.8, linestyle="--")
            axes.set(yscale="log")
            axes.set_title(name, fontsize="small")
        figure.supxlabel("steps", fontsize="medium")
        figure.supylabel("h / largest stable step", fontsize="medium")
    return figure


def eigenvalues(found: Mapping[str, Found]) -> Figure:
    """h times the eigenvalue that limits the step, over the second half, on the edge of the solver's region of stability."""
    # The left half-plane: growing eigenvalues are left out of the limit.
    angles = torch.linspace(0.5 * torch.pi, 1.5 * torch.pi, 181, dtype=torch.float64)
    radii = torch.linspace(0.0, CEILING, 501, dtype=torch.float64)
    plane = torch.polar(
        repeat(radii, "r -> r angle", angle=len(angles)), repeat(angles, "angle -> r angle", r=len(radii))
    )
    with plots.style():
        figure, grid = panels(len(found), None, share=True)
        for axes, (name, one) in zip(grid, found.items(), strict=True):
            solver = name.partition(",")[0]
            growth = stability.stability_function("euler" if solver == "rmsprop" else solver)(plane).abs()
            axes.contour(plane.real, plane.imag, growth, [1.0], colors=[INK], linewidths=0.9)
            late = [limit.eigenvalue for row in one.limits[len(one.limits) // 2 :] for limit in row]
            z = one.h * torch.tensor(late, dtype=torch.complex128)
            # Complex eigenvalues come in pairs, of which the limit names one.
            for sign in (1, -1):
                axes.scatter(z.real, sign * z.imag, 12, plots.PALETTE[1], alpha=0.7, linewidths=0)
            axes.set(xlim=(-4, 0.5), ylim=(-3, 3), aspect="equal")
            axes.set_title(name, fontsize="small")
        figure.supxlabel("Re h λ", fontsize="medium")
        figure.supylabel("Im h λ", fontsize="medium")
    return figure
