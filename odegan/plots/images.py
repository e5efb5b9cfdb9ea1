"""Generated images in grids."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from odegan.plots.style import array, panels, style
from odegan.utils.checks import fail, whole


def image_grid(images: ArrayLike, columns: int | None = None) -> Figure:
    """Images (n, 1 or 3, H, W) in [-1, 1], row by row; by default in a grid as square as can be."""
    tiles = _tile(images, columns)
    height, width = tiles.shape[:2]
    with style():
        figure = Figure(figsize=(6.4, 6.4 * height / width), layout="constrained")
        _show(figure.subplots(), tiles)
    return figure


def image_grid_over_time(frames: Sequence[tuple[str, ArrayLike]], columns: int | None = None) -> Figure:
    """One grid a frame (title, images (n, 1 or 3, H, W) in [-1, 1]), each as square as can be.

    ``columns`` counts the grids a row; by default at most 5.
    """
    if not frames:
        fail("frames", frames, "at least one (title, images)")
    with style():
        figure, axes = panels(len(frames), columns, share=False)
        for panel, (title, images) in zip(axes, frames, strict=True):
            _show(panel, _tile(images, None))
            panel.set_title(title)
    return figure


def _tile(images: ArrayLike, columns: int | None) -> NDArray[np.float64]:
    """(n, c, H, W) in [-1, 1] -> (rows (H+p) + p, columns (W+p) + p, c) in [0, 1].

    The ground is white and so are the p pixels between images. Pixels that are not finite become mid-gray.
    """
    pixels = array(images)
    if pixels.ndim != 4 or pixels.shape[1] not in (1, 3) or len(pixels) == 0:
        fail("images", f"shape {pixels.shape}", "of shape (n, 1, H, W) or (n, 3, H, W), with n > 0")
    n, channels, height, width = pixels.shape
    columns = math.ceil(math.sqrt(n)) if columns is None else whole("columns", columns, low=1)
    pixels = (np.nan_to_num(pixels, nan=0.0).clip(-1, 1) + 1) / 2
    gap = max(1, height // 16)
    tiles = np.ones((math.ceil(n / columns) * (height + gap) + gap, columns * (width + gap) + gap, channels))
    for i, image in enumerate(pixels):
        top, left = (gap + i // columns * (height + gap), gap + i % columns * (width + gap))
        tiles[top : top + height, left : left + width] = image.transpose(1, 2, 0)
    return tiles


def _show(axes: Axes, tiles: NDArray[np.float64]) -> None:
    axes.imshow(tiles, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.set_axis_off()
