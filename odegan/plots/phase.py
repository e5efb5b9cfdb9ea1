"""Phase portraits of planar fields."""

from collections.abc import Callable, Mapping

import numpy as np
from einops import rearrange
from matplotlib.axes import Axes
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from odegan.plots.density import plane
from odegan.plots.style import FAINT, INK, PALETTE, Figure, array, panels, style
from odegan.utils.checks import argument_error


def trajectories(
    paths: Mapping[str, ArrayLike],
    field: Callable[[Tensor], ArrayLike] | None = None,
    extent: float = 1.0,
    labels: tuple[str, str] = ("", ""),
) -> Figure:
    """Paths in the plane over the stream lines of a field.

    A hollow circle marks the start of a path, a filled one its end. A path that leaves the picture, or becomes non-finite, has
    a cross at its last point inside.

    Args:
        paths: name -> (T, 2).
        field: points (n, 2) -> vectors (n, 2); None draws no stream lines.
        extent: the picture shows [-extent, extent]^2.
        labels: names of the two axes.

    Examples:
        >>> path = np.array([[0.5, 0.0], [0.0, 0.5], [-0.4, 0.0]])
        >>> figure = trajectories({"heun2": path}, field=lambda y: y.flip(1))
        >>> figure.axes[0].lines[0].get_label()
        'heun2'
    """
    with style():
        figure = Figure(figsize=(5.2, 5.2), layout="constrained")
        axes = figure.subplots()
        if field is not None:
            _stream(axes, field, extent)
        _paths(axes, paths, extent)
        limits = (-extent, extent)
        axes.set(xlim=limits, ylim=limits, aspect="equal", xlabel=labels[0], ylabel=labels[1])
        if paths:
            figure.legend(loc="outside upper center", ncols=min(len(paths), 4))
    return figure


def portraits(
    frames: Mapping[str, tuple[Mapping[str, ArrayLike], Callable[[Tensor], ArrayLike]]],
    extent: float = 1.0,
    labels: tuple[str, str] = ("", ""),
    marks: ArrayLike = (),
    columns: int | None = None,
) -> Figure:
    """Several ``trajectories``, one titled panel per field, with one legend.

    Args:
        frames: title -> (paths, field), as ``trajectories`` takes them.
        extent: the panels show [-extent, extent]^2.
        labels: names of the two axes.
        marks: (n, 2) points, such as equilibria, marked by a plus in every panel.
        columns: panels per row; by default at most 5, with rows filled evenly.

    Examples:
        >>> paths = {"rk4": np.array([[0.5, 0.0], [0.0, 0.5]])}
        >>> figure = portraits({"rotation": (paths, lambda y: y.flip(1)), "decay": (paths, lambda y: -y)})
        >>> [axes.get_title() for axes in figure.axes]
        ['rotation', 'decay']
    """
    if not frames:
        argument_error("frames", dict(frames), "at least one title -> (paths, field)")
    points = np.atleast_2d(array(marks))
    with style():
        figure, axes = panels(len(frames), columns, share=True)
        for panel, (title, (paths, field)) in zip(axes, frames.items(), strict=True):
            _stream(panel, field, extent, density=0.6)
            _paths(panel, paths, extent, size=0.7)
            if points.size:
                panel.plot(*points.T, "+", color=INK, markersize=8, markeredgewidth=1.4, zorder=4)
            panel.set(title=title, xlim=(-extent, extent), ylim=(-extent, extent), aspect="equal")
        figure.supxlabel(labels[0], fontsize="medium")
        figure.supylabel(labels[1], fontsize="medium")
        # One legend of the first panel: all panels show the same names.
        handles, names = axes[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside upper center", ncols=max(min(len(names), 6), 1))
    return figure


def _paths(axes: Axes, paths: Mapping[str, ArrayLike], extent: float, size: float = 1.0) -> None:
    for i, (name, points) in enumerate(paths.items()):
        path = array(points)
        if path.ndim != 2 or path.shape[1] != 2 or len(path) == 0:
            argument_error("paths", f"shape {path.shape} for {name!r}", "of shape (T, 2), with T > 0")
        _path(axes, path, name, PALETTE[i % len(PALETTE)], extent, size)


def _stream(axes: Axes, field: Callable[[Tensor], ArrayLike], extent: float, density: float = 1.1) -> None:
    n = 30
    line = np.linspace(-extent, extent, n)
    u, v = rearrange(array(field(plane(extent, n))), "(row column) coordinate -> coordinate row column", row=n)
    axes.streamplot(line, line, u, v, color=FAINT, linewidth=0.7, arrowsize=0.8, density=density)


def _path(axes: Axes, path: NDArray[np.float64], name: str, color: str, extent: float, size: float) -> None:
    reach = np.abs(path).max(axis=1, initial=0.0)
    drawn = np.where((reach <= 10 * extent)[:, None], path, np.nan)  # far points would overflow the renderer
    axes.plot(drawn[:, 0], drawn[:, 1], color=color, label=name, linewidth=1.4 * size)
    # Above the lines (zorder 2), so that a path which returns does not cover its own start.
    axes.plot(*path[0], "o", color=color, markerfacecolor="white", markersize=7 * size, zorder=3)
    inside = np.flatnonzero(reach <= extent)
    if reach[-1] <= extent:
        axes.plot(*path[-1], "o", color=color, markeredgecolor="white", markersize=8 * size, zorder=3)
    elif len(inside):
        axes.plot(*path[inside[-1]], "x", color=color, markersize=8 * size, markeredgewidth=2.2 * size, zorder=3)
