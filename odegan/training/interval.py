"""The discrete events of a refresh interval, before and after the solver's steps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from odegan.data.replay import Replay, Store
from odegan.field.ensemble import Time
from odegan.field.schedules import at_step, at_time
from odegan.games.batch import Batch, BatchLike, as_batch
from odegan.games.game import Game
from odegan.training.options import Options
from odegan.training.state import Aux, Batches, State, each_member
from odegan.training.time_grid import SNAP
from odegan.utils.checks import ArgumentError
from odegan.utils.distributed import sharing
from odegan.utils.random_streams import UNIFORM, Seeds, Stream


class IntervalEvents:
    """Pure functions applied at the beginning and at the end of a refresh interval.

    Args:
        game: its module buffers are updated between intervals.
        options: options of the run; its penalties determine the replay buffers and the noise.
    """

    def __init__(self, game: Game, options: Options) -> None:
        self.game = game
        self.options = options
        capacities = {int(capacity) for p in options.penalties if (capacity := getattr(p, "replay", None)) is not None}
        self.replays = {replay.key: replay for replay in (Replay(capacity) for capacity in sorted(capacities))}
        # The fields of a batch that are drawn here, with the shape of one sample's.
        self._drawn: dict[str, tuple[int, ...]] = {}
        if any(getattr(penalty, "noise", False) for penalty in options.penalties):
            self._drawn["noise"] = ()
        if game.augmentation is not None:
            self._drawn["augment"] = (2, game.augmentation.numbers)
        self._streams: dict[str, Stream] = {}
        self.trivial = not self.replays and not self._drawn

    def begin(
        self, batches: tuple[Batch | None, ...], y: torch.Tensor, aux: Aux, t: Time
    ) -> tuple[tuple[Batch | None, ...], Aux]:
        """The interval's minibatches with everything that the field reads, and aux with updated replay buffers."""
        if batches[0] is None or (self.trivial and not aux["buffers"]):
            return batches, aux
        full = tuple(
            self.completed(batch, y, aux, t, stage) for stage, batch in enumerate(batches) if batch is not None
        )
        if not self.replays:
            return full, aux
        stores: dict[str, Store] = {}
        samples: dict[str, tuple[torch.Tensor, ...]] = {}
        ranks = self.options.ranks
        with sharing(ranks if self.game.couples_batch else None):
            for key, replay in self.replays.items():
                stores[key], samples[key] = replay.update(
                    self.game, aux["replay"][key], y, full[0], aux["seeds"], aux["index"], ranks
                )
        return tuple(replace(batch, replay=samples) for batch in full), aux | {"replay": stores}

    def completed(self, batch: Batch, y: torch.Tensor, aux: Aux, t: Time, stage: int = 0) -> Batch:
        """The batch of an interval from time t, with the game's buffers and the random numbers of each sample.

        These are the noise that penalties read and the numbers of an augmented game; those that the batch already has are kept.
        """
        if aux["buffers"]:
            batch = replace(batch, buffers=aux["buffers"])
        absent = [name for name in self._drawn if getattr(batch, name) is None]
        if not absent:
            return batch
        # By number, as the minibatches are: a resumed run draws the same.
        which = 0 if self.options.refresh == math.inf else aux["index"] * self.options.stages + stage
        axis = y.ndim - 1
        ranks = self.options.ranks
        # Drawn for the whole batch and cut, so that the numbers do not depend on the processes.
        size = batch.real.shape[axis] * (ranks.size if ranks else 1)
        drawn: dict[str, Any] = {}  # fields of a batch by name, which ``replace`` takes as keywords
        for name in absent:
            numbers = self._stream(name, aux["seeds"], size, y.device).block(which, 1)[0].to(y.dtype)
            drawn[name] = ranks.share(numbers, axis) if ranks else numbers
        if "augment" in drawn:
            assert self.game.augmentation is not None
            now = at_time(at_step(self.game.augmentation.probability, aux["index"]), t)
            drawn["augment"] = self.game.augmentation.decided(drawn["augment"], now)
        return replace(batch, **drawn)

    def _stream(self, name: str, seeds: Seeds, size: int, device: torch.device) -> Stream:
        """The stream of what is drawn for batches of this size, reused between calls because it caches draws."""
        kept = self._streams.get(name)
        shape = (size, *self._drawn[name])
        if kept is None or (kept.seeds, kept.shape, kept.device) != (seeds, shape, device):
            kept = Stream(UNIFORM, seeds, name, shape, device)
            self._streams[name] = kept
        return kept

    def end(self, y: torch.Tensor, aux: Aux, intervals: int = 1) -> Aux:
        """aux after so many intervals, the last of which ended at y: the index increased, and the game's buffers updated."""
        if not intervals:
            return aux
        buffers = aux["buffers"]
        if buffers:
            buffers = each_member(self.game.update_buffers, y.detach(), buffers)
        return aux | {"index": aux["index"] + intervals, "buffers": buffers}


def interval_end(options: Options, start: float, index: int, until: float) -> float:
    """The end of the index-th refresh interval of a run from ``start``, or ``until`` if that is earlier or nearly equal."""
    refresh = options.refresh
    if not isinstance(refresh, int | float) or refresh == math.inf:
        return until
    end = start + (index + 1) * float(refresh)
    # An end within rounding of ``until`` is ``until``: a sliver of an interval would need a minibatch of its own.
    return end if end < until - SNAP * refresh else until


def end_of(options: Options, state: State, until: float) -> float:
    """The end of the interval that begins at a state."""
    return interval_end(options, state.aux["start"], state.aux["index"], until)


def given_batches(options: Options, batch: BatchLike | Sequence[BatchLike]) -> Batches:
    """The batches that a user gives for one interval: one minibatch, or one per stage."""
    wanted = options.stages
    # A pair (real, latent) is a tuple, too, so a list of stages is recognized by the option alone.
    given = list(batch) if options.refresh == "stage" and batch is not None else [batch]
    if len(given) != wanted:
        raise ArgumentError(
            f"batch: got {len(given)} of them; it must be a list of {wanted} batches, one per stage of {options.solver.name}"
        )
    return tuple(as_batch(one) for one in given)
