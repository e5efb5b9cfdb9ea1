"""Grids of generated images."""

import math
from collections.abc import Sequence

import numpy as np
from einops import rearrange
from matplotlib.axes import Axes
from numpy.typing import ArrayLike, NDArray

from odegan.plots.style import Figure, array, panels, style
from odegan.utils.checks import argument_error, check_int


def image_grid(images: ArrayLike, columns: int | None = None) -> Figure:
    """The ``images`` (n, 1 or 3, H, W) in [-1, 1], row by row; by default in a grid as square as possible.

    Examples:
        >>> figure = image_grid(np.zeros((6, 1, 8, 8)), columns=3)
        >>> len(figure.axes)
        1
    """
    tiles = tile(images, columns)
    height, width = tiles.shape[:2]
    with style():
        figure = Figure(figsize=(6.4, 6.4 * height / width), layout="constrained")
        _show(figure.subplots(), tiles)
    return figure


def image_grid_over_time(frames: Sequence[tuple[str, ArrayLike]], columns: int | None = None) -> Figure:
    """One grid for each of the ``frames`` (title, images (n, 1 or 3, H, W) in [-1, 1]), each as square as possible.

    ``columns`` is the number of grids per row; by default at most 5.

    Examples:
        >>> figure = image_grid_over_time([("t = 0", np.zeros((4, 1, 8, 8))), ("t = 1", np.ones((4, 1, 8, 8)))])
        >>> [axes.get_title() for axes in figure.axes]
        ['t = 0', 't = 1']
    """
    if not frames:
        argument_error("frames", frames, "at least one (title, images)")
    with style():
        figure, axes = panels(len(frames), columns, share=False)
        for panel, (title, images) in zip(axes, frames, strict=True):
            _show(panel, tile(images))
            panel.set_title(title)
    return figure


def tile(images: ArrayLike, columns: int | None = None) -> NDArray[np.float64]:
    """(n, c, H, W) in [-1, 1] -> (rows (H+p) + p, columns (W+p) + p, c) in [0, 1].

    Margins of p pixels around each image and the cells of missing images are white. NaN becomes mid-gray.

    Examples:
        >>> tile(np.zeros((4, 1, 8, 8))).shape[-1]
        1
    """
    pixels = array(images)
    if pixels.ndim != 4 or pixels.shape[1] not in (1, 3) or len(pixels) == 0:
        argument_error("images", f"shape {pixels.shape}", "of shape (n, 1, H, W) or (n, 3, H, W), with n > 0")
    n = len(pixels)
    columns = math.ceil(math.sqrt(n)) if columns is None else check_int("columns", columns, low=1)
    pixels = (np.nan_to_num(pixels, nan=0.0).clip(-1, 1) + 1) / 2
    # Padded on two sides here and on the other two in the end, so that neighbors share a margin.
    gap = max(1, pixels.shape[2] // 16)
    missing = -n % columns
    framed = np.pad(pixels, ((0, missing), (0, 0), (gap, 0), (gap, 0)), constant_values=1.0)
    tiles = rearrange(framed, "(row column) c h w -> (row h) (column w) c", column=columns)
    return np.pad(tiles, ((0, gap), (0, gap), (0, 0)), constant_values=1.0)


def _show(axes: Axes, tiles: NDArray[np.float64]) -> None:
    # Without vmin and vmax matplotlib would stretch the gray levels of each grid to its own range.
    axes.imshow(tiles, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.set_axis_off()
