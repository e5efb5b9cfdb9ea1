"""Write figures as an animated GIF, and draw point clouds over the level sets of a function."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure as MplFigure
from numpy.typing import ArrayLike
from PIL import Image

from odegan.plots.style import DOTS, INK, PALETTE, Figure, array, panels, style
from odegan.utils.checks import argument_error, check_number

# A few pale colors, so that points stand out and files stay small. Color-blind readers can tell blue from orange.
_SIGNED = LinearSegmentedColormap.from_list("signed", ["#9DB8D9", "#F7F7F7", "#F2B8A0"])
_LEVELS = 9
_COLORS = 48


def save_animation(
    frames: Iterable[MplFigure], path: str | os.PathLike[str], seconds: float = 6.0, dpi: int = 90
) -> Path:
    """Write figures of equal size as a looping GIF; create the folder, and return the path.

    Args:
        frames: at least one figure. Each is cleared once it is drawn, so that an iterator needs the memory of one figure only.
        path: must end in .gif.
        seconds: duration, to which one second is added for the last frame.
        dpi: dots per inch.

    Raises:
        ArgumentError: no frames, or a duration that is not positive.

    Examples:
        >>> import tempfile
        >>> from odegan.plots import curves
        >>> frames = (curves({"loss": ([0, 1], [1, height])}, "t", "loss") for height in (0.5, 0.2))
        >>> save_animation(frames, tempfile.mkdtemp() + "/loss.gif").name
        'loss.gif'
    """
    check_number("seconds", seconds, low=0.0, strict=True)
    path = Path(path)
    drawn = [_drawn(figure, dpi) for figure in frames]
    if not drawn:
        argument_error("frames", drawn, "at least one figure")
    each = int(1000 * seconds / len(drawn))
    # Dithering would scatter pixels differently in every frame, and files would grow.
    # With one palette for all frames, unchanged regions cost nothing.
    common = drawn[-1].quantize(_COLORS)
    reduced = [frame.quantize(palette=common, dither=Image.Dither.NONE) for frame in drawn]
    path.parent.mkdir(parents=True, exist_ok=True)
    times = [each] * (len(drawn) - 1) + [each + 1000]
    reduced[0].save(path, format="GIF", save_all=True, append_images=reduced[1:], duration=times, loop=0, optimize=True)
    return path


def clouds(
    frames: Sequence[tuple[str, ArrayLike, ArrayLike]],
    extent: float,
    data: ArrayLike | None = None,
    title: str = "",
    columns: int | None = None,
) -> Figure:
    """Planar clouds over the level sets of a function, one panel per frame.

    Levels run from minus to plus the function's largest modulus on the grid, blue below zero and orange above.

    Args:
        frames: (title, points (n, 2), values (r, r)); the grid as from ``plane``.
        extent: panels show [-extent, extent]^2.
        data: (m, 2), drawn as dots beneath the cloud.
        title: title of the whole figure.
        columns: panels per row; by default at most 5, with rows filled evenly.

    Examples:
        >>> points, values = np.zeros((4, 2)), np.linspace(-1, 1, 9).reshape(3, 3)
        >>> len(clouds([("t = 0", points, values), ("t = 1", points, values)], extent=1.0).axes)
        2
    """
    if not frames:
        argument_error("frames", frames, "at least one (title, points, values)")
    with style():
        figure, axes = panels(len(frames), columns, share=True)
        for panel, (name, points, values) in zip(axes, frames, strict=True):
            grid = array(values)
            line = np.linspace(-extent, extent, len(grid))
            # Symmetric about zero, so that the colors show the sign; 1e-12 keeps the levels of a zero grid apart.
            top = max(float(np.abs(grid).max()), 1e-12)
            panel.contourf(line, line, grid, np.linspace(-top, top, _LEVELS + 1), cmap=_SIGNED)
            if data is not None:
                panel.plot(*array(data).T, ".", color=DOTS, markersize=1.2)
            panel.plot(
                *array(points).T, "o", color=PALETTE[0], markersize=3.4, markeredgewidth=0.3, markeredgecolor="white"
            )
            panel.set(title=name, xlim=(-extent, extent), ylim=(-extent, extent), aspect="equal", xticks=(), yticks=())
            panel.spines[:].set_visible(True)
        if title:
            figure.suptitle(title, fontsize="medium", color=INK)
    return figure


def _drawn(figure: MplFigure, dpi: int) -> Image.Image:
    # Agg draws into memory, so that no display is needed.
    canvas = FigureCanvasAgg(figure)
    figure.set_dpi(dpi)
    canvas.draw()
    # Copied, since the buffer belongs to the canvas.
    image = Image.fromarray(np.asarray(canvas.buffer_rgba()).copy()).convert("RGB")
    figure.clear()
    return image
