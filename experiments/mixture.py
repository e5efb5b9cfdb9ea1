"""ODE-GAN's mixture of 16 Gaussians: the data, the score, and one ensemble trained for a number of field evaluations."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from odegan import Game, Solution, baselines, odeint_gan, solvers
from odegan.metrics import MixtureScores, mixture_scores

MODES = torch.cartesian_prod(*[torch.tensor([-1.5, -0.5, 0.5, 1.5])] * 2)
SIGMA = 0.02
LATENT = 32


def draw(n: int, generator: torch.Generator) -> torch.Tensor:
    """n samples (n, 2) with every mode exactly n/16 times."""
    return MODES.repeat(n // len(MODES), 1) + SIGMA * torch.randn(n, 2, generator=generator)


def evaluations_per_step(keywords: dict[str, Any]) -> int:
    """Field evaluations of one fixed step, or of an adaptive solver's cheapest refresh interval."""
    name = keywords["solver"]
    if name in solvers.BASELINES:
        return baselines.evaluations(name, keywords["options"])
    facts = solvers.get(name)
    return (facts.stages or 1) + facts.adaptive


class Budget:
    """A callback that ends a run before it spends more than ``limit`` field evaluations.

    It keeps what was spent until when, and the seconds that took, over all continuations of the run.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.times, self.spent, self.seconds = [0.0], [0], 0.0
        self._clock = time.perf_counter()

    def __call__(self, state: Any, info: Any) -> bool:
        """After a refresh interval."""
        self.times.append(state.t)
        self.spent.append(self.spent[-1] + info.nfe)
        now = time.perf_counter()
        self.seconds, self._clock = self.seconds + now - self._clock, now
        return self.spent[-1] + info.nfe > self.limit

    def state_dict(self) -> dict[str, Any]:
        """For checkpoints."""
        return {"times": self.times, "spent": self.spent, "seconds": self.seconds}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """From a checkpoint."""
        self.times, self.spent, self.seconds = state["times"], state["spent"], state["seconds"]
        self._clock = time.perf_counter()


@dataclass(frozen=True)
class Trained:
    """An ensemble of E members at R reported moments.

    evaluations (R,): field evaluations until then; states (R, E, P), NaN where a member had diverged; scores: tensors
    (R, E); seconds: of the training alone.
    """

    solution: Solution
    evaluations: NDArray[np.float64]
    states: torch.Tensor
    scores: MixtureScores
    seconds: float

    @property
    def diverged(self) -> torch.Tensor:
        """Which members ended in numbers that are not finite, (E,)."""
        return ~self.states[-1].isfinite().all(-1)


def train(
    game: Game,
    y0: torch.Tensor,
    keywords: dict[str, Any],
    *,
    evaluations: int,
    reports: int,
    samples: int,
    checkpoint: Path,
    **run: Any,
) -> Trained:
    """Integrate an ensemble y0 (E, P) for a number of field evaluations, and score it at equal distances.

    Args:
        game: of the pair of networks.
        y0: starting points.
        keywords: the solver's, for ``odeint_gan``.
        evaluations: the budget. Fixed steps: as many as it pays for. Adaptive solvers run until it is spent, or to the
            time they reach with one accepted step per refresh interval, whichever is first.
        reports: moments scored, besides the start.
        samples: drawn from each member for a score.
        checkpoint: file to resume from.
        **run: batch_size, seed, progress, compile for ``odeint_gan``.
    """
    unit = keywords["step_size"] or _interval(keywords)
    steps = max(1, evaluations // evaluations_per_step(keywords))
    counts = np.unique(np.linspace(0, steps, reports + 1).round())
    budget = Budget(evaluations)
    solution = odeint_gan(
        game,
        y0,
        torch.from_numpy(counts * unit),
        data=draw,
        latent=LATENT,
        callback=budget,
        checkpoint=checkpoint,
        on_nonfinite="stop",
        **keywords,
        **run,
    )
    states, at = _reported(solution, budget)
    scores = [score(game, y, samples) for y in states]
    stacked = MixtureScores(*(torch.stack(part).cpu() for part in zip(*scores, strict=True)))
    return Trained(solution, at, states, stacked, budget.seconds)


def score(game: Game, y: torch.Tensor, samples: int) -> MixtureScores:
    """Scores (E,) of members y (E, P), each from its own samples; a member that is not finite has covered nothing."""
    drawn = torch.stack([game.sample(member, samples, seed=e) for e, member in enumerate(y)])
    return mixture_scores(drawn, MODES.to(drawn.device), SIGMA)


def _interval(keywords: dict[str, Any]) -> float:
    refresh = keywords["refresh"]
    return refresh if isinstance(refresh, float) and np.isfinite(refresh) else 0.1


def _reported(solution: Solution, budget: Budget) -> tuple[torch.Tensor, Any]:
    """The reported states and the last one, which a budget or a divergence may have put between two reports."""
    states, times = solution.ys, solution.ts
    if solution.t > float(times[-1]) and solution.status != "interrupted":
        stopped = solution.stats["stopped_at"]
        gone = torch.zeros(len(solution.y), dtype=torch.bool) if stopped is None else ~stopped.isnan()
        last = torch.where(gone.to(solution.y.device)[:, None], torch.nan, solution.y)
        states, times = torch.cat([states, last[None]]), torch.cat([times, times.new_tensor([solution.t])])
    return states, np.interp(times, budget.times, budget.spent)
