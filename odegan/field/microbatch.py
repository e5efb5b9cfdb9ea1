"""The field of a batch that is split into micro-batches, and possibly over several processes."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import torch
from torch.utils._pytree import tree_map

from odegan.field.ensemble import Time, over_members
from odegan.field.penalty_gradients import Held, Share
from odegan.field.training_field import Penalty, TrainingField
from odegan.games.batch import Batch
from odegan.games.game import Game
from odegan.games.players import BOTH, Player, Players
from odegan.utils.checks import ArgumentError, argument_error
from odegan.utils.distributed import Ranks, sharing

Result = TypeVar("Result")
Wrap = Callable[[Callable[..., Any]], Callable[..., Any]]


class MicrobatchedField:
    """The field of a whole batch, computed by a ``TrainingField`` on its equal parts; exact for every divisible penalty.

    First the batch means that the penalties depend on are averaged over the parts. Then each part contributes its gradient with
    these means held constant, and the contributions are averaged. So the only collective operations that are differentiated are
    the means of batch norms that ranks share, and memory is needed for one part only. The interface is that of ``Field``.

    Args:
        field: the field of one part.
        micro_batch: samples per part in this process; None: all of its samples.
        ranks: the processes that share the batch, if there are several.
        wrap: applied to each function of one part, for example a compiler.
    """

    def __init__(self, field: TrainingField, micro_batch: int | None, ranks: Ranks | None, wrap: Wrap) -> None:
        self.field = field
        self.game = field.game
        self.micro_batch = micro_batch
        self.ranks = ranks
        self.wrap = wrap
        self._wrapped: dict[tuple[str, tuple[Player, ...], int], Callable[..., Any]] = {}

    @property
    def counts_steps(self) -> bool:
        """Whether it has schedules in steps."""
        return self.field.counts_steps

    def at_step(self, number: Time) -> MicrobatchedField:
        """The field in the step of this number."""
        own = copy.copy(self)
        own.field = self.field.at_step(number)
        # The wrapped functions contain the old weights. Nothing compiled is lost: such schedules run uncompiled.
        own._wrapped = {}
        return own

    def __call__(self, t: Time, y: torch.Tensor, batch: Batch | None) -> Players:
        """(dy, losses) of both players."""
        return self._players(BOTH, t, y, batch)

    def player(self, player: Player, t: Time, y: torch.Tensor, batch: Batch | None) -> Players:
        """(dy_p, loss_p) of one player."""
        return self._players((player,), t, y, batch)

    def penalty(self, t: Time, y: torch.Tensor, batch: Batch | None) -> torch.Tensor:
        """The penalties' contribution to dy."""
        return self._scaled(BOTH, self._mean("penalty_gradients", BOTH, t, y, batch), t, y, clipped=False)

    def field_and_penalty(
        self, t: Time, y: torch.Tensor, batch: Batch | None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """(unpenalized dy, losses, the penalties' contribution)."""
        return *self._players(BOTH, t, y, batch, "own_gradients"), self.penalty(t, y, batch)

    def _players(
        self, players: tuple[Player, ...], t: Time, y: torch.Tensor, batch: Batch | None, name: str = "gradients"
    ) -> Players:
        gradients, losses = self._mean(name, players, t, y, batch)
        return self._scaled(players, gradients, t, y), torch.stack(losses, dim=-1)

    def _scaled(
        self,
        players: tuple[Player, ...],
        gradients: Sequence[torch.Tensor],
        t: Time,
        y: torch.Tensor,
        clipped: bool = True,
    ) -> torch.Tensor:
        def scaled(*own: torch.Tensor) -> torch.Tensor:
            return self.field.scaled(players, own, t, clipped)

        # Scaled after the parts are averaged: clipping each part would bound its own noise, not the batch's gradient.
        return scaled(*gradients) if y.ndim == 1 else torch.vmap(scaled)(*gradients)

    def _mean(self, name: str, players: tuple[Player, ...], t: Time, y: torch.Tensor, batch: Batch | None) -> Any:
        """The mean over the parts of one of the field's functions, with its penalties' batch means held constant."""
        batch = _required(batch)
        parts = self._number_of_parts(y, batch)
        held: tuple[Held, ...] = ()
        acting = name == "penalty_gradients" or (name == "gradients" and self.field.penalized)
        # Two passes only where a penalty needs the means; the plain field is itself a mean over the parts.
        if acting and any(self.field.terms.all[player] for player in players):
            held = (self._averaged(self._of_part("held_parts", players, parts), t, y, batch),)
        return self._averaged(self._of_part(name, players, parts), t, y, batch, *held)

    def _of_part(self, name: str, players: tuple[Player, ...], parts: int) -> Callable[..., Any]:
        """One of the field's functions as (t, y, batch[, held]), over the members of an ensemble."""
        # Wrapped once: a compiler's wrapper keeps the graphs that it compiled.
        key = (name, players, parts)
        if key not in self._wrapped:
            function = getattr(self.field, name)

            def one(t: Time, y: torch.Tensor, batch: Batch | None, *held: Held) -> Any:
                return function(players, t, y, batch, Share(parts, *held))

            def mapped(t: Time, y: torch.Tensor, batch: Batch | None, *held: Held) -> Any:
                return one(t, y, batch, *held) if y.ndim == 1 else over_members(one, t, y, batch, *held)

            self._wrapped[key] = self.wrap(mapped)
        return self._wrapped[key]

    def _averaged(self, function: Callable[..., Result], t: Time, y: torch.Tensor, batch: Batch, *held: Held) -> Result:
        total: Any = None
        count = 0
        with sharing(self.ranks if self.game.couples_batch else None):
            for part in self._parts(y, batch):
                # Added up as they come, so that memory holds one sum and one part's gradient.
                value = function(t, y, part, *held)
                total = value if total is None else tree_map(torch.add, total, value)
                count += 1
        # The parts are equal in size, so that the mean of their means is the mean over the batch.
        mean = total if count == 1 else tree_map(lambda x: x / count, total)
        return mean if self.ranks is None else self.ranks.mean(mean)

    def _number_of_parts(self, y: torch.Tensor, batch: Batch) -> int:
        size = _size(batch, y.ndim - 1)
        ranks = 1 if self.ranks is None else self.ranks.size
        return ranks * size // (self.micro_batch or size)

    def _parts(self, y: torch.Tensor, batch: Batch) -> Iterator[Batch]:
        """The micro-batches of this process's share, in order."""
        axis = y.ndim - 1
        size = _size(batch, axis)
        each = self.micro_batch
        if each is None or each >= size:
            yield batch
            return
        # A smaller last part would count its samples more than the others.
        if size % each:
            argument_error("micro_batch", each, f"a divisor of the batch that a process has, {size}")
        for start in range(0, size, each):
            yield part_of(batch, axis, start, each)


def field_of_one_part(
    field: TrainingField, micro_batch: int | None, ranks: Ranks | None
) -> Callable[[Time, torch.Tensor, Batch | None], torch.Tensor]:
    """(t, y, batch) -> dy (P,), computed from the first part of the process's batch alone.

    If the batch is not divided, this is dy itself.
    """
    if micro_batch is None and ranks is None:
        return lambda t, y, batch: field(t, y, batch)[0]
    divided = MicrobatchedField(field, micro_batch, ranks, lambda function: function)

    def dy(t: Time, y: torch.Tensor, batch: Batch | None) -> torch.Tensor:
        whole = _required(batch)
        # A penalty of chunks needs the number of parts: one part may hold fewer samples than there are chunks.
        share = Share(divided._number_of_parts(y, whole))
        part = next(divided._parts(y, whole))
        if field.penalized:
            share = share._replace(held=field.held_parts(BOTH, t, y, part, share))
        return field.scaled(BOTH, field.gradients(BOTH, t, y, part, share)[0], t)

    return dy


def part_of(batch: Batch, axis: int, start: int, length: int) -> Batch:
    """``length`` samples of a batch, with all of its buffers."""
    # Buffers, such as spectral norm's vectors, have no sample dimension: every part gets all of them.
    samples = replace(batch, buffers=None)
    part: Batch = tree_map(lambda x: x.narrow(axis, start, length), samples)
    return replace(part, buffers=batch.buffers)


def check_divisible(game: Game, penalties: Sequence[Penalty], what: str) -> None:
    """Refuse a game or a penalty whose field on a batch cannot be computed from the parts of the batch.

    what: "micro_batch", or "distributed": processes evaluate their parts at once, and so can share batch norms' statistics.
    """
    if what == "distributed" and game.couples_beyond_norms is not False:
        raise ArgumentError(
            f"{what}: got it with the game {game.name!r}, in which more than batch normalization couples the samples of a "
            "batch (a loss that is not a mean over samples? Unrolling?); use layers and losses that see one sample at a time"
        )
    if what == "micro_batch" and game.couples_batch is not False:
        raise ArgumentError(
            f"{what}: got it with the game {game.name!r}, in which the samples of a batch see each other (BatchNorm? "
            "A loss that is not a mean over samples?): its field is not made of the parts'; use layers and losses that "
            "see one sample at a time, or with BatchNorm several processes"
        )
    for penalty in penalties:
        if not getattr(penalty, "divisible", True):
            name = getattr(penalty, "name", repr(penalty))
            raise ArgumentError(
                f"{what}: got it with the penalty {name}, whose stages each read the whole batch; leave one of them out"
            )


def _required(batch: Batch | None) -> Batch:
    if batch is None:
        raise ArgumentError("micro_batch, distributed: got a batch of None; there is nothing to divide")
    return batch


def _size(batch: Batch, axis: int) -> int:
    assert batch.real is not None
    return batch.real.shape[axis]
