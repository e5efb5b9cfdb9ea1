"""Minibatches as a pure function of (seed, index): a run can be replayed from anywhere without what came before."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.utils.data import Dataset, IterableDataset

from odegan.data.workers import Prefetched
from odegan.games.batch import Batch
from odegan.utils.checks import ArgumentError, fail, whole
from odegan.utils.distributed import Ranks
from odegan.utils.seeds import BLOCK, generator, stream_seed

Sampler = Callable[[int, int], torch.Tensor]  # (seed, index) -> (B, ...)


class Minibatches:
    """``minibatches(index) -> Batch`` for one run, or for an ensemble (member dimension first).

    Args:
        data: Tensor (N, ...) or map-style Dataset, drawn without replacement within an epoch (the epochs' permutations
            follow one another, so that every sample is used whatever the batch size); or a callable
            (n, generator) -> (n, ...), called once a minibatch.
        latent: int or shape for N(0, I), or a callable (n, generator) -> (n, ...).
        batch_size: B; None: all of a Tensor or Dataset.
        seeds: one seed, or one for each member of an ensemble.
        like: a tensor whose device and dtype the minibatches take. Draws are made in float32 on that device, so a run in
            float64 sees the same numbers.
        ranks: the processes that share each minibatch; this one gets its own equal part of it.
        workers: processes that load a Dataset's items ahead of time, the same ones to the bit; they end with the ``with`` block
            that the minibatches are used in.

    Examples:
        >>> x = torch.arange(6.0).reshape(6, 1)
        >>> epoch = [Minibatches(x, 2, 3, [0], torch.empty(0))(i).real for i in (0, 1)]
        >>> sorted(torch.cat(epoch).flatten().tolist())
        [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    """

    def __init__(
        self,
        data: Any,
        latent: Any,
        batch_size: int | None,
        seeds: int | Sequence[int],
        like: torch.Tensor,
        ranks: Ranks | None = None,
        workers: int = 0,
    ) -> None:
        self.seeds = seeds
        self.like = like
        size = _batch_size(data, batch_size)
        part = _part(size, ranks)
        real = _data_sampler(data, size, part, like.device)
        if whole("workers", workers) and not isinstance(real, functools.partial):
            fail("workers", workers, "0 where data are a Tensor or a function: workers load the items of a Dataset")
        self.real = Prefetched(functools.partial(_of_members, real, seeds), workers, pin=like.is_cuda)
        members = 1 if isinstance(seeds, int) else len(seeds)
        self.latent = _latent_sampler(latent, size, part, like.device, members)

    def __call__(self, index: int) -> Batch:
        """The index-th minibatch."""
        real = self._placed(self.real(index), "data")
        return Batch(real, self._placed(_of_members(self.latent, self.seeds, index), "latent"))

    def __enter__(self) -> Minibatches:
        """Itself."""
        return self

    def __exit__(self, *_: Any) -> None:
        """End the workers."""
        self.real.close()

    def _placed(self, x: torch.Tensor, name: str) -> torch.Tensor:
        if not isinstance(x, torch.Tensor):
            fail(name, type(x).__name__, "a source of tensors")
        if name == "data" and not x.is_floating_point():
            fail("data", x, "floating point (convert and scale integers first)")
        dtype = self.like.dtype if x.is_floating_point() else x.dtype
        return x.to(self.like.device, dtype, non_blocking=self.like.is_cuda)


def _of_members(sample: Sampler, seeds: int | Sequence[int], index: int) -> torch.Tensor:
    """One seed's samples (B, ...), or (E, B, ...) of the seeds of an ensemble."""
    if isinstance(seeds, int):
        return sample(seeds, index)
    return torch.stack([sample(seed, index) for seed in seeds])


def _batch_size(data: Any, batch_size: int | None) -> int:
    if batch_size is not None:
        return whole("batch_size", batch_size, low=1)
    if not hasattr(data, "__len__") or isinstance(data, IterableDataset):
        fail("batch_size", None, "a whole number >= 1 where data are drawn by a function")
    return len(data)


def _part(size: int, ranks: Ranks | None) -> slice:
    """Which samples of a minibatch this process gets."""
    if ranks is None:
        return slice(size)
    if size % ranks.size:
        fail("batch_size", size, f"a multiple of the {ranks.size} processes that share it")
    each = size // ranks.size
    return slice(ranks.rank * each, (ranks.rank + 1) * each)


def _data_sampler(data: Any, size: int, part: slice, device: torch.device) -> Sampler:
    if isinstance(data, torch.Tensor):
        if data.ndim == 0 or len(data) == 0:
            fail("data", data, "a tensor (N, ...) of at least one sample")
        held = data.to(device)
        return lambda seed, index: held[_positions(seed, index, size, len(held))[part].to(device)]
    if callable(data) and not isinstance(data, Dataset):
        return _called("data", data, size, part)
    if isinstance(data, dict | IterableDataset):
        fail("data", type(data).__name__, "a Tensor, a map-style Dataset, or a function (n, generator) -> Tensor")
    if isinstance(data, Dataset) or (hasattr(data, "__getitem__") and hasattr(data, "__len__")):
        if len(data) == 0:
            fail("data", data, "a data set of at least one sample")
        return functools.partial(_items, data, size, part)  # no lambda: it travels to workers
    fail("data", data, "a Tensor, a map-style Dataset, or a function (n, generator) -> Tensor")


def _latent_sampler(latent: Any, size: int, part: slice, device: torch.device, members: int) -> Sampler:
    if callable(latent):
        return _called("latent", latent, size, part)
    if latent is None:
        fail("latent", None, "its dimension, or a function (n, generator) -> Tensor")
    shape = tuple(whole("latent", n, low=1) for n in (latent if isinstance(latent, tuple | list) else (latent,)))

    @functools.lru_cache(maxsize=members)  # a block may be megabytes: keep each member's present one only
    def block(seed: int, which: int) -> torch.Tensor:
        draw = generator(seed, "latent", which, device)
        return torch.randn(BLOCK, size, *shape, generator=draw, device=device)

    return lambda seed, index: block(seed, index // BLOCK)[index % BLOCK, part]


def _called(name: str, draw: Callable[[int, torch.Generator], torch.Tensor], size: int, part: slice) -> Sampler:
    _check_signature(name, draw)

    def sample(seed: int, index: int) -> torch.Tensor:
        with torch.random.fork_rng(devices=[]):
            _reseed(seed, f"{name} function", index)
            x = draw(size, generator(seed, name, index))
        if not isinstance(x, torch.Tensor) or x.shape[:1] != (size,):
            got = tuple(x.shape) if isinstance(x, torch.Tensor) else type(x).__name__
            raise ArgumentError(f"{name}: got {got} from the function; it must return a tensor of shape ({size}, ...)")
        return x[part]

    return sample


def _check_signature(name: str, draw: Any) -> None:
    """Refuse a function that cannot be called with (n, generator); one that does not tell its signature is let through."""
    try:
        signature = inspect.signature(draw)
    except ValueError:
        return
    try:
        signature.bind(1, None)
    except TypeError:
        fail(name, f"a function of {signature}", "a function (n, generator) -> Tensor")


def _positions(seed: int, index: int, size: int, n: int) -> torch.Tensor:
    """Rows of the index-th minibatch in the infinite sequence of the epochs' permutations."""
    start, stop = index * size, (index + 1) * size
    pieces = []
    for epoch in range(start // n, (stop - 1) // n + 1):
        order = _permutation(seed, epoch, n)
        pieces.append(order[max(start - epoch * n, 0) : stop - epoch * n])
    return torch.cat(pieces) if len(pieces) > 1 else pieces[0]


def _permutation(seed: int, epoch: int, n: int) -> torch.Tensor:
    """The order of an epoch. The last ones of each seed are kept: a minibatch may reach into two, and those of a large data set
    are large.
    """
    kept = _last_permutations(seed, n)
    if epoch not in kept:
        while len(kept) > 1:
            del kept[min(kept)]
        kept[epoch] = torch.randperm(n, generator=generator(seed, "data", epoch))
    return kept[epoch]


@functools.lru_cache(maxsize=1024)
def _last_permutations(seed: int, n: int) -> dict[int, torch.Tensor]:
    return {}


def _items(data: Any, size: int, part: slice, seed: int, index: int) -> torch.Tensor:
    positions = _positions(seed, index, size, len(data)).tolist()
    items = []
    with torch.random.fork_rng(devices=[]):
        for place in range(size)[part]:
            _reseed(seed, "item", index * size + place)  # each its own: another process may have the one before
            items.append(_item(data, positions[place]))
    if len({item.shape for item in items}) > 1:
        shapes = sorted({tuple(item.shape) for item in items})[:2]
        raise ArgumentError(f"data: got items of shapes {shapes[0]} and {shapes[1]}; they must have one shape")
    return torch.stack(items)


def _reseed(seed: int, stream: str, index: int) -> None:
    """Seed torch's global generator for one draw, so that random transforms are a function of (seed, index) too. The CPU's
    alone: ``torch.manual_seed`` would move the accelerators' as well.
    """
    torch.default_generator.manual_seed(stream_seed(seed, stream, index))


def _item(data: Any, i: int) -> torch.Tensor:
    """The sample itself, where a data set gives (sample, label)."""
    item = data[i]
    sample = item[0] if isinstance(item, tuple | list) else item
    try:
        return torch.as_tensor(sample)
    except (TypeError, ValueError, RuntimeError):
        fail("data", type(sample).__name__, "a data set of tensors (give it a transform that makes them)")
