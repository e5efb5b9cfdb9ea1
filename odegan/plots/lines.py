"""Quantities over time as curves, and final scores as bars."""

import warnings
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from odegan.plots.style import INK, PALETTE, Figure, array, style
from odegan.utils.checks import argument_error


def curves(
    series: Mapping[str, tuple[ArrayLike, ArrayLike]],
    xlabel: str,
    ylabel: str,
    log: bool = False,
    band: Mapping[str, tuple[ArrayLike, ArrayLike]] | None = None,
) -> Figure:
    """One line for each series, named in the legend. Values that are not finite leave gaps.

    Args:
        series: name -> (x (T,), y (T,)).
        xlabel: name of the x axis.
        ylabel: name of the y axis.
        log: a logarithmic y axis.
        band: name of a series -> (low (T,), high (T,)) at the same x, shaded behind its line.

    Examples:
        >>> figure = curves({"D": ([0, 1], [0.7, 0.6]), "G": ([0, 1], [0.7, 0.9])}, "t", "loss")
        >>> len(figure.axes[0].lines)
        2
    """
    _check_series(series)
    band = band or {}
    if unknown := sorted(set(band) - set(series)):
        argument_error("band", ", ".join(unknown), f"given for series: {', '.join(series)}")
    with style():
        figure = Figure(figsize=(6.4, 3.8), layout="constrained")
        axes = figure.subplots()
        for i, (name, xy) in enumerate(series.items()):
            x, y = map(array, xy)
            if x.ndim != 1 or x.shape != y.shape:
                argument_error(
                    "series", f"x of shape {x.shape} and y of shape {y.shape} for {name!r}", "both of shape (T,)"
                )
            color = PALETTE[i % len(PALETTE)]
            # Dashes distinguish lines of the same color.
            dashes = ("-", "--", ":")[i // len(PALETTE) % 3]
            axes.plot(x, y, dashes, color=color, label=name)
            if name in band:
                low, high = map(array, band[name])
                axes.fill_between(x, low, high, color=color, alpha=0.18, linewidth=0)
        axes.set(xlabel=xlabel, ylabel=ylabel, yscale="log" if log else "linear")
        axes.grid(axis="y")
        axes.margins(x=0.01)
        if len(series) > 1:
            axes.legend()
    return figure


def bands(
    series: Mapping[str, tuple[ArrayLike, ArrayLike]],
    xlabel: str,
    ylabel: str,
    log: bool = False,
    low: float = 0.16,
    high: float = 0.84,
) -> Figure:
    """For each series the median over members as a line, and the band between two of their quantiles.

    Members that are not finite at an x do not count there.

    Args:
        series: name -> (x (T,), y (T, E)), of E members, such as the seeds of an ensemble.
        xlabel: name of the x axis.
        ylabel: name of the y axis.
        log: a logarithmic y axis.
        low: the lower quantile, within [0, 1]; the default is one standard deviation of a normal distribution.
        high: the upper quantile.

    Raises:
        ArgumentError: a y that is not (T, E), or invalid quantiles.

    Examples:
        >>> x, y = [0.0, 1.0, 2.0], [[1.0, 3.0], [2.0, 4.0], [3.0, 5.0]]
        >>> bands({"two members": (x, y)}, "t", "y").axes[0].lines[0].get_ydata()
        array([2., 3., 4.])
    """
    if not 0 <= low <= high <= 1:
        argument_error("low, high", (low, high), "quantiles, 0 <= low <= high <= 1")
    _check_series(series)
    middle: dict[str, tuple[ArrayLike, ArrayLike]] = {}
    around: dict[str, tuple[ArrayLike, ArrayLike]] = {}
    for name, (x, y) in series.items():
        members = array(y)
        if members.ndim != 2:
            argument_error("series", f"y of shape {members.shape} for {name!r}", "of shape (T, E)")
        members = np.where(np.isfinite(members), members, np.nan)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # where no member is left: a gap
            lower, half, upper = np.nanquantile(members, [low, 0.5, high], axis=1)
        middle[name] = (x, half)
        around[name] = (lower, upper)
    return curves(middle, xlabel, ylabel, log, around)


def _check_series(series: object) -> None:
    """Refuse anything but a table of at least one name -> (x, y)."""
    allowed = "at least one name -> (x, y), as {'D': (x, y)}"
    if not isinstance(series, Mapping) or not series:
        argument_error("series", series, allowed)
    for name, xy in series.items():
        if not isinstance(xy, tuple | list) or len(xy) != 2:
            argument_error("series", f"a {type(xy).__name__} for {name!r}", allowed)


def bars(
    names: Sequence[str], values: ArrayLike, errors: ArrayLike | None = None, xlabel: str = "", digits: int = 3
) -> Figure:
    """Horizontal bars, the first name on top, each with its value to ``digits`` significant digits.

    Args:
        names: (N,), one per bar.
        values: (N,); a value that is not finite has only its text, no bar.
        errors: (N,) half-widths of the error bars, which are printed as well, or (2, N) lower and upper ones.
        xlabel: what the values are.
        digits: significant digits of the printed values.

    Examples:
        >>> figure = bars(["heun2", "rk4"], [0.3, 0.2], errors=[0.02, 0.01], xlabel="FID")
        >>> [text.get_text() for text in figure.axes[0].texts]
        ['0.3 ± 0.02', '0.2 ± 0.01']
    """
    width = array(values)
    if width.shape != (len(names),):
        argument_error("values", f"shape {width.shape}", f"of shape ({len(names)},), one per name")
    error = None if errors is None else array(errors)
    if error is not None and error.shape not in (width.shape, (2, *width.shape)):
        argument_error("errors", f"shape {error.shape}", f"of shape {width.shape} or {(2, *width.shape)}")
    shown = np.where(np.isfinite(width), width, 0.0)
    texts = [f"{value:.{digits}g}" for value in width]
    if error is not None and error.ndim == 1:
        texts = [f"{text} ± {e:.2g}" for text, e in zip(texts, error, strict=True)]
    with style():
        figure = Figure(figsize=(6.4, 0.9 + 0.36 * len(names)), layout="constrained")
        axes = figure.subplots()
        marks = {"ecolor": INK, "elinewidth": 1.2, "capsize": 2.5}
        drawn = axes.barh(list(names), shown, xerr=error, color=PALETTE[0], height=0.62, error_kw=marks)
        axes.bar_label(drawn, texts, padding=5)
        # barh counts from the bottom.
        axes.invert_yaxis()
        axes.set(xlabel=xlabel)
        # Room for the printed values beside the bars.
        axes.margins(x=0.22)
        axes.tick_params(left=False)
        axes.spines["left"].set_visible(False)
        axes.axvline(0, color=INK, linewidth=0.8)
        axes.grid(axis="x")
        # The margin would otherwise begin left of zero, where no bar can be.
        if (shown >= 0).all():
            axes.set_xlim(left=0)
    return figure
