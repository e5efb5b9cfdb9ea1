"""Replay buffers of real and generated samples: a pure map from one refresh interval to the next."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from odegan.games.batch import Batch
from odegan.games.game import Game
from odegan.utils.checks import ArgumentError
from odegan.utils.distributed import Ranks
from odegan.utils.random_streams import PERMUTATION, Seeds, Stream

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
        batch: Batch | None,
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
            slots = self.slots(seeds, index, size, y.device)
            draws = dict(zip(("real", "fake"), slots, strict=True))
            store = {name: over_members(_overwrite)(store[name], x, draws[name][0]) for name, x in fresh.items()}
            real, fake = (over_members(_take)(store[name], draws[name][1]) for name in ("real", "fake"))
        return store, (real, fake) if ranks is None else (ranks.share(real, axis), ranks.share(fake, axis))

    def slots(self, seeds: Seeds, index: int, size: int, device: torch.device | str = "cpu") -> torch.Tensor:
        """The slots that interval ``index`` writes and those it reads, for real and for generated samples.

        Returns:
            (2, 2, B): real and generated, written and read; (2, 2, E, B) for a list of seeds.

        Examples:
            >>> Replay(3).slots(0, 1, 2)[:, 0].tolist()  # still filling
            [[2, 3], [2, 3]]
        """
        filled = min(index + 1, self.capacity) * size

        def distinct(name: str) -> torch.Tensor:
            stream = Stream(PERMUTATION, seeds, f"{self.key} {name}", (filled,), torch.device(device), ahead=1)
            return stream.block(index, 1)[0, ..., :size]

        read = torch.stack([distinct("real read"), distinct("fake read")])
        if index < self.capacity:
            written = torch.arange(index * size, filled, device=device).expand_as(read)
        else:
            written = torch.stack([distinct("real written"), distinct("fake written")])
        return torch.stack([written, read], 1)


def _empty(fresh: torch.Tensor, capacity: int, mapped: bool) -> torch.Tensor:
    axis = 1 if mapped else 0
    return fresh.new_zeros(*fresh.shape[:axis], capacity * fresh.shape[axis], *fresh.shape[axis + 1 :])


def _overwrite(store: torch.Tensor, fresh: torch.Tensor, slots: torch.Tensor) -> torch.Tensor:
    return store.index_put((slots,), fresh.to(store))


def _take(store: torch.Tensor, slots: torch.Tensor) -> torch.Tensor:
    return store[slots]
