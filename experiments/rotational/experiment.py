"""The rotational field y' = (-a I + b J) y, on which Euler's method diverges though the flow converges.

Three things are measured: trajectories of several solvers on one field and step; for each fixed-step solver the rotation b
above which it diverges, beside the root of its stability polynomial; and, on the bilinear game, that integrating each
player against a frozen opponent is Euler's method whatever the solver, and diverges. With --penalty all three are those of the
penalised fields.
"""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from matplotlib.figure import Figure
from scipy.optimize import brentq

from experiments.framework import runner
from experiments.framework.runner import Folder, Options, finished
from experiments.framework.solver_options import PenaltyOptions
from odegan import Game, games, odeint_gan, plots, solvers, spectrum, vector_field
from odegan.penalties import Penalty
from odegan.utils.checks import number, whole

SHOWN = ("euler", "heun2", "rk4", "dopri5")


@dataclass
class Rotational(PenaltyOptions, Options):
    """The rotational field, and how it is integrated."""

    damping: float = 1.0
    """a: how fast the flow itself converges."""
    rotation: float = 25.0
    """b of the trajectories that are shown."""
    step_size: float = 0.01
    """h."""
    time: float = 0.6
    """How long the trajectories run."""
    steps: int = 50
    """Steps that decide whether a solver diverges at some b."""
    digits: float = 1e-6
    """Relative accuracy of the measured thresholds."""

    def quick_form(self) -> Rotational:
        """Fewer steps, and thresholds to three digits."""
        return replace(self, steps=5, digits=1e-3)

    def check(self) -> None:
        """Refuse what is not a field that converges and a solver that moves."""
        for name in ("damping", "step_size", "time", "digits"):
            number(name, getattr(self, name), low=0.0, strict=True)
        number("rotation", self.rotation)
        whole("steps", self.steps, low=1)
        for game in (games.quadratic(matrix(1.0, 1.0)), games.bilinear()):
            vector_field(game, self.charged())(0.0, torch.zeros(2, dtype=torch.float64))


def fixed_solvers() -> list[str]:
    """The fixed-step Runge-Kutta solvers."""
    return [name for name in solvers.names() if solvers.get(name).fixed_one_step]


def times(options: Rotational, end: float, steps: int) -> torch.Tensor:
    """From 0 to the end, (steps + 1,) float64, on the device of the run."""
    return torch.linspace(0, end, steps + 1, dtype=torch.float64, device=options.device)


def matrix(a: float, b: float) -> torch.Tensor:
    """-a I + b J, (2, 2) float64."""
    return torch.tensor([[-a, -b], [b, -a]], dtype=torch.float64)


def path(game: Any, solver: str, t: torch.Tensor, step_size: float, **options: Any) -> torch.Tensor:
    """States (T, 2) from (1, 0) at the times t, on their device; inf from where they are not finite."""
    h = None if solvers.get(solver).adaptive else step_size
    start = torch.tensor([1.0, 0.0], dtype=torch.float64, device=t.device)
    reached = finished(odeint_gan(game, start, t, solver=solver, step_size=h, on_nonfinite="stop", **options)).ys
    return torch.cat([reached, reached.new_full((len(t) - len(reached), 2), math.inf)])


def eigenvalues(a: float, b: float, made: Sequence[Penalty]) -> list[complex]:
    """Of the field; the penalties that this game can have are quadratic, and leave it linear.

    >>> eigenvalues(1.0, 2.0, [])
    [(-1+2j)]
    """
    if not made:
        return [complex(-a, b)]
    game = games.quadratic(matrix(a, b))
    return spectrum(game, torch.zeros(2, dtype=torch.float64), penalties=made).eigenvalues.tolist()


def closed_form(order: int, a: float, h: float, made: Sequence[Penalty] = ()) -> float:
    """The b > 0 from which on |R(h lambda)| > 1 for an eigenvalue, -a + i b without a penalty, R the exponential's Taylor
    polynomial of this order.

    That is the stability polynomial of every explicit Runge-Kutta method with as many stages as its order.
    """

    def excess(b: float) -> float:
        points = [h * value for value in eigenvalues(a, b, made)]
        return max(abs(sum(z**k / math.factorial(k) for k in range(order + 1))) for z in points) - 1

    return first_sign_change(excess, h)


def first_sign_change(excess: Any, h: float) -> float:
    """The first root of an excess that is negative at b = 0, found on a grid and refined; 0.0 if it is not negative, inf if it
    stays so.
    """
    if excess(0.0) >= 0:
        return 0.0
    grid = [4 / h * k / 1000 for k in range(1001)]
    bracket = next(((u, v) for u, v in itertools.pairwise(grid) if excess(v) > 0), None)
    return math.inf if bracket is None else float(brentq(excess, *bracket, xtol=1e-12, rtol=1e-12))


def measured(solver: str, options: Rotational) -> float:
    """The same threshold by bisection on whether |y| grows over some steps of the solver itself."""
    a, h, made = options.damping, options.step_size, options.charged()
    t = times(options, options.steps * h, 1)

    def grows(b: float) -> bool:
        return bool(path(games.quadratic(matrix(a, b)), solver, t, h, penalties=made)[-1].norm() > 1)

    low, high = 0.0, 4 / h
    if grows(low):
        return 0.0
    if not grows(high):
        return math.inf
    while high - low > options.digits * high:
        middle = (low + high) / 2
        low, high = (low, middle) if grows(middle) else (middle, high)
    return (low + high) / 2


def row(solver: str, options: Rotational) -> dict[str, Any]:
    """One solver's thresholds, and what a frozen opponent makes of it on the bilinear game."""
    order = solvers.get(solver).order
    assert order is not None
    exact = closed_form(order, options.damping, options.step_size, options.charged())
    found = measured(solver, options)
    t, game, charged = times(options, 200 * 0.1, 200), games.bilinear(), {"penalties": options.charged()}
    frozen, euler = path(game, solver, t, 0.1, players="frozen", **charged), path(game, "euler", t, 0.1, **charged)
    return {
        "solver": solver,
        "order": order,
        "measured b": found,
        "closed form b": exact,
        "relative difference": abs(found - exact) / exact if exact else math.nan,
        "frozen: norm after 200 steps": float(frozen[-1].norm()),
        "frozen: distance from Euler": float((frozen - euler).abs().max()),
    }


def arrows(game: Game, made: Sequence[Penalty]) -> Callable[[torch.Tensor], torch.Tensor]:
    """The field at many points (n, 2) at once."""
    field = vector_field(game, made)
    return torch.vmap(lambda y: field(0.0, y.double()))


def spirals(options: Rotational) -> Figure:
    """Trajectories on one field and step."""
    game, made = games.quadratic(matrix(options.damping, options.rotation)), options.charged()
    steps = math.ceil(options.time / options.step_size)
    t = times(options, steps * options.step_size, steps)
    paths = {name: path(game, name, t, options.step_size, penalties=made) for name in SHOWN}
    extent = 1.1 * min(max(float(p.abs().max()) for p in paths.values()), 4.0)
    figure = plots.trajectories(paths, arrows(game, made), extent, ("$y_1$", "$y_2$"))
    return dashed(figure, {"rk4": (0, (4, 4)), "dopri5": (4, (4, 4))})


def frozen_opponent(options: Rotational) -> Figure:
    """The bilinear game: joint RK4 stays on its circle; with frozen opponents it is Euler's method."""
    t, game, made = times(options, 12, 120), games.bilinear(), options.charged()
    paths = {
        "rk4, joint": path(game, "rk4", t, 0.1, penalties=made),
        "euler, joint": path(game, "euler", t, 0.1, penalties=made),
        "rk4, frozen opponent": path(game, "rk4", t, 0.1, players="frozen", penalties=made),
    }
    figure = plots.trajectories(paths, arrows(game, made), 2.0, ("discriminator", "generator"))
    return dashed(figure, {"rk4, frozen opponent": (0, (4, 4))})


def dashed(figure: Figure, styles: Mapping[str, Any]) -> Figure:
    """Draw some paths dashed, so that those under them show."""
    drawn = [line for axes in figure.axes for line in axes.lines]
    for line in [*drawn, *(line for legend in figure.legends for line in legend.get_lines())]:
        line.set_linestyle(styles.get(str(line.get_label()), "-"))
    return figure


def thresholds(rows: Sequence[dict[str, Any]]) -> Figure:
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
        axes.invert_yaxis()
        axes.margins(x=0.15, y=0.12)
        axes.grid(axis="x", which="both")
        axes.legend(loc="lower left")
    return figure


def run(options: Rotational, folder: Folder) -> list[dict[str, Any]]:
    """All three measurements."""
    rows = [row(solver, options) for solver in fixed_solvers()]
    for r in rows:
        folder.log({"run": r["solver"], **r})
    folder.save(spirals(options), "spirals")
    folder.save(thresholds(rows), "thresholds")
    folder.save(frozen_opponent(options), "frozen")
    return rows


def main(argv: Sequence[str] | None = None) -> int:
    """The command line."""
    return runner.main(Rotational, run, argv)


if __name__ == "__main__":
    sys.exit(main())
