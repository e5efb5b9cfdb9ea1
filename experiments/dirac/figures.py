"""Figures of the Dirac GAN."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from matplotlib.figure import Figure

from experiments.dirac.response import Curve, Response
from odegan import plots

# Solver -> states (T, 2); and the field at points (n, 2).
Portrait = tuple[Mapping[str, torch.Tensor], Callable[[torch.Tensor], torch.Tensor]]

EXTENT = 2.4  # of a portrait, and as much more as the data are off 0


def gallery(frames: Mapping[str, Portrait], c: float) -> Figure:
    """Phase portraits of all variants at one c."""
    mark = torch.tensor([[0.0, c]])
    return plots.portraits(frames, EXTENT + abs(c), (r"discriminator $\varphi$", r"generator $\theta$"), marks=mark)


def responses(by_drive: Mapping[str, Mapping[float, Response]], undamped: Mapping[str, Curve]) -> Figure:
    """theta(t) of the game on that of the transfer function, and |y - y*| over a long time without feedback."""
    with plots.style():
        figure = Figure(figsize=(10.5, 3.4), layout="constrained")
        *axes, last = figure.subplots(1, len(by_drive) + 1)
        for panel, (drive, by_feedback) in zip(axes, by_drive.items(), strict=True):
            for (feedback, response), color in zip(by_feedback.items(), plots.PALETTE, strict=False):
                panel.plot(*response.exact, color=color, linewidth=3.5, alpha=0.35)
                panel.plot(*response.found, color=color, linewidth=1.1, label=rf"$\lambda = {feedback:g}$")
            panel.set(title=drive, xlabel="t", ylabel=r"$\theta$")
            panel.grid(axis="y")
        for name, curve in undamped.items():
            last.plot(*curve, label=name)
        last.set(title="without feedback, h = 0.01", xlabel="t", ylabel=r"$|y - y^*|$", yscale="log")
        last.grid(axis="y")
        last.legend()
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=len(plots.PALETTE))
    return figure
