"""One run of the digits experiment: a generator trained for a number of field evaluations, and scored along the way."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from experiments.digits.scores import Score
from experiments.framework.solver_options import evaluations_per_step
from odegan import ExponentialAverage, Solution

Report = Callable[[int, int, float, Score], None]  # (number of the report, evaluations, t, score)


@dataclass(frozen=True)
class Trained:
    """A run and its reports: field evaluations, averaged parameters and score at each, the start included."""

    solution: Solution
    evaluations: list[int]
    states: list[torch.Tensor]
    scores: list[Score]
    seconds: float


def averaging(keywords: dict[str, Any], evaluations: float) -> ExponentialAverage:
    """An average over about this many field evaluations, whatever the solver makes of them."""
    return ExponentialAverage(max(0.0, 1 - evaluations_per_step(keywords) / evaluations))


class Monitor:
    """A callback that scores the averaged parameters at equal distances, and ends the run when its budget is spent.

    It takes its place after ``average`` in the list of callbacks; its checkpoint holds all reports so far.

    Args:
        average: of the parameters.
        score: y (P,) -> its score.
        report: called at every report.
        budget: field evaluations in all.
        count: reports, besides the start.
    """

    def __init__(
        self,
        average: ExponentialAverage,
        score: Callable[[torch.Tensor], Score],
        report: Report,
        budget: int,
        count: int,
    ) -> None:
        self.average, self.score, self.report = average, score, report
        self.due = sorted({round(budget * i / count) for i in range(1, count + 1)})
        self.budget, self.spent, self.seconds = budget, 0, 0.0
        self.over = False  # a resumed run asks before it starts
        self.evaluations: list[int] = []
        self.states: list[torch.Tensor] = []
        self.scores: list[Score] = []
        self._clock = time.perf_counter()

    def start(self, y: torch.Tensor) -> Monitor:
        """Report the state before the first step."""
        self._take(y, 0.0)
        return self

    def __call__(self, state: Any, info: Any) -> bool:
        """After a refresh interval."""
        self.seconds += time.perf_counter() - self._clock
        self.spent += info.nfe
        self.over = self.spent + info.nfe > self.budget
        if self.over or self.spent >= self.due[0]:
            assert self.average.y is not None
            self._take(self.average.y, state.t)
        self._clock = time.perf_counter()
        return self.over

    def _take(self, y: torch.Tensor, t: float) -> None:
        self.evaluations.append(self.spent)
        self.states.append(y.clone())
        self.scores.append(self.score(y))
        self.due = [mark for mark in self.due if mark > self.spent]
        self.report(len(self.scores) - 1, self.spent, t, self.scores[-1])

    def state_dict(self) -> dict[str, Any]:
        """For checkpoints."""
        plain = {name: getattr(self, name) for name in ("evaluations", "due", "spent", "seconds", "over")}
        return plain | {"states": torch.stack(self.states), "scores": [list(score) for score in self.scores]}

    def load_state_dict(self, kept: dict[str, Any]) -> None:
        """From a checkpoint."""
        for name in ("evaluations", "due", "spent", "seconds", "over"):
            setattr(self, name, kept[name])
        self.states, self.scores = list(kept["states"]), [Score(*values) for values in kept["scores"]]
        self._clock = time.perf_counter()

    def trained(self, solution: Solution) -> Trained:
        """The run, once it is over."""
        return Trained(solution, self.evaluations, self.states, self.scores, self.seconds)
