"""Figures of the Dirac GAN; the one of eigenvalues against a weight is shared with the isotropic Gaussian."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from matplotlib.figure import Figure

from odegan import plots

EXTENT = 2.4  # of a portrait, and as much more as the data are off 0
PARTS = {"real part": lambda value: value.real, "imaginary part": lambda value: abs(value.imag)}


class Branches(NamedTuple):
    """Measured eigenvalues at some weights, and closed forms at more of them."""

    weights: Sequence[float]
    measured: Sequence[Sequence[complex]]
    fine: Sequence[float]
    exact: Sequence[Sequence[complex]]


def gallery(frames: Mapping[str, Any], c: float) -> Figure:
    """Phase portraits of all settings at one c."""
    mark = torch.tensor([[0.0, c]])
    return plots.portraits(frames, EXTENT + abs(c), (r"discriminator $\varphi$", r"generator $\theta$"), marks=mark)


def eigenvalues(branches: Mapping[str, Branches], xlabel: str, columns: int = 4) -> Figure:
    """One panel a penalty: circles are measured, lines the closed form."""
    columns = min(columns, len(branches))
    rows = math.ceil(len(branches) / columns)
    with plots.style():
        figure = Figure(figsize=(2.5 * columns, 2.4 * rows + 0.5), layout="constrained")
        axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flatten().tolist()
        for unused in axes[len(branches) :]:
            unused.remove()
        for panel, (name, branch) in zip(axes, branches.items(), strict=False):
            for (part, take), color in zip(PARTS.items(), plots.PALETTE, strict=False):
                for k in range(len(branch.exact[0])):
                    panel.plot(branch.fine, [take(values[k]) for values in branch.exact], color=color, linewidth=1.1)
                for k in range(len(branch.measured[0])):
                    marks = [take(values[k]) for values in branch.measured]
                    label = part if k == 0 else None
                    panel.plot(branch.weights, marks, "o", color=color, markersize=3.5, fillstyle="none", label=label)
            panel.set(title=name, xscale="log")
            panel.set_yscale("symlog", linthresh=0.1)
            panel.grid(axis="y")
        figure.supxlabel(xlabel, fontsize="medium")
        figure.supylabel(r"eigenvalues $\lambda$", fontsize="medium")
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return figure


def responses(curves: Mapping[str, Mapping[float, Any]], long: Mapping[str, Any]) -> Figure:
    """theta(t) of the game on that of the transfer function, and |y - y*| over a long time without feedback."""
    with plots.style():
        figure = Figure(figsize=(10.5, 3.4), layout="constrained")
        panels = figure.subplots(1, len(curves) + 1)
        for axes, (drive, lines) in zip(panels, curves.items(), strict=False):
            for (feedback, (found, exact)), color in zip(lines.items(), plots.PALETTE, strict=False):
                axes.plot(*exact, color=color, linewidth=3.5, alpha=0.35)
                axes.plot(*found, color=color, linewidth=1.1, label=rf"$\lambda = {feedback:g}$")
            axes.set(title=drive, xlabel="t", ylabel=r"$\theta$")
            axes.grid(axis="y")
        for name, line in long.items():
            panels[-1].plot(*line, label=name)
        panels[-1].set(title="without feedback, h = 0.01", xlabel="t", ylabel=r"$|y - y^*|$", yscale="log")
        panels[-1].grid(axis="y")
        panels[-1].legend()
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=len(plots.PALETTE))
    return figure
