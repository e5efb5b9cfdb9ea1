"""Mixtures of Gaussians in the plane: the data, the score, and one ensemble trained for a number of field evaluations."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from experiments.framework.solver_options import evaluations_per_step
from odegan import Game, Solution, odeint_gan
from odegan.metrics import MixtureScores, mixture_scores


@dataclass(frozen=True)
class Mixture:
    """Equal Gaussians N(mode, sigma^2 I) around modes (K, 2)."""

    modes: torch.Tensor
    sigma: float

    def draw(self, n: int, generator: torch.Generator) -> torch.Tensor:
        """n samples (n, 2) with every mode exactly n/K times."""
        return self._around(self.modes.repeat(n // len(self.modes), 1), generator)

    def draw_independent(self, n: int, generator: torch.Generator) -> torch.Tensor:
        """n independent samples (n, 2), each with a mode of its own."""
        return self._around(self.modes[torch.randint(len(self.modes), (n,), generator=generator)], generator)

    def _around(self, centres: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        return centres + self.sigma * torch.randn(len(centres), 2, generator=generator)

    def fingerprint(self) -> Any:
        """What a checkpoint compares."""
        return [self.modes.tolist(), self.sigma]


def ring(radius: float, sigma: float, modes: int = 8) -> Mixture:
    """Modes evenly on a circle, the first one on the positive first axis.

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


class Budget:
    """A callback that ends a run before it spends more than ``limit`` field evaluations.

    It keeps what was spent until when, and the seconds that took (by the clock, and of the processor), over all
    continuations of the run.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.times, self.spent, self.seconds, self.cpu = [0.0], [0], 0.0, 0.0
        self._clock = time.perf_counter(), time.process_time()

    def __call__(self, state: Any, info: Any) -> bool:
        """After a refresh interval."""
        self.times.append(state.t)
        self.spent.append(self.spent[-1] + info.nfe)
        now = time.perf_counter(), time.process_time()
        self.seconds, self.cpu = self.seconds + now[0] - self._clock[0], self.cpu + now[1] - self._clock[1]
        self._clock = now
        return self.over

    @property
    def over(self) -> bool:
        """Whether another interval like the last one would spend more than there is; a resumed run asks before it starts."""
        return len(self.spent) > 1 and 2 * self.spent[-1] - self.spent[-2] > self.limit

    def state_dict(self) -> dict[str, Any]:
        """For checkpoints."""
        return {"times": self.times, "spent": self.spent, "seconds": self.seconds, "cpu": self.cpu}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """From a checkpoint."""
        self.times, self.spent, self.seconds, self.cpu = (state[name] for name in ("times", "spent", "seconds", "cpu"))
        self._clock = time.perf_counter(), time.process_time()


@dataclass(frozen=True)
class Trained:
    """An ensemble of E members at R reported moments.

    evaluations (R,): field evaluations until then; states (R, E, P), NaN where a member had diverged; scores: tensors
    (R, E); seconds, cpu: of the training alone, by the clock and of the processor.
    """

    solution: Solution
    evaluations: NDArray[np.float64]
    states: torch.Tensor
    scores: MixtureScores
    seconds: float
    cpu: float

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
    target: Mixture = MOG16,
    independent: bool = False,
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
        target: the data.
        independent: every sample of a minibatch has a mode of its own, rather than every mode its share of them.
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
        data=target.draw_independent if independent else target.draw,
        callback=budget,
        checkpoint=checkpoint,
        on_nonfinite="stop",
        **keywords,
        **run,
    )
    states, at = _reported(solution, budget)
    return Trained(solution, at, states, scored(game, states, samples, target), budget.seconds, budget.cpu)


def scored(
    game: Game, states: torch.Tensor, samples: int, target: Mixture = MOG16, radius: float = 5.0, share: float = 0.01
) -> MixtureScores:
    """``score`` of states (R, E, P): tensors (R, E)."""
    scores = [score(game, y, samples, target, radius, share) for y in states]
    return MixtureScores(*(torch.stack(part).cpu() for part in zip(*scores, strict=True)))


def score(
    game: Game, y: torch.Tensor, samples: int, target: Mixture = MOG16, radius: float = 5.0, share: float = 0.01
) -> MixtureScores:
    """Scores (E,) of members y (E, P), each from its own samples; a member that is not finite has covered nothing."""
    drawn = torch.stack([game.sample(member, samples, seed=e) for e, member in enumerate(y)])
    return mixture_scores(drawn, target.modes.to(drawn.device), target.sigma, radius, share)


def spread(values: torch.Tensor) -> tuple[float, float]:
    """Mean and standard deviation over the members."""
    return float(values.double().mean()), float(values.double().std(correction=0))


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
