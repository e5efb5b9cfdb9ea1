"""A segment: consecutive fixed steps over some refresh intervals, as one pure function of tensors.

It includes the events of each interval (replay buffers, noise, spectral norm's power iteration); callbacks, checkpoints and
finiteness checks happen between segments. A segment of n intervals equals n segments of one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from typing import NamedTuple

import torch

from odegan.games.batch import Batch
from odegan.training.interval import IntervalEvents
from odegan.training.state import Aux, Batches
from odegan.training.step import StepsMap
from odegan.utils.compilation import Compiler


class SegmentResult(NamedTuple):
    """The result of a segment of n steps.

    Attributes:
        y, aux: at the end.
        losses, field_norm, finite: of the steps, (n, ..., 2), (n, ...) and (n, ...).
        kept: for the steps in ``keep``, by number: the states before and after, and the minibatch.
    """

    y: torch.Tensor
    aux: Aux
    losses: torch.Tensor
    field_norm: torch.Tensor
    finite: torch.Tensor
    kept: dict[int, tuple[torch.Tensor, torch.Tensor, Batch | None]]


class Segment:
    """``segment(t, h, y, aux, batches, intervals)``: one step from every t (n,) of length h (n,).

    Args:
        events: the discrete events of a refresh interval.
        steps: the map of consecutive steps.
        compiler: compiles a step.
        counts_steps: whether the step reads its refresh interval's number.
    """

    def __init__(self, events: IntervalEvents, steps: StepsMap, compiler: Compiler, counts_steps: bool = False) -> None:
        self.events = events
        self.compiler = compiler
        self.counts_steps = counts_steps
        self.run = compiler(steps, "one step")

    def __call__(
        self,
        t: torch.Tensor,
        h: torch.Tensor,
        y: torch.Tensor,
        aux: Aux,
        batches: Sequence[Batches],
        intervals: Sequence[int],
        keep: Set[int] = frozenset(),
    ) -> SegmentResult:
        """Run the steps.

        intervals (n,): the index in ``batches`` for each step, ascending; keep: steps whose states are needed.
        """
        measured = []
        kept: dict[int, tuple[torch.Tensor, torch.Tensor, Batch | None]] = {}
        memory = aux["memory"]
        alive = aux["alive"]
        idle = self.events.trivial and not aux["buffers"]
        seen: Batches = ()
        with self.compiler.unchanging():
            for first, stop in self._calls(intervals, keep, idle):
                own = intervals[first:stop]
                if first == 0 or own[0] != intervals[first - 1]:
                    seen, aux = self.events.begin(batches[own[0]], y, aux, t[first])
                # A call over several intervals has no events between them.
                shown = (seen,) if own[0] == own[-1] else tuple(batches[i] for i in own)
                numbers = self._numbers(aux["index"], own) if self.counts_steps else None
                before = y
                y, memory, alive, *found = self.run(t[first:stop], h[first:stop], y, memory, alive, shown, numbers)
                measured.append(found)
                seen = shown[-1]
                if first in keep:
                    kept[first] = (before, y, seen[0])
                ended = own[-1] - own[0] + (stop == len(intervals) or intervals[stop] != own[-1])
                aux = self.events.end(y, aux, ended)
        aux = aux | {"memory": memory, "alive": alive}
        losses, sizes, finite = map(torch.cat, zip(*measured, strict=True))
        return SegmentResult(y, aux, losses, sizes, finite, kept)

    def _calls(self, intervals: Sequence[int], keep: Set[int], idle: bool) -> Iterator[tuple[int, int]]:
        """The steps [first, stop) of each call: as many as possible, or one if compiled."""
        # A graph of four steps takes minutes to compile and is no faster: see docs/speed.md.
        longest = 1 if self.compiler.backend else len(intervals)
        stop = 0
        while stop < len(intervals):
            first = stop
            stop = _together(intervals, keep, first, longest, idle)
            yield first, stop

    @staticmethod
    def _numbers(index: int, own: Sequence[int]) -> torch.Tensor:
        """The numbers of the steps' refresh intervals, the first of which is the index-th."""
        return torch.tensor([index + i - own[0] for i in own], dtype=torch.float64)


def _together(intervals: Sequence[int], keep: Set[int], first: int, longest: int, idle: bool) -> int:
    """The end of the longest run of steps from ``first`` that one call can take.

    They belong to one interval or, if nothing happens between intervals, to one interval each. A step whose states are needed
    is alone.
    """
    stop = first + 1
    allowed = {0, 1} if idle else {0}
    while stop < min(first + longest, len(intervals)) and not keep & {first, stop}:
        further = intervals[stop] - intervals[stop - 1]
        if further not in allowed:
            break
        allowed = {further}
        stop += 1
    return stop
