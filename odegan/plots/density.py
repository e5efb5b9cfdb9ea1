"""Planar samples as densities under contours of the discriminator, as in ODE-GAN's mixture figure."""

from collections.abc import Sequence

import numpy as np
import torch
from einops import rearrange
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, PowerNorm
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from odegan.plots.style import INK, PALETTE, Figure, array, panels, style
from odegan.utils.checks import argument_error, check_int, check_number

_COLORS = LinearSegmentedColormap.from_list("density", ["#FFFFFF", "#9ECAE1", "#2171B5", "#08306B"])
_BINS = 200


def plane(extent: float = 2.0, resolution: int = 100) -> Tensor:
    """Points (resolution^2, 2) of a regular grid on [-extent, extent]^2; the first coordinate varies fastest.

    ``critic(plane(extent, r)).reshape(r, r)`` is the critic grid that ``density_frames`` takes.

    Examples:
        >>> plane(1.0, 2)
        tensor([[-1., -1.],
                [ 1., -1.],
                [-1.,  1.],
                [ 1.,  1.]])
    """
    check_number("extent", extent, low=0.0, strict=True)
    check_int("resolution", resolution, low=2)
    line = torch.linspace(-extent, extent, resolution)
    second, first = torch.meshgrid(line, line, indexing="ij")
    return rearrange([first, second], "coordinate row column -> (row column) coordinate")


def density_frames(
    frames: Sequence[tuple[str, ArrayLike, ArrayLike | None]],
    extent: float = 2.0,
    modes: ArrayLike | None = None,
    columns: int | None = None,
    bandwidth: float = 0.03,
) -> Figure:
    """The density of samples under contours of the discriminator, one panel per frame.

    The density is a Gaussian kernel estimate, computed as a blurred 200 x 200 histogram. Its color scale ends
    at each panel's own maximum and follows the square root, so that faint parts show. Contours are quantiles of the
    discriminator's values; the thick line is where the discriminator is 0, that is undecided.

    Args:
        frames: (title, samples (n, 2), critic grid (r, r) or None); the grid as from ``plane``.
        extent: panels show [-extent, extent]^2.
        modes: (K, 2), marked by circles.
        columns: panels per row; by default at most 5, with rows filled evenly.
        bandwidth: standard deviation of the kernel, in the samples' units.

    Examples:
        >>> samples = np.array([[0.0, 0.0], [0.1, 0.0]])
        >>> figure = density_frames([("t = 0", samples, None), ("t = 1", samples, None)], modes=[[0.0, 0.0]])
        >>> [axes.get_title() for axes in figure.axes]
        ['t = 0', 't = 1']
    """
    if not frames:
        argument_error("frames", frames, "at least one (title, samples, critic grid or None)")
    with style():
        figure, axes = panels(len(frames), columns, share=True)
        for panel, (title, samples, critic) in zip(axes, frames, strict=True):
            points = array(samples)
            if points.ndim != 2 or points.shape[1] != 2:
                argument_error("frames", f"samples of shape {points.shape} in {title!r}", "samples of shape (n, 2)")
            box = (-extent, extent, -extent, extent)
            density = _density(points, extent, bandwidth)
            panel.imshow(density, origin="lower", extent=box, cmap=_COLORS, norm=PowerNorm(0.5, vmin=0))
            if critic is not None:
                _contours(panel, array(critic), extent)
            if modes is not None:
                panel.plot(*array(modes).T, "o", markersize=7, fillstyle="none", color=INK, markeredgewidth=0.5)
            ticks = (-extent, 0, extent)
            panel.set(title=title, xlim=box[:2], ylim=box[2:], xticks=ticks, yticks=ticks)
            panel.spines[:].set_visible(True)
    return figure


def _density(points: NDArray[np.float64], extent: float, bandwidth: float) -> NDArray[np.float64]:
    """(n, 2) -> (200, 200), rows by the second coordinate; samples outside or not finite are left out."""
    from scipy.ndimage import gaussian_filter

    # Left out rather than clipped: piled up at the border, strays would look like a mode.
    inside = points[(np.abs(points) <= extent).all(1)]
    # The second coordinate first: imshow draws rows along y.
    counts = np.histogram2d(inside[:, 1], inside[:, 0], bins=_BINS, range=[(-extent, extent)] * 2)[0]
    # Zeros beyond the border: reflecting there would draw mass that is not in the picture.
    density: NDArray[np.float64] = gaussian_filter(counts, bandwidth * _BINS / (2 * extent), mode="constant")
    return density


def _contours(axes: Axes, critic: NDArray[np.float64], extent: float) -> None:
    """Contours of a grid (r, r), rows by the second coordinate; none if the grid is constant or not finite."""
    if critic.ndim != 2 or critic.shape[0] != critic.shape[1]:
        argument_error("frames", f"a critic grid of shape {critic.shape}", "a grid of shape (r, r)")
    if not np.isfinite(critic).all():
        return
    line = np.linspace(-extent, extent, len(critic))
    # Quantiles, since a discriminator's scale changes by orders of magnitude along a run.
    levels = np.unique(np.quantile(critic, np.linspace(0.1, 0.9, 7)))
    if len(levels) > 1:
        axes.contour(line, line, critic, levels, colors=PALETTE[1], linewidths=0.6, linestyles="solid", alpha=0.6)
    if critic.min() < 0 < critic.max():
        axes.contour(line, line, critic, [0.0], colors=PALETTE[1], linewidths=1.3)
