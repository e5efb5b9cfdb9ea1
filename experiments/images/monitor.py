"""Reports along a training: scores, losses and sample grids at equal distances."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch

from experiments.images.preset import Preset
from experiments.images.scores import Score
from odegan import solvers
from odegan.training.state import Info, State

KEPT = ("step", "evaluations", "seconds", "over")


@dataclass(frozen=True)
class Report:
    """What is known at one moment of a run."""

    step: int
    t: float
    evaluations: int
    losses: tuple[float, float]
    scores: dict[str, Score]


class Monitor:
    """A callback that reports every so many steps and at the end; its checkpoint holds the reports so far and the preset.

    Args:
        preset: of the run.
        parameters: state -> the parameters to score.
        score: parameters (P,), step -> scores; draws the sample grid, too.
        tell: called with every report.
        budget: field evaluations that end the run before its last step, if it would spend more; None: no such end.
    """

    def __init__(
        self,
        preset: Preset,
        parameters: Callable[[State], torch.Tensor],
        score: Callable[[torch.Tensor, int], dict[str, Score]],
        tell: Callable[[Report], None],
        budget: int | None = None,
    ) -> None:
        self.preset = preset
        self.parameters = parameters
        self.score = score
        self.tell = tell
        self.budget = budget
        self.counts_intervals = solvers.get(preset.solver).adaptive
        self.end = preset.time(preset.steps)
        self.step = 0
        self.evaluations = 0
        self.seconds = 0.0
        self.over = False  # a resumed run asks before it starts
        self.reports: list[Report] = []
        self._clock = time.perf_counter()

    def __call__(self, state: State, info: Info) -> bool:
        """After a refresh interval."""
        before = self.step
        self.step += 1 if self.counts_intervals else info.accepted
        self.evaluations += info.nfe
        self.over = self.budget is not None and self.evaluations + info.nfe > self.budget
        due = self.step // self.preset.every > before // self.preset.every
        if due or self.over or state.t >= self.end:
            self._report(state, info)
        return self.over

    def _report(self, state: State, info: Info) -> None:
        disc, gen = info.losses.tolist()
        self.seconds += time.perf_counter() - self._clock
        scores = self.score(self.parameters(state), self.step)
        self.reports.append(Report(self.step, state.t, self.evaluations, (disc, gen), scores))
        self.tell(self.reports[-1])
        self._clock = time.perf_counter()  # the time that scores take is not the training's

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps of it."""
        now = time.perf_counter()
        self.seconds += now - self._clock
        self._clock = now
        kept = {name: getattr(self, name) for name in KEPT}
        return kept | {"preset": asdict(self.preset), "reports": [vars(report) for report in self.reports]}

    def load_state_dict(self, kept: dict[str, Any]) -> None:
        """From a checkpoint."""
        for name in KEPT:
            setattr(self, name, kept[name])
        self.reports = [Report(**report) for report in kept["reports"]]
        self._clock = time.perf_counter()
