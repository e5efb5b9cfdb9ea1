"""Replay buffers of real and generated samples: a pure map from one refresh interval to the next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from odegan.games.game import Game
from odegan.utils.checks import ArgumentError
from odegan.utils.distributed import Ranks
from odegan.utils.seeds import Seeds, generator

Store = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Replay:
    """Two buffers of ``capacity`` batches each, one of real and one of generated samples.

    Interval i of a run fills slots i B, ..., (i + 1) B - 1 while i < capacity; from then on it overwrites B random
    slots. Then B of the stored samples are drawn without replacement. The four draws (slots and samples, real and
    generated) are independent, and pure functions of (seed, i). Stored samples are constants: no gradient flows to them.
    Penalties with the same capacity share their buffers.
    Source: the CLC-GAN reference, 100 batches.
    """

    capacity: int

    @property
    def key(self) -> str:
        """Where the state and the batch keep what belongs to these buffers."""
        return f"samples {self.capacity}"

    def init(self) -> Store:
        """The buffers before the first interval: nothing, for a batch has yet to tell their shape."""
        return {}

    def update(
        self,
        game: Game,
        store: Store,
        y: torch.Tensor,
        batch: Any,
        seeds: Seeds,
        index: int,
        ranks: Ranks | None = None,
    ) -> tuple[Store, tuple[torch.Tensor, torch.Tensor]]:
        """The buffers after taking in the index-th interval's samples, and what is drawn from them.

        Args:
            game: makes the generated samples, with today's y and the batch's latents.
            store: {"real", "fake"}: (capacity B, ...) each, or what ``init`` gave.
            y: (P,) or (E, P).
            batch: the interval's (first) minibatch, with the member dimension first in an ensemble.
            seeds: the run's, or one for each member.
            index: number of intervals done.
            ranks: the processes that have the other parts of the batch; each keeps the whole buffers and is given its own part
                of what is drawn from them.

        Returns:
            The new store, and (real (B, ...), fake (B, ...)); with a member dimension first in an ensemble.
        """
        if batch is None:
            raise ArgumentError("batch: got None; replay buffers need data (buffer=0 has none)")
        mapped = y.ndim == 2
        over_members = torch.vmap if mapped else lambda function: function
        with torch.no_grad():
            fresh = {
                "real": over_members(game.real)(batch),
                "fake": over_members(lambda point, b: game.fake(game.split(point)[1], b))(y.detach(), batch),
            }
            axis = 1 if mapped else 0
            if ranks is not None:
                fresh = {name: ranks.gather(x, axis) for name, x in fresh.items()}
            size = fresh["real"].shape[axis]
            if not store:
                store = {name: _empty(x, self.capacity, mapped) for name, x in fresh.items()}
            stored = store["real"].shape[axis]
            if stored != self.capacity * size:
                raise ArgumentError(
                    f"batch: got {size} samples; it must have {stored // self.capacity}, as the first one with these replay "
                    "buffers had"
                )
            draws = self._draws(seeds, index, size, y.device)
            store = {name: over_members(_overwrite)(store[name], x, draws[name][0]) for name, x in fresh.items()}
            real, fake = (over_members(_take)(store[name], draws[name][1]) for name in ("real", "fake"))
        return store, (real, fake) if ranks is None else (ranks.share(real, axis), ranks.share(fake, axis))

    def _draws(self, seeds: Seeds, index: int, size: int, device: Any) -> dict[str, torch.Tensor]:
        """By name (2, B): slots to overwrite, slots to read; (2, E, B) in an ensemble."""
        if isinstance(seeds, int):
            slots = self.slots(seeds, index, size)
        else:
            slots = torch.stack([self.slots(seed, index, size) for seed in seeds], dim=2)
        real, fake = slots.to(device)
        return {"real": real, "fake": fake}

    def slots(self, seed: int, index: int, size: int) -> torch.Tensor:
        """(2, 2, B): for real and for generated samples, the slots that interval ``index`` writes and those it reads.

        Examples:
            >>> Replay(3).slots(0, 1, 2)[:, 0].tolist()  # still filling
            [[2, 3], [2, 3]]
        """
        source = generator(seed, self.key, index)
        filled = min(index + 1, self.capacity) * size
        fill = torch.arange(index * size, (index + 1) * size) if index < self.capacity else None
        write = [_distinct(filled, size, source) if fill is None else fill for _ in range(2)]
        read = [_distinct(filled, size, source) for _ in range(2)]
        return torch.stack([torch.stack(pair) for pair in zip(write, read, strict=True)])


def _distinct(n: int, size: int, source: torch.Generator) -> torch.Tensor:
    """``size`` distinct numbers below n."""
    return torch.randperm(n, generator=source)[:size]


def _empty(fresh: torch.Tensor, capacity: int, mapped: bool) -> torch.Tensor:
    axis = 1 if mapped else 0
    return fresh.new_zeros(*fresh.shape[:axis], capacity * fresh.shape[axis], *fresh.shape[axis + 1 :])


def _overwrite(store: torch.Tensor, fresh: torch.Tensor, slots: torch.Tensor) -> torch.Tensor:
    return store.index_put((slots,), fresh.to(store))


def _take(store: torch.Tensor, slots: torch.Tensor) -> torch.Tensor:
    return store[slots]
