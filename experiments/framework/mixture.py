"""Mixtures of Gaussians in the plane: data, scores, and the training of an ensemble for a number of field evaluations."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from einops import repeat
from numpy.typing import NDArray

from experiments.framework.budget import Budget
from experiments.framework.folder import Row
from experiments.framework.solver_options import evaluations_per_step
from odegan import Game, Solution, odeint_gan
from odegan.metrics import MixtureScores, mixture_scores


@dataclass(frozen=True)
class Mixture:
    """Equally weighted Gaussians N(mode, sigma^2 I) around modes (K, 2)."""

    modes: torch.Tensor
    sigma: float

    def draw(self, n: int, generator: torch.Generator) -> torch.Tensor:
        """n samples (n, 2) with every mode exactly n/K times."""
        return self._around(repeat(self.modes, "modes xy -> (copies modes) xy", copies=n // len(self.modes)), generator)

    def draw_independent(self, n: int, generator: torch.Generator) -> torch.Tensor:
        """n independent samples (n, 2), each with its own random mode."""
        return self._around(self.modes[torch.randint(len(self.modes), (n,), generator=generator)], generator)

    def _around(self, centers: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        return centers + self.sigma * torch.randn(len(centers), 2, generator=generator)


def ring(radius: float, sigma: float, modes: int = 8) -> Mixture:
    """Modes evenly spaced on a circle, the first one on the positive first axis.

    >>> ring(2.0, 0.06).modes[2].round(decimals=3).tolist()
    [-0.0, 2.0]
    """
    angles = torch.arange(modes) * (2 * math.pi / modes)
    return Mixture(radius * torch.stack([angles.cos(), angles.sin()], 1), sigma)


MODES = torch.cartesian_prod(*[torch.tensor([-1.5, -0.5, 0.5, 1.5])] * 2)
SIGMA = 0.02
LATENT = 32
MOG16 = Mixture(MODES, SIGMA)
draw = MOG16.draw


@dataclass(frozen=True)
class EnsembleRun:
    """An ensemble of E members at R reported times.

    evaluations (R,): field evaluations so far; states (R, E, P), NaN for diverged members; scores: tensors (R, E); seconds,
    cpu: wall-clock and processor seconds of the training alone.
    """

    solution: Solution
    evaluations: NDArray[np.float64]
    states: torch.Tensor
    scores: MixtureScores
    seconds: float
    cpu: float

    @property
    def diverged(self) -> torch.Tensor:
        """Whether each member became non-finite, (E,)."""
        return ~self.states[-1].isfinite().all(-1)

    def lines(self) -> Iterator[Row]:
        """The scores at every reported time, for the log."""
        for step, (evaluations, *scores) in enumerate(zip(self.evaluations, *self.scores, strict=True)):
            named = dict(zip(self.scores._fields, scores, strict=True))
            yield {"step": step, "evaluations": int(evaluations), **named}


def starting_points(game: Game, seed: int, members: int) -> torch.Tensor:
    """y0 (E, P): initializations for the seeds seed, seed + 1, and so on."""
    return torch.stack([game.init(seed=seed + member) for member in range(members)])


def train(
    game: Game,
    y0: torch.Tensor,
    keywords: dict[str, Any],
    *,
    evaluations: int,
    reports: int,
    samples: int,
    checkpoint: Path,
    batch_size: int,
    seed: int,
    target: Mixture = MOG16,
    independent: bool = False,
    compile: bool = False,
    progress: str | bool = False,
) -> EnsembleRun:
    """Integrate an ensemble y0 (E, P) for a number of field evaluations, and score it at equal intervals.

    Args:
        game: of the two networks.
        y0: initial states.
        keywords: the solver's arguments of ``odeint_gan``.
        evaluations: the budget. Fixed-step solvers make as many steps as it allows. Adaptive solvers run until it is spent, or
            to the time that one accepted step per refresh interval would reach, whichever comes first.
        reports: number of times scored, besides the start.
        samples: samples per member for each score.
        checkpoint: file to resume from.
        batch_size: samples per minibatch.
        seed: of the first member; the others have the following seeds.
        target: the data.
        independent: draw the mode of each sample independently, instead of giving every mode the same number of samples.
        compile: compile the step.
        progress: show a progress bar with this label.
    """
    # Reports in time, at multiples of a step, so that none is interpolated.
    unit = keywords["step_size"] or _interval(keywords)
    steps = max(1, evaluations // evaluations_per_step(keywords))
    counts = np.unique(np.linspace(0, steps, reports + 1).round())
    budget = Budget(evaluations)
    solution = odeint_gan(
        game,
        y0,
        torch.from_numpy(counts * unit),
        data=target.draw_independent if independent else target.draw,
        callback=budget,
        checkpoint=checkpoint,
        on_nonfinite="stop",
        batch_size=batch_size,
        seed=seed,
        compile=compile,
        progress=progress,
        **keywords,
    )
    states, at = _reported(solution, budget)
    return EnsembleRun(solution, at, states, scored(game, states, samples, target), budget.seconds, budget.cpu)


def scored(
    game: Game, states: torch.Tensor, samples: int, target: Mixture = MOG16, radius: float = 5.0, share: float = 0.01
) -> MixtureScores:
    """``score`` of states (R, E, P): tensors (R, E)."""
    scores = [score(game, y, samples, target, radius, share) for y in states]
    return MixtureScores(*(torch.stack(part).cpu() for part in zip(*scores, strict=True)))


def score(
    game: Game, y: torch.Tensor, samples: int, target: Mixture = MOG16, radius: float = 5.0, share: float = 0.01
) -> MixtureScores:
    """Scores (E,) of members y (E, P), each from its own samples; a non-finite member covers no mode."""
    # A seed per member: one seed for all would correlate their scores.
    drawn = torch.stack([game.sample(member, samples, seed=e) for e, member in enumerate(y)])
    return mixture_scores(drawn, target.modes.to(drawn.device), target.sigma, radius, share)


def spread(values: torch.Tensor) -> tuple[float, float]:
    """Mean and standard deviation over the members; NaN of none."""
    if not values.numel():
        return math.nan, math.nan
    return float(values.double().mean()), float(values.double().std(correction=0))


def _interval(keywords: dict[str, Any]) -> float:
    refresh = keywords["refresh"]
    return refresh if isinstance(refresh, float) and np.isfinite(refresh) else 0.1


def _reported(solution: Solution, budget: Budget) -> tuple[torch.Tensor, NDArray[np.float64]]:
    """The reported states and the last one, which may lie between two reports after a divergence or an exhausted budget."""
    states = solution.ys
    times = solution.ts
    if solution.t > float(times[-1]) and solution.status != "interrupted":
        stopped = solution.stats["stopped_at"]
        gone = torch.zeros(len(solution.y), dtype=torch.bool) if stopped is None else ~stopped.isnan()
        last = torch.where(gone.to(solution.y.device)[:, None], torch.nan, solution.y)
        states = torch.cat([states, last[None]])
        times = torch.cat([times, times.new_tensor([solution.t])])
    return states, np.asarray(np.interp(times, budget.times, budget.spent))
