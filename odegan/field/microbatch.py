"""The field on a batch that comes in parts: micro-batches, one after the other, and the shares of other processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch.utils._pytree import tree_map

from odegan.field.training_field import BOTH, Pieces
from odegan.games.batch import Batch
from odegan.games.game import Game
from odegan.utils.checks import ArgumentError, fail
from odegan.utils.distributed import Ranks

Mapped = Callable[..., Any]  # (function, t, y, batch, *others): function over the members of an ensemble


class Divided:
    """The field of a whole batch from ``Pieces`` on its equal parts, exact for every penalty that is divisible.

    What a penalty is a function of is averaged over the parts first; then every part contributes its gradient with these
    averages held; and these contributions are averaged. No collective is ever differentiated through, and the memory is that
    of one part.

    Args:
        pieces: of the field.
        micro_batch: samples of a part in this process; None: all that it has.
        ranks: the processes that have the other parts, if there are any.
        mapped: maps a function over the members of an ensemble.
        wrap: applied to each function of one part, as a compiler.
    """

    def __init__(
        self,
        pieces: Pieces,
        micro_batch: int | None,
        ranks: Ranks | None,
        mapped: Mapped,
        wrap: Callable[[Any], Any],
    ) -> None:
        self.pieces, self.micro_batch, self.ranks, self.mapped, self.wrap = pieces, micro_batch, ranks, mapped, wrap
        self._wrapped: dict[Any, Any] = {}

    def field(self, players: tuple[str, ...], t: Any, y: torch.Tensor, batch: Any) -> tuple[torch.Tensor, Any]:
        """(the players' parts of the field (..., n), their losses (..., number of players))."""
        gradients, losses = self._mean("gradients", players, t, y, batch)
        finish = partial(self.pieces.finish, players)
        parts = finish(gradients) if y.ndim == 1 else torch.vmap(finish)(gradients)
        return torch.cat(parts, dim=-1), torch.stack(losses, dim=-1)

    def penalty(self, t: Any, y: torch.Tensor, batch: Any) -> torch.Tensor:
        """What the penalties alone add to the field, (..., P)."""
        pushed = self._mean("pushes", BOTH, t, y, batch)
        return torch.cat(self.pieces.finish(BOTH, pushed, clipped=False), dim=-1)

    def _mean(self, name: str, players: tuple[str, ...], t: Any, y: torch.Tensor, batch: Any) -> Any:
        """The mean over the parts of one of the pieces' functions, with the penalties' means where they have any."""
        parts = self._number(y, batch)
        means = None
        if self.pieces.have_means(players) and (name == "pushes" or self.pieces.penalise):
            means = self._averaged(self._of_part("means", players, parts), t, y, batch)
        return self._averaged(
            self._of_part(name, players, parts, means is not None), t, y, batch, *([means] if means else [])
        )

    def _of_part(self, name: str, players: tuple[str, ...], parts: int, with_means: bool = False) -> Any:
        """One of the pieces' functions as (t, y, batch[, means]), over the members of an ensemble."""
        key = name, players, parts, with_means
        if key not in self._wrapped:
            function = getattr(self.pieces, name)

            def one(t: Any, y: torch.Tensor, batch: Any, means: Any = None) -> Any:
                given = {} if name == "means" else {"means": means}
                return function(players, t, y, batch, parts=parts, **given)

            def over_members(t: Any, y: torch.Tensor, batch: Any, *means: Any) -> Any:
                return self.mapped(one, t, y, batch, *means)

            self._wrapped[key] = self.wrap(over_members)
        return self._wrapped[key]

    def _averaged(self, function: Any, t: Any, y: torch.Tensor, batch: Any, *means: Any) -> Any:
        total, count = None, 0
        for part in self._parts(y, batch):
            value = function(t, y, part, *means)
            total = value if total is None else tree_map(torch.add, total, value)
            count += 1
        mean = total if count == 1 else tree_map(lambda x: x / count, total)
        return mean if self.ranks is None else self.ranks.mean(mean)

    def _number(self, y: torch.Tensor, batch: Any) -> int:
        size, ranks = _size(batch, y.ndim - 1), 1 if self.ranks is None else self.ranks.size
        return ranks * size // (self.micro_batch or size)

    def _parts(self, y: torch.Tensor, batch: Any) -> Iterator[Any]:
        """The micro-batches of this process's share, in order."""
        axis = y.ndim - 1
        size, each = _size(batch, axis), self.micro_batch
        if each is None or each >= size:
            yield batch
            return
        if size % each:
            fail("micro_batch", each, f"a divisor of the batch that a process has, {size}")
        for start in range(0, size, each):
            yield sliced(batch, axis, start, each)


def sliced(batch: Batch, axis: int, start: int, length: int) -> Batch:
    """``length`` samples of a batch; its buffers belong to no sample and stay whole."""
    samples = Batch(batch.real, batch.latent, batch.noise, batch.replay)
    return tree_map(lambda x: x.narrow(axis, start, length), samples).with_buffers(batch.buffers)


def check_divisible(game: Game, penalties: Any, what: str) -> None:
    """Refuse a game or a penalty whose field on a batch is not made of its parts'."""
    if game.couples_batch is not False:
        raise ArgumentError(
            f"{what}: got it with the game {game.name!r}, in which the samples of a batch see each other (BatchNorm?): "
            "its field is not made of the parts'; use layers that see one sample at a time"
        )
    for penalty in penalties:
        if not getattr(penalty, "divisible", True):
            raise ArgumentError(
                f"{what}: got it with the penalty {penalty.name}, whose stages each read the whole batch; leave one of them out"
            )


def _size(batch: Any, axis: int) -> int:
    if batch is None:
        raise ArgumentError("micro_batch, distributed: got a batch of None; there is nothing to divide")
    return batch.real.shape[axis]
