"""The look that all figures share."""

from __future__ import annotations

import io
import math
import os
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Literal

import matplotlib as mpl
import matplotlib.figure
import numpy as np
import torch
from cycler import cycler
from matplotlib.axes import Axes
from numpy.typing import ArrayLike, NDArray

from odegan.utils.checks import argument_error, check_int

# Okabe and Ito's palette, safe for color-blind readers, without its yellow, which is too light for lines.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
INK = "#333333"  # text, axes, marks that are not data
PALE = "#E4E4E4"  # grid lines
FAINT = "#C4C4C4"  # stream lines
DOTS = "#A8A8A8"  # data drawn beneath
SCREEN_DPI = 100
FILE_DPI = 150


class Figure(matplotlib.figure.Figure):
    """A matplotlib figure that a notebook displays as the result of a cell.

    matplotlib's own figures are displayed only if pyplot manages them, and pyplot keeps all of its figures in memory.

    Examples:
        >>> figure = Figure(figsize=(2, 1))  # inches
        >>> axes = figure.subplots()
        >>> figure._repr_png_()[1:4]
        b'PNG'
    """

    def _repr_png_(self) -> bytes:
        content = io.BytesIO()
        self.savefig(content, format="png", dpi=SCREEN_DPI)
        return content.getvalue()


def style() -> AbstractContextManager[None]:
    """A context manager with the matplotlib settings of all figures in ``odegan.plots``.

    Examples:
        >>> with style():
        ...     mpl.rcParams["legend.frameon"]
        False
    """
    # A context, so that the caller's own settings are as before afterwards.
    return mpl.rc_context(
        {
            "figure.facecolor": "white",
            "axes.facecolor": "white",
            "axes.prop_cycle": cycler(color=PALETTE),
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.edgecolor": INK,
            "axes.labelcolor": INK,
            "axes.titlecolor": INK,
            "axes.titlesize": "medium",
            "axes.axisbelow": True,
            "figure.constrained_layout.h_pad": 0.08,
            "figure.constrained_layout.w_pad": 0.08,
            "grid.color": PALE,
            "text.color": INK,
            "xtick.color": INK,
            "ytick.color": INK,
            "font.size": 10,
            "legend.frameon": False,
            "lines.linewidth": 1.6,
        }
    )


def save(figure: matplotlib.figure.Figure, path: str | os.PathLike[str]) -> Path:
    """Write ``figure`` in the format of the path's suffix; create the folder, and return the path.

    Raster formats such as .png are written at 150 dots per inch; .pdf and .svg stay vector graphics.

    Raises:
        ArgumentError: matplotlib cannot write this format.

    Examples:
        >>> import tempfile
        >>> save(Figure(figsize=(2, 1)), tempfile.mkdtemp() + "/figures/empty.png").name
        'empty.png'
    """
    path = Path(path)
    form = path.suffix.removeprefix(".").lower()
    formats = figure.canvas.get_supported_filetypes()
    if form not in formats:
        argument_error("path", str(path), f"a path that ends in one of {', '.join('.' + name for name in formats)}")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format=form, dpi=FILE_DPI)
    return path


def panels(
    n: int, columns: int | None, share: bool | Literal["y"], size: float = 2.2, most: int = 5
) -> tuple[Figure, list[Axes]]:
    """A figure of n square panels of ``size`` inches, row by row; ``share``: with the same axes, or "y" axes only.

    If ``columns`` is None, there are as few rows as ``most`` columns allow, filled as evenly as possible.
    """
    columns = math.ceil(n / math.ceil(n / most)) if columns is None else min(check_int("columns", columns, low=1), n)
    rows = math.ceil(n / columns)
    figure = Figure(figsize=(size * columns, (size + 0.25) * rows), layout="constrained")
    axes = list(figure.subplots(rows, columns, sharex=share is True, sharey=bool(share), squeeze=False).flat)
    for unused in axes[n:]:
        unused.remove()
    # With shared axes only the bottom row has labels, which an incomplete last row leaves missing in some columns.
    for last in axes[max(n - columns, 0) : n]:
        last.tick_params(labelbottom=True)
    return figure, axes[:n]


def array(data: ArrayLike | torch.Tensor) -> NDArray[np.float64]:
    """A tensor on any device, an array or nested lists -> a float64 numpy array of the same shape."""
    if isinstance(data, torch.Tensor):
        data = data.detach().cpu().double().numpy()  # numpy has no bfloat16
    return np.asarray(data, dtype=np.float64)
