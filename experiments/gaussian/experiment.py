"""The isotropic Gaussian: data N(v, sigma^2 I), the generator phi + sigma z, the discriminator theta^T x, minimax loss.

Eigenvalues at the equilibrium theta = 0, phi = v, and their phase and conditioning factors, for no penalty, reg-G2, consensus
and JARE over the weight gamma, beside the closed forms; the Euler steps that each needs to converge on the exact game; and
training on minibatches with one gamma, as JARE's own experiment does. The penalties of --penalty, together, are a method beside
these, with their own weights at every gamma.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from experiments.dirac.figures import Branches
from experiments.framework import runner
from experiments.framework.eigenvalue_blocks import (
    Block,
    conditioning_factor,
    eigenvalues,
    phase_factor,
    relative_difference,
)
from experiments.framework.runner import Folder, Options, finished
from experiments.framework.solver_options import PenaltyOptions
from experiments.gaussian import figures as gaussian_figures
from experiments.gaussian.training import METHODS, train
from odegan import Game, games, max_stable_step, odeint_gan, spectrum, vector_field
from odegan.penalties import Penalty
from odegan.utils.checks import number, whole

SWEPT = tuple(method for method in METHODS if method != "none")
CHUNK = 100  # steps between looks at whether Euler's method has converged


@dataclass
class Gaussian(PenaltyOptions, Options):
    """The game, the weights, and the training on minibatches."""

    v: tuple[float, ...] = (0.0, 2.0)
    """The mean of the data."""
    sigma: float = 0.7
    """Their standard deviation."""
    per_decade: int = 2
    """Weights gamma a decade, from 0.01 to 1000."""
    fraction: float = 0.5
    """Of the largest stable Euler step, for the convergence on the exact game. At 1 nothing converges."""
    target: float = 1e-3
    """Converged: |y - y*| below this share of its start."""
    limit: int = 2000
    """Most steps of one such run; where the linearised prediction is longer, none is made."""
    gamma: float = 10.0
    """Weight of the training on minibatches."""
    train_steps: int = 5000
    """Plain steps of the training on minibatches."""
    step_size: float = 1e-3
    """Of the training on minibatches."""
    batch_size: int = 128
    """Of the training on minibatches."""
    seeds: int = 4
    """Runs of the training on minibatches."""
    full: bool = False
    """The paper's 15,000 steps."""

    def __post_init__(self) -> None:
        """The full form."""
        super().__post_init__()
        self.train_steps = 15_000 if self.full else self.train_steps

    def quick_form(self) -> Gaussian:
        """Weights 0.01, 0.1, ..., few steps."""
        return replace(self, per_decade=1, limit=30, train_steps=20, seeds=2, full=False)

    def check(self) -> None:
        """Refuse what is not a Gaussian, a grid and steps."""
        game = games.gaussian(self.v, self.sigma)
        vector_field(game, self.charged())(0.0, game.init())
        for name in ("fraction", "target", "step_size", "gamma"):
            number(name, getattr(self, name), low=0.0, strict=True)
        for name in ("per_decade", "limit", "train_steps", "batch_size", "seeds"):
            whole(name, getattr(self, name), low=1)


def blocks(v: Sequence[float], sigma: float) -> list[Block]:
    """One block for each eigenvalue a of S / 2, S = sigma^2 I + v v^T.

    >>> [round(block.a, 3) for block in blocks((0.0, 2.0), 0.7)]
    [0.245, 2.245]
    """
    squares = [sigma**2] * (len(v) - 1) + [sigma**2 + sum(x**2 for x in v)]
    return [Block(square / 2, 0.5) for square in squares]


def equilibrium(options: Gaussian) -> torch.Tensor:
    """(0, v), float64."""
    mean = torch.tensor(options.v, dtype=torch.float64, device=options.device)
    return torch.cat([torch.zeros_like(mean), mean])


def steps_to_converge(game: Game, made: list[Penalty], step_size: float, options: Gaussian) -> int | None:
    """Euler steps from the game's start until |y - y*| < target times its start; None where the limit comes first."""
    at, y = equilibrium(options), game.init().to(equilibrium(options))
    goal = options.target * float((y - at).norm())
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
    return METHODS | ({", ".join(options.penalty): lambda gamma: options.charged()} if options.charged() else {})


def row(method: str, gamma: float, options: Gaussian) -> tuple[dict[str, Any], list[complex]]:
    """One method at one weight, and its measured eigenvalues."""
    at = equilibrium(options)
    game, made = games.gaussian(at[len(options.v) :], options.sigma), methods(options)[method](gamma)
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


def run(options: Gaussian, folder: Folder) -> list[dict[str, Any]]:
    """Both factors and the steps over gamma, then the training."""
    grid = [10 ** (k / options.per_decade) for k in range(-2 * options.per_decade, 3 * options.per_decade + 1)]
    weights = sorted({*grid, options.gamma})
    fine = torch.logspace(-2, 3, 501, dtype=torch.float64).tolist()
    rows, branches = [], {}
    for method in methods(options):
        tried = weights if method in SWEPT else weights[:1]
        pairs = [row(method, gamma, options) for gamma in tried]
        rows += [found for found, _ in pairs]
        if method in METHODS:
            measured = [values for _, values in pairs] * (len(weights) // len(tried))
            exact = [eigenvalues(method, blocks(options.v, options.sigma), gamma) for gamma in fine]
            branches[method] = Branches(weights, measured, fine, exact)
    at = equilibrium(options)
    curves = {method: train(method, make(options.gamma), at, options) for method, make in methods(options).items()}
    for found in rows:
        trained = found["gamma"] in (None, options.gamma)
        found["trained, distance left"] = float(curves[found["method"]][1][-1].mean()) if trained else None
        folder.log({"run": f"{found['method']}, gamma {found['gamma']}", **found})
    for method, (counts, distances) in curves.items():
        for count, members in zip(counts.tolist(), distances, strict=True):
            folder.log({"run": f"trained, {method}", "step": int(count), "distance": members})
    folder.save(gaussian_figures.eigenvalues(branches), "eigenvalues")
    folder.save(gaussian_figures.factors(rows, branches), "factors")
    folder.save(gaussian_figures.training(curves), "training")
    worst = max(found["eigenvalues off by"] for found in rows if found["method"] in METHODS)
    print(f"\neigenvalues differ from the closed forms by at most {worst:.1e}, relatively")
    return rows


def main(argv: Sequence[str] | None = None) -> int:
    """The command line."""
    return runner.main(Gaussian, run, argv)


if __name__ == "__main__":
    sys.exit(main())
