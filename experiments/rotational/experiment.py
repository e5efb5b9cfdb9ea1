"""The rotational field y' = (-a I + b J) y, on which Euler's method diverges though the flow converges.

Three things are measured: trajectories of several solvers on one field and step; for each fixed-step solver the rotation b
above which it diverges, beside the root of its stability polynomial; and, on the bilinear game, that integrating each
player against a frozen opponent is Euler's method whatever the solver, and diverges. With --penalty all three are those of the
penalized fields.
"""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Callable, Sequence

import torch
from scipy.optimize import brentq

from experiments.framework import runner
from experiments.framework.folder import Folder, Row
from experiments.framework.planar_fields import path, rotation_matrix
from experiments.rotational.figures import frozen_opponent, spirals, thresholds
from experiments.rotational.options import Rotational
from odegan import games, solvers, spectrum
from odegan.penalties import Penalty


def fixed_solvers() -> list[str]:
    """The names of the fixed-step Runge-Kutta solvers."""
    return [name for name in solvers.names() if solvers.get(name).fixed_one_step]


def eigenvalues(a: float, b: float, made: Sequence[Penalty]) -> list[complex]:
    """The eigenvalues of the field, which stays linear, since the possible penalties of this game are quadratic.

    >>> eigenvalues(1.0, 2.0, [])
    [(-1+2j)]
    """
    if not made:
        return [complex(-a, b)]
    game = games.quadratic(rotation_matrix(a, b))
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


def first_sign_change(excess: Callable[[float], float], h: float) -> float:
    """The first root of an excess that is negative at b = 0, found on a grid and refined; 0.0 if it is not negative, inf if it
    stays so.
    """
    if excess(0.0) >= 0:
        return 0.0
    # 4 / h: beyond the stability interval of every solver here. A grid, since the excess may change sign more than once.
    grid = [4 / h * k / 1000 for k in range(1001)]
    bracket = next(((u, v) for u, v in itertools.pairwise(grid) if excess(v) > 0), None)
    return math.inf if bracket is None else float(brentq(excess, *bracket, xtol=1e-12, rtol=1e-12))


def measured(solver: str, options: Rotational) -> float:
    """The same threshold by bisection on whether |y| grows over some steps of the solver itself."""
    h = options.step_size
    penalties = options.chosen_penalties()
    t = options.times(options.steps * h, 1)

    def grows(b: float) -> bool:
        # The start has norm 1 and the field is linear, so that growth over many steps decides.
        return bool(path(games.quadratic(rotation_matrix(options.damping, b)), solver, t, h, penalties)[-1].norm() > 1)

    low = 0.0
    # As in ``first_sign_change``: beyond the stability interval of every solver here.
    high = 4 / h
    if grows(low):
        return 0.0
    if not grows(high):
        return math.inf
    while high - low > options.digits * high:
        middle = (low + high) / 2
        low, high = (low, middle) if grows(middle) else (middle, high)
    return (low + high) / 2


def row(solver: str, options: Rotational) -> Row:
    """One solver's thresholds, and those with a frozen opponent on the bilinear game."""
    order = solvers.get(solver).order
    assert order is not None
    exact = closed_form(order, options.damping, options.step_size, options.chosen_penalties())
    found = measured(solver, options)
    game = games.bilinear()
    t = options.times(200 * 0.1, 200)
    frozen = path(game, solver, t, 0.1, options.chosen_penalties(), players="frozen")
    euler = path(game, "euler", t, 0.1, options.chosen_penalties())
    return {
        "solver": solver,
        "order": order,
        "measured b": found,
        "closed form b": exact,
        "relative difference": abs(found - exact) / exact if exact else math.nan,
        "frozen: norm after 200 steps": float(frozen[-1].norm()),
        "frozen: distance from Euler": float((frozen - euler).abs().max()),
    }


def run(options: Rotational, folder: Folder) -> list[Row]:
    """Make all three measurements, and return their rows."""
    rows = [row(solver, options) for solver in fixed_solvers()]
    for r in rows:
        folder.log({"run": r["solver"], **r})
    folder.save(spirals(options), "spirals")
    folder.save(thresholds(rows), "thresholds")
    folder.save(frozen_opponent(options), "frozen")
    return rows


def main(argv: Sequence[str] | None = None) -> int:
    """Run the experiment from the command line; return the exit code."""
    return runner.main(Rotational, run, argv)


if __name__ == "__main__":
    sys.exit(main())
