"""The isotropic Gaussian: data N(v, sigma^2 I), the generator phi + sigma z, the discriminator theta^T x, minimax loss.

Eigenvalues at the equilibrium theta = 0, phi = v, and their phase and conditioning factors, for no penalty, reg-G2, consensus
and JARE over the weight gamma, beside the closed forms; the Euler steps that each needs to converge on the exact game; and
training on minibatches with one gamma, as JARE's own experiment does. The penalties of --penalty, together, are a method beside
these, with their own weights at every gamma.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping, Sequence

import torch

from experiments.framework import runner
from experiments.framework.eigenvalue_blocks import (
    Block,
    conditioning_factor,
    eigenvalues,
    phase_factor,
    relative_difference,
)
from experiments.framework.eigenvalue_branches import Branches, draw_branches
from experiments.framework.endings import finished
from experiments.framework.folder import Folder, Row
from experiments.gaussian import figures
from experiments.gaussian.options import Gaussian
from experiments.gaussian.training import METHODS, Curve, train
from odegan import Game, games, max_stable_step, odeint_gan, spectrum
from odegan.penalties import Penalty

SWEPT = tuple(method for method in METHODS if method != "none")
CHUNK = 100  # steps between checks of convergence


def blocks(v: Sequence[float], sigma: float) -> list[Block]:
    """One block for each eigenvalue a of S / 2, S = sigma^2 I + v v^T.

    >>> [round(block.a, 3) for block in blocks((0.0, 2.0), 0.7)]
    [0.245, 2.245]
    """
    squares = [sigma**2] * (len(v) - 1) + [sigma**2 + sum(x**2 for x in v)]
    return [Block(square / 2, 0.5) for square in squares]


def steps_to_converge(game: Game, made: list[Penalty], step_size: float, options: Gaussian) -> int | None:
    """Euler steps from the game's start until |y - y*| < target times its initial value; None beyond the limit."""
    at = options.equilibrium()
    y = game.init().to(at)
    goal = options.target * float((y - at).norm())
    # In pieces, since the number of steps is not known beforehand.
    for done in range(0, options.limit, CHUNK):
        t = step_size * torch.arange(CHUNK + 1, dtype=torch.float64)
        solution = finished(
            odeint_gan(game, y, t, solver="euler", step_size=step_size, penalties=made, on_nonfinite="stop")
        )
        reached = ((solution.ys - at).norm(dim=1) < goal).nonzero()
        if len(reached):
            return done + int(reached[0])
        if solution.status != "finished":
            return None
        y = solution.y
    return None


def predicted_steps(values: Sequence[complex], step_size: float, target: float) -> float:
    """ln(target) / ln(rho), rho the spectral radius of one Euler step: the slowest mode alone, without its start.

    >>> round(predicted_steps([-1.0], 0.5, 1 / 8), 9)
    3.0
    """
    radius = max(abs(1 + step_size * value) for value in values)
    return math.log(target) / math.log(radius) if 0 < radius < 1 else math.inf


def methods(options: Gaussian) -> dict[str, Callable[[float], list[Penalty]]]:
    """Those of the paper, and the penalties of the command line."""
    return METHODS | (
        {", ".join(options.penalty): lambda gamma: options.chosen_penalties()} if options.chosen_penalties() else {}
    )


def row(method: str, gamma: float, options: Gaussian) -> tuple[Row, list[complex]]:
    """One method at one weight, and its measured eigenvalues."""
    at = options.equilibrium()
    game = games.gaussian(at[len(options.v) :], options.sigma)
    made = methods(options)[method](gamma)
    found = spectrum(game, at, penalties=made)
    values = found.eigenvalues.tolist()
    exact = eigenvalues(method, blocks(options.v, options.sigma), gamma) if method in METHODS else None
    step_size = options.fraction * max_stable_step(found.eigenvalues, "euler")
    expected = predicted_steps(exact or values, step_size, options.target)
    steps = steps_to_converge(game, made, step_size, options) if expected <= options.limit else None
    return {
        "method": method,
        "gamma": gamma if method in SWEPT else None,
        "phase factor": found.phase_factor,
        "closed form phase": phase_factor(exact) if exact else None,
        "conditioning factor": found.conditioning_factor,
        "closed form conditioning": conditioning_factor(exact) if exact else None,
        "eigenvalues off by": relative_difference(values, exact) if exact else None,
        "Euler step": step_size,
        "steps": steps,
        "predicted steps": round(expected) if math.isfinite(expected) else None,
    }, values


def sweep(options: Gaussian, weights: Sequence[float]) -> tuple[list[Row], dict[str, Branches]]:
    """Every method at every weight; and of those with closed forms the eigenvalues over gamma."""
    fine = torch.logspace(-2, 3, 501, dtype=torch.float64).tolist()
    rows: list[Row] = []
    branches = {}
    for method in methods(options):
        # Without a weight the row is the same at every gamma.
        tried = weights if method in SWEPT else weights[:1]
        pairs = [row(method, gamma, options) for gamma in tried]
        rows += [found for found, _ in pairs]
        if method in METHODS:
            # A method without a weight has the same eigenvalues at every gamma.
            measured = [values for _, values in pairs] * (len(weights) // len(tried))
            exact = [eigenvalues(method, blocks(options.v, options.sigma), gamma) for gamma in fine]
            branches[method] = Branches(weights, measured, fine, exact)
    return rows, branches


def log(rows: Sequence[Row], curves: Mapping[str, Curve], folder: Folder) -> None:
    """Every row, and the distances along the training."""
    for found in rows:
        folder.log({"run": f"{found['method']}, gamma {found['gamma']}", **found})
    for method, (counts, distances) in curves.items():
        for count, members in zip(counts.tolist(), distances, strict=True):
            folder.log({"run": f"trained, {method}", "step": int(count), "distance": members})


def run(options: Gaussian, folder: Folder) -> list[Row]:
    """Both factors and the steps over gamma, then the training."""
    grid = [10 ** (k / options.per_decade) for k in range(-2 * options.per_decade, 3 * options.per_decade + 1)]
    rows, branches = sweep(options, sorted({*grid, options.gamma}))
    curves = {method: train(method, make(options.gamma), options) for method, make in methods(options).items()}
    for found in rows:
        trained = found["gamma"] in (None, options.gamma)
        found["trained, distance left"] = float(curves[found["method"]][1][-1].mean()) if trained else None
    log(rows, curves, folder)
    folder.save(draw_branches(branches, figures.GAMMA), "eigenvalues")
    folder.save(figures.factors(rows, branches), "factors")
    folder.save(figures.training(curves), "training")
    worst = max(found["eigenvalues off by"] for found in rows if found["method"] in METHODS)
    print(f"\neigenvalues differ from the closed forms by at most {worst:.1e}, relatively")
    return rows


def main(argv: Sequence[str] | None = None) -> int:
    """Run the experiment from the command line; return the exit code."""
    return runner.main(Gaussian, run, argv)


if __name__ == "__main__":
    sys.exit(main())
