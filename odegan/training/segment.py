"""A segment: consecutive fixed steps over some refresh intervals, as one pure function of tensors.

It includes the events of each interval (replay buffers, noise, spectral norm's power iteration); callbacks, checkpoints and
finiteness checks happen between segments. A segment of n intervals equals n segments of one.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import Any, NamedTuple

import torch

from odegan.games.batch import Batch
from odegan.training.interval import IntervalEvents
from odegan.training.state import Batches
from odegan.training.step import StepMap
from odegan.training.time_grid import as_time


class SegmentResult(NamedTuple):
    """y and aux at the end; losses (n, ..., 2), field_norm (n, ...) and finite (n, ...) of the steps; kept: the states before
    and after those steps that were asked for, and the minibatch they saw.
    """

    y: torch.Tensor
    aux: dict[str, Any]
    losses: torch.Tensor
    field_norm: torch.Tensor
    finite: torch.Tensor
    kept: dict[int, tuple[torch.Tensor, torch.Tensor, Batch | None]]


class Segment:
    """``segment(t, h, y, aux, batches, intervals)``: one step from every t (n,) of length h (n,).

    Args:
        events: the discrete events of a refresh interval.
        step: the map of one step, compiled or not.
        counts_steps: whether the step reads its refresh interval's number.
    """

    def __init__(self, events: IntervalEvents, step: StepMap, counts_steps: bool = False) -> None:
        self.events = events
        self.step = step
        self.counts_steps = counts_steps

    def __call__(
        self,
        t: Sequence[torch.Tensor],
        h: Sequence[torch.Tensor],
        y: torch.Tensor,
        aux: dict[str, Any],
        batches: Sequence[Batches],
        intervals: Sequence[int],
        keep: Set[int] = frozenset(),
    ) -> SegmentResult:
        """Run the steps. intervals (n,): the index in ``batches`` for each step, ascending; keep: steps whose states are
        needed.
        """
        losses, sizes, finite = [], [], []
        kept: dict[int, tuple[torch.Tensor, torch.Tensor, Batch | None]] = {}
        memory, alive = aux["memory"], aux["alive"]
        seen: Batches = ()
        for i, interval in enumerate(intervals):
            if i == 0 or interval != intervals[i - 1]:
                seen, aux = self.events.begin(batches[interval], y, aux, t[i])
            before = y
            number = as_time(aux["index"]) if self.counts_steps else None
            y, memory, alive, loss, size = self.step(t[i], h[i], y, memory, alive, seen, number)
            losses.append(loss)
            sizes.append(size)
            finite.append(alive)
            if i in keep:
                kept[i] = (before, y, seen[0])
            if i + 1 == len(intervals) or intervals[i + 1] != interval:
                aux = self.events.end(y, aux)
        aux = aux | {"memory": memory, "alive": alive}
        return SegmentResult(y, aux, torch.stack(losses), torch.stack(sizes), torch.stack(finite), kept)
