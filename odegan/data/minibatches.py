"""Minibatches as a pure function of (seed, index): a run can be replayed from anywhere without what came before."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType

import torch
from torch import Tensor

from odegan.data.given import Data, Labels, Latent, checked_latent, opened
from odegan.data.samplers import Parts, Share, sampler
from odegan.games.batch import Batch
from odegan.utils.checks import argument_error, check_bool, choose
from odegan.utils.distributed import Ranks
from odegan.utils.random_streams import Seeds

FAKE_LABELS = ("independent", "same")


class Minibatches:
    """``minibatches.block(start, n) -> Batch`` of n consecutive minibatches, and ``minibatches(index) -> Batch`` of one.

    Both are the same numbers: block(start, n) holds minibatches start, ..., start + n - 1 with n as its first dimension, then
    the members' in an ensemble, then B. They are a function of (seed, index) alone, so a member has the minibatches of the
    single run with its seed, and a resumed run those of the whole one.

    Args:
        data: one of
            - Tensor or numpy array (N, ...), held once on the device and drawn without replacement within an epoch (the epochs'
              permutations follow one another, so that every sample is used whatever the batch size). Levels in uint8 are
              held as such, and become v / 127.5 - 1 in the minibatch;
            - map-style Dataset, drawn likewise. An item is a sample or begins with one, (sample, label);
            - DataLoader, of which the data set, the batch size and the number of workers are taken;
            - function (n, generator) -> (n, ...), called once a minibatch; with labels -> ((n, ...), (n,)).
        latent: int or shape for N(0, I), or a function (n, generator) -> (n, ...), whose integers stay integers.
        batch_size: B; None: the loader's, or all of the data.
        seeds: one seed, or one for each member of an ensemble.
        like: a tensor whose device and dtype the minibatches take. Draws are made in float32, so a run in float64 sees the same
            numbers.
        ranks: the processes that share each minibatch; this one gets its own equal part of it.
        workers: processes that load a Dataset's items ahead of time, the same ones to the bit; they end with the ``with`` block
            that the minibatches are used in.
        labels: whether each sample comes with its class, in ``Batch.label`` (B,) int64.
        fake_labels: where those of generated samples come from: "independent" draws from the data's labels, in
            ``Batch.fake_label``; or "same", the real samples' own, where ``Batch.fake_label`` is None.

    Datasets and functions are called with the global generators of torch, numpy and ``random`` seeded for the item or the
    minibatch, and in the grad mode in which the minibatches were made.

    Raises:
        ArgumentError: what cannot be drawn from, in one line.

    Examples:
        >>> x = torch.arange(6.0).reshape(6, 1)
        >>> epoch = Minibatches(x, 2, 3, [0], torch.empty(0)).block(0, 2)
        >>> epoch.real.shape, sorted(epoch.real.flatten().tolist())
        (torch.Size([2, 1, 3, 1]), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0])
    """

    def __init__(
        self,
        data: Data,
        latent: Latent,
        batch_size: int | None,
        seeds: int | Sequence[int],
        like: Tensor,
        ranks: Ranks | None = None,
        workers: int = 0,
        labels: bool = False,
        fake_labels: str = "independent",
    ) -> None:
        self.seeds: Seeds = seeds if isinstance(seeds, int) else list(seeds)
        self.like = like
        check_bool("labels", labels)
        choose("fake_labels", fake_labels, FAKE_LABELS)
        wanted = Labels(labels, labels and fake_labels == "independent")
        given = opened(data, batch_size, workers, wanted)
        share = Share(given.size, _part(given.size, ranks), self.seeds, like.device, torch.is_grad_enabled())
        self._real = sampler("data", given.source, share, wanted, given.workers)
        self._latent = sampler("latent", checked_latent(latent), share, Labels(), 0)

    def __call__(self, index: int) -> Batch:
        """The index-th minibatch."""
        return Batch(**{name: part[0] for name, part in self.parts(index, 1).items()})  # type: ignore[arg-type]

    def block(self, start: int, n: int) -> Batch:
        """Minibatches start, ..., start + n - 1: real (n, B, ...) and so on, or (n, E, B, ...) in an ensemble."""
        return Batch(**self.parts(start, n))  # type: ignore[arg-type]

    def parts(self, start: int, n: int) -> Parts:
        """The same by name: real, latent, and label and fake_label where they are asked for."""
        drawn = self._real.block(start, n) | self._latent.block(start, n)
        return {name: self._placed(name, part) for name, part in drawn.items()}

    def __enter__(self) -> Minibatches:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the workers."""
        self._real.close()

    def _placed(self, name: str, x: Tensor) -> Tensor:
        """On the device, floating-point numbers in the run's dtype, and levels v = 0, ..., 255 of data as v / 127.5 - 1."""
        if name == "real" and not x.is_floating_point():
            if x.dtype != torch.uint8:
                argument_error("data", x, "floating point, or levels in uint8")
            x = x.to(self.like.device, non_blocking=self.like.is_cuda).float() / 127.5 - 1
        dtype = self.like.dtype if x.is_floating_point() else x.dtype
        return x.to(self.like.device, dtype, non_blocking=self.like.is_cuda)


def _part(size: int, ranks: Ranks | None) -> slice:
    """Which samples of a minibatch this process gets."""
    if ranks is None:
        return slice(size)
    if size % ranks.size:
        argument_error("batch_size", size, f"a multiple of the {ranks.size} processes that share it")
    each = size // ranks.size
    return slice(ranks.rank * each, (ranks.rank + 1) * each)
