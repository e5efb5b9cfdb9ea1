"""Replay buffers of real and generated samples, updated by a pure function once per refresh interval."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from odegan.games.batch import Batch
from odegan.games.game import Game
from odegan.games.labels import labels_of
from odegan.utils.checks import ArgumentError
from odegan.utils.distributed import Ranks
from odegan.utils.random_streams import PERMUTATION, Seeds, Stream

Store = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Replay:
    """Two buffers of ``capacity`` batches each, one of real and one of generated samples, with their labels in a
    class-conditional game.

    Interval i of a run fills slots i B, ..., (i + 1) B - 1 while i < capacity, and later overwrites B random slots. Then B
    stored samples are drawn without replacement. The four draws (slots and samples, real and generated) are independent and are
    pure functions of (seed, i). No gradient flows to stored samples. Penalties with the same capacity share their buffers.
    Source: the CLC-GAN reference, 100 batches.
    """

    capacity: int

    @property
    def key(self) -> str:
        """The key of these buffers in the state and in the batch."""
        return f"samples {self.capacity}"

    def init(self) -> Store:
        """The buffers before the first interval: an empty dict, because the shape of a batch is not known yet."""
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
    ) -> tuple[Store, tuple[torch.Tensor, ...]]:
        """Store the samples of the index-th interval and draw from the buffers.

        Args:
            game: makes the generated samples, from the current y and the latents of the batch.
            store: {"real", "fake"}: (capacity B, ...) each, with {"real label", "fake label"} in a class-conditional game; or
                the result of ``init``.
            y: (P,) or (E, P).
            batch: the interval's (first) minibatch, with the member dimension first in an ensemble.
            seeds: the run's, or one per member.
            index: number of completed intervals.
            ranks: the processes that share the batch; each keeps the whole buffers and gets its own part of the drawn samples.

        Returns:
            The new store, and (real (B, ...), fake (B, ...)), in a class-conditional game (real, fake, label (B,), fake_label
            (B,)); with a member dimension first in an ensemble.
        """
        if batch is None:
            raise ArgumentError("batch: got None; replay buffers need data (buffer=0 has none)")
        mapped = y.ndim == 2
        over_members = torch.vmap if mapped else lambda function: function
        # Stored samples are data: a gradient through them would reach states that the run has left.
        with torch.no_grad():
            fresh = {
                "real": over_members(game.real)(batch),
                "fake": over_members(lambda point, b: game.fake(game.split(point)[1], b))(y.detach(), batch),
            }
            axis = 1 if mapped else 0
            if game.conditional:
                named = zip(("real label", "fake label"), labels_of(batch), strict=True)
                fresh |= {name: label for name, label in named if label is not None}
            # Every rank holds the whole buffers, so that a run resumes with any number of processes.
            if ranks is not None:
                fresh = {name: ranks.gather(x, axis) for name, x in fresh.items()}
            size = fresh["real"].shape[axis]
            # The shape of a sample is known at the first batch only.
            if not store:
                store = {name: _empty(x, self.capacity, mapped) for name, x in fresh.items()}
            stored = store["real"].shape[axis]
            if stored != self.capacity * size:
                raise ArgumentError(
                    f"batch: got {size} samples; it must have {stored // self.capacity}, as the first one with these replay "
                    "buffers had"
                )
            # All draws are functions of (seed, index): nothing has to be stored for a resumed run to read the same
            # slots.
            slots = dict(zip(("real", "fake"), self.slots(seeds, index, size, y.device), strict=True))
            draws = {name: slots[name.partition(" ")[0]] for name in fresh}  # labels go with their samples
            store = {name: over_members(_overwrite)(store[name], x, draws[name][0]) for name, x in fresh.items()}
            taken = tuple(over_members(_take)(store[name], draws[name][1]) for name in store)
        return store, taken if ranks is None else tuple(ranks.share(x, axis) for x in taken)

    def slots(self, seeds: Seeds, index: int, size: int, device: torch.device | str = "cpu") -> torch.Tensor:
        """The slots that interval ``index`` writes and reads, for real and for generated samples.

        Returns:
            (2, 2, B): real and generated, written and read; (2, 2, E, B) for a list of seeds.

        Examples:
            >>> Replay(3).slots(0, 1, 2)[:, 0].tolist()  # still filling
            [[2, 3], [2, 3]]
        """
        filled = min(index + 1, self.capacity) * size

        def distinct(name: str) -> torch.Tensor:
            # A permutation of all filled slots, cut off: without replacement, as the reference draws.
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
    # A new tensor: the state before this interval may still be needed, by a checkpoint or by the caller.
    return store.index_put((slots,), fresh.to(store))


def _take(store: torch.Tensor, slots: torch.Tensor) -> torch.Tensor:
    return store[slots]
