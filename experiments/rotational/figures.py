"""Figures of the rotational field."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from experiments.framework.folder import Row
from experiments.framework.planar_fields import arrows, path, rotation_matrix
from experiments.rotational.options import Rotational
from odegan import games, plots

LineStyle = tuple[int, tuple[int, int]]  # offset, and lengths of dash and gap, as matplotlib has it
SHOWN = ("euler", "heun2", "rk4", "dopri5")


def spirals(options: Rotational) -> Figure:
    """Trajectories on one field and step."""
    game = games.quadratic(rotation_matrix(options.damping, options.rotation))
    penalties = options.chosen_penalties()
    steps = math.ceil(options.time / options.step_size)
    t = options.times(steps * options.step_size, steps)
    paths = {name: path(game, name, t, options.step_size, penalties) for name in SHOWN}
    # At most 4: Euler's method spirals out of any picture.
    extent = 1.1 * min(max(float(p.abs().max()) for p in paths.values()), 4.0)
    figure = plots.trajectories(paths, arrows(game, penalties), extent, ("$y_1$", "$y_2$"))
    return dashed(figure, {"rk4": (0, (4, 4)), "dopri5": (4, (4, 4))})


def frozen_opponent(options: Rotational) -> Figure:
    """The bilinear game: joint RK4 stays on its circle; with frozen opponents it is Euler's method."""
    game = games.bilinear()
    t = options.times(12, 120)
    penalties = options.chosen_penalties()
    paths = {
        "rk4, joint": path(game, "rk4", t, 0.1, penalties),
        "euler, joint": path(game, "euler", t, 0.1, penalties),
        "rk4, frozen opponent": path(game, "rk4", t, 0.1, penalties, players="frozen"),
    }
    figure = plots.trajectories(paths, arrows(game, penalties), 2.0, ("discriminator", "generator"))
    return dashed(figure, {"rk4, frozen opponent": (0, (4, 4))})


def dashed(figure: Figure, styles: Mapping[str, LineStyle]) -> Figure:
    """Draw some paths dashed, so that those under them show."""
    drawn = [line for axes in figure.axes for line in axes.lines]
    for line in [*drawn, *(line for legend in figure.legends for line in legend.get_lines())]:
        line.set_linestyle(styles.get(str(line.get_label()), "-"))
    return figure


def thresholds(rows: Sequence[Row]) -> Figure:
    """Measured thresholds on the closed forms, on a logarithmic axis."""
    names = [r["solver"] for r in rows]
    with plots.style():
        figure = Figure(figsize=(6.4, 3.0), layout="constrained")
        axes = figure.subplots()
        axes.plot([r["closed form b"] for r in rows], names, "o", markersize=13, fillstyle="none", label="closed form")
        axes.plot([r["measured b"] for r in rows], names, "x", markersize=8, markeredgewidth=2, label="measured")
        for r in rows:
            axes.annotate(
                f"{r['measured b']:.4g}", (r["measured b"], r["solver"]), (14, -4), textcoords="offset points"
            )
        axes.set(xscale="log", xlabel="rotation b above which the solver diverges")
        # The first solver on top: the axis counts upward.
        axes.invert_yaxis()
        axes.margins(x=0.15, y=0.12)
        axes.grid(axis="x", which="both")
        axes.legend(loc="lower left")
    return figure
