"""Reports along a training: scores, losses and sample grids at equal distances."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch

from experiments.images.preset import RAW, Preset
from experiments.images.scores import Score, loss
from odegan import solvers
from odegan.training.state import Info, State

KEPT = ("step", "evaluations", "seconds", "over", "best", "without_gain")

Scores = dict[str, Score]  # by metric


@dataclass(frozen=True)
class Report:
    """The measurements at one moment of a run.

    Attributes:
        step: steps so far.
        t: time so far.
        evaluations: field evaluations so far.
        seconds: of training so far.
        losses: of the discriminator and the generator.
        scores: of the average that the preset names, once it has begun; before, of the parameters themselves.
        others: then the scores of the parameters themselves; before, none.
    """

    step: int
    t: float
    evaluations: int
    seconds: float
    losses: tuple[float, float]
    scores: Scores
    others: dict[str, Scores] = field(default_factory=dict)

    def weights(self, preset: Preset) -> str:
        """The name of the parameters that ``scores`` are of."""
        return preset.scored if self.others else RAW


def counted(reports: Sequence[Report]) -> Sequence[Report]:
    """The reports whose scores can be compared: those of the average from where it begins, all if it never does."""
    return [report for report in reports if report.others] or reports


@dataclass(frozen=True)
class Limits:
    """Limits that end a run before its last step; None: no limit.

    Attributes:
        evaluations: field evaluations, which the run does not exceed.
        minutes: of training, without the time for scores.
        patience: number of consecutive scores without a new best one.
    """

    evaluations: int | None = None
    minutes: float | None = None
    patience: int | None = None


class Monitor:
    """A callback that reports every so many steps and at the end; its checkpoint holds the reports so far and the preset.

    Args:
        preset: of the run.
        parameters: state -> the parameters to score by name; the first ones are those the preset names, once there are any.
        score: parameters (P,), step, whether they are the first ones -> scores; draws the sample grid of the first ones, too.
        tell: called with every report.
        keep: called with the state whose first score is the best so far.
        limits: what ends the run before its last step.
    """

    def __init__(
        self,
        preset: Preset,
        parameters: Callable[[State], dict[str, torch.Tensor]],
        score: Callable[[torch.Tensor, int, bool], Scores],
        tell: Callable[[Report], None],
        keep: Callable[[State], None],
        limits: Limits,
    ) -> None:
        self.preset = preset
        self.parameters = parameters
        self.score = score
        self.tell = tell
        self.keep = keep
        self.limits = limits
        self.counts_intervals = solvers.get(preset.solver).adaptive
        self.end = preset.time(preset.steps)
        self.step = 0
        self.evaluations = 0
        self.seconds = 0.0
        self.over = False  # a resumed run asks before it starts
        self.best = math.inf
        self.without_gain = 0
        self.reports: list[Report] = []
        self._counted = time.perf_counter()  # up to when ``seconds`` counts
        self._scoring = False

    def __call__(self, state: State, info: Info) -> bool:
        """Called after every refresh interval."""
        before = self.step
        self.step += 1 if self.counts_intervals else info.accepted
        self.evaluations += info.nfe
        self.over = self._spent(info.nfe)
        # An interval may take several steps, so a multiple can lie within it.
        due = self.step // self.preset.every > before // self.preset.every
        if due or self.over or state.t >= self.end:
            self._report(state, info)
        return self.over

    def _spent(self, nfe: int) -> bool:
        """Whether another interval like the last one would exceed a limit."""
        evaluations = self.limits.evaluations
        return self._exhausted() or (evaluations is not None and self.evaluations + nfe > evaluations)

    def _exhausted(self) -> bool:
        """Whether the minutes or the patience have run out."""
        minutes = self.limits.minutes
        patience = self.limits.patience
        self._count()
        late = minutes is not None and self.seconds > 60 * minutes
        return late or (patience is not None and self.without_gain >= patience)

    def _report(self, state: State, info: Info) -> None:
        disc, gen = info.losses.tolist()
        self._count()
        self._scoring = True
        named = enumerate(self.parameters(state).items())
        scores, *others = ((name, self.score(y, self.step, i == 0)) for i, (name, y) in named)
        self.reports.append(
            Report(self.step, state.t, self.evaluations, self.seconds, (disc, gen), scores[1], dict(others))
        )
        self.tell(self.reports[-1])
        self._compare(state)
        self._count()
        self._scoring = False

    def _count(self) -> None:
        """Add the time since the last count, unless scores took it, which is not the training's."""
        now = time.perf_counter()
        self.seconds += 0.0 if self._scoring else now - self._counted
        self._counted = now

    def _compare(self, state: State) -> None:
        """Keep the state if its first score is the best so far; count the scores since the best one.

        Scores of an average compete only with each other: the count begins anew with its first one.
        """
        metric = next(iter(self.reports[-1].scores), None)
        if metric is None:
            return
        if len(counted(self.reports)) == 1:
            self.best = math.inf
        found = loss(metric, self.reports[-1].scores[metric]["value"])
        if found < self.best:
            self.best = found
            self.without_gain = 0
            self.keep(state)
        else:
            self.without_gain += 1
        self.over = self.over or self._exhausted()

    def state_dict(self) -> dict[str, Any]:
        """The state for a checkpoint."""
        # The seconds so far go into the checkpoint, since a resumed process has another clock.
        self._count()
        kept = {name: getattr(self, name) for name in KEPT}
        return kept | {"preset": asdict(self.preset), "reports": [vars(report) for report in self.reports]}

    def load_state_dict(self, kept: dict[str, Any]) -> None:
        """Restore the state from a checkpoint."""
        for name in KEPT:
            setattr(self, name, kept[name])
        self.reports = [Report(**report) for report in kept["reports"]]
        self._counted = time.perf_counter()
        # A run that ended for lack of minutes or patience continues if it is resumed with more of them.
        self.over = self._exhausted() or (self.over and self.limits.evaluations is not None)
