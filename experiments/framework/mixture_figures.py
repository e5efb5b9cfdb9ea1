"""Common parts of figures of ensembles on mixtures of Gaussians."""

from __future__ import annotations

from typing import Any

import torch
from einops import rearrange
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from odegan import Game, plots

GRID = 100  # grid points of the discriminator per side
SHOWN = 5120  # samples


def density_frame(
    game: Game, title: str, y: torch.Tensor, extent: float
) -> tuple[str, torch.Tensor, torch.Tensor | None]:
    """One panel of ``plots.density_frames``: samples of a member y (P,), and its discriminator on a grid."""
    samples = game.sample(y, SHOWN)
    if game.critic is None:
        return title, samples, None
    points = plots.plane(extent, GRID).to(y)
    with torch.no_grad():
        values = game.critic(game.split(y)[0], points)
    return title, samples, rearrange(values, "(rows columns) ... -> rows (columns ...)", rows=GRID)


def mean_and_range(axes: Axes, x: ArrayLike, values: torch.Tensor, **look: Any) -> None:
    """The mean over the members of values (R, E) as a line, their range as a band."""
    values = values.double()
    (line,) = axes.plot(x, values.mean(1), **look)
    axes.fill_between(x, values.amin(1), values.amax(1), color=line.get_color(), alpha=0.2, linewidth=0)
