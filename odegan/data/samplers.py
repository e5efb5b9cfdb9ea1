"""Samplers: blocks of n consecutive minibatches from a table, a data set, a function, or normal numbers."""

from __future__ import annotations

import functools
import operator
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from odegan.data.given import Function, Labels, Source, Table, are_labels, as_labels, is_data_set, known_labels
from odegan.data.global_generators import Reseed, reseeded_generators
from odegan.data.positions import Positions
from odegan.data.workers import Prefetched
from odegan.utils.ambient import restoring, usable
from odegan.utils.checks import ArgumentError, argument_error
from odegan.utils.random_streams import NORMAL, Seeds, Stream, generator, stream_seed

Fields = dict[str, Tensor]  # of a batch, by name


class Share(NamedTuple):
    """The settings that all samplers of a run share.

    Attributes:
        size: size of a whole minibatch.
        part: the slice of it that is needed here.
        seeds: one seed, or one per member.
        device: device of the minibatches.
        grad: the grad mode in which user code is called.
    """

    size: int
    part: slice
    seeds: Seeds
    device: torch.device
    grad: bool

    def positions(self, rows: int, name: str, device: torch.device) -> Positions:
        """The positions of the minibatches in this many rows."""
        return Positions(rows, self.size, self.part, self.seeds, name, device)


class Sampler(Protocol):
    """The interface of a source of minibatches."""

    def block(self, start: int, n: int) -> Fields:
        """Fields (n, B, ...), or (n, E, B, ...), of minibatches start, ..., start + n - 1."""

    def close(self) -> None:
        """Stop the worker processes."""


def sampler(name: str, source: Source, share: Share, labels: Labels, workers: int) -> Sampler:
    """The sampler for a source. name: "data" or "latent"."""
    if isinstance(source, Table):
        return TableSampler(source, share, labels)
    if name == "latent" and isinstance(source, tuple):
        return NormalSampler(source, share)
    if is_data_set(source):
        return DatasetSampler(source, share, labels, workers)
    assert callable(source)
    return FunctionSampler(name, source, share, labels)


class _InProcess:
    def close(self) -> None:
        """Do nothing, since there are no worker processes."""


class TableSampler(_InProcess):
    """Rows of tensors on the device."""

    def __init__(self, table: Table, share: Share, labels: Labels) -> None:
        # Once, and in the table's own dtype: levels in uint8 take a quarter of the memory of float32.
        self._samples = table.samples.to(share.device)
        self._rows = share.positions(len(self._samples), "data", share.device)
        self._labels = table.labels.to(share.device, torch.int64) if labels.real and table.labels is not None else None
        self._fake = share.positions(len(self._samples), "fake label", share.device) if labels.fake else None

    def block(self, start: int, n: int) -> Fields:
        rows = self._rows.block(start, n)
        fields = {"real": self._samples[rows]}
        if self._labels is not None:
            fields["label"] = self._labels[rows]
            if self._fake is not None:
                fields["fake_label"] = self._labels[self._fake.block(start, n)]
        return fields


class NormalSampler(_InProcess):
    """Standard normal latents."""

    def __init__(self, shape: tuple[int, ...], share: Share) -> None:
        self._part = share.part
        self._single = isinstance(share.seeds, int)
        # Latents are drawn for the whole minibatch on every rank and cut: one process would draw the same.
        self._stream = Stream(NORMAL, share.seeds, "latent", (share.size, *shape), share.device)

    def block(self, start: int, n: int) -> Fields:
        drawn = self._stream.block(start, n)
        return {"latent": drawn[:, self._part] if self._single else drawn[:, :, self._part]}


class FunctionSampler(_InProcess):
    """Draws by a user's function, called once per minibatch and member."""

    def __init__(self, name: str, function: Function, share: Share, labels: Labels) -> None:
        self._name = name
        self._function = function
        self._share = share
        self._labels = labels
        self._key = "real" if name == "data" else name

    def block(self, start: int, n: int) -> Fields:
        seeds = self._share.seeds
        # User code often draws from the global generators instead of the one that it is given.
        with reseeded_generators() as reseed:
            if isinstance(seeds, int):
                return _stacked([self._drawn(seeds, index, reseed) for index in range(start, start + n)])
            indices = range(start, start + n)
            return _stacked([_stacked([self._drawn(seed, index, reseed) for seed in seeds]) for index in indices])

    def _drawn(self, seed: int, index: int, reseed: Reseed) -> Fields:
        fields = self._called(seed, self._name, index, reseed)
        if self._labels.fake:
            # A second call under another stream: independent of the real samples, and from the same distribution of
            # labels.
            fields["fake_label"] = self._called(seed, "fake label", index, reseed)["label"]
        return fields

    def _called(self, seed: int, stream: str, index: int, reseed: Reseed) -> Fields:
        """The function's result for one draw of a stream."""
        reseed(stream_seed(seed, f"{stream} function", index))
        with torch.set_grad_enabled(self._share.grad), restoring():
            drawn = self._function(self._share.size, generator(seed, stream, index))
        if not self._labels.real:
            return {self._key: self._kept(drawn)}
        if not isinstance(drawn, tuple | list) or len(drawn) != 2:
            argument_error(
                "data", type(drawn).__name__, "a function that returns (samples, labels): the game takes labels"
            )
        samples, given = drawn
        label = as_labels(given)
        if label is None:
            argument_error("data", given, "a function that returns samples and their labels (n,), whole numbers")
        return {self._key: self._kept(samples), "label": self._kept(label).long()}

    def _kept(self, x: Tensor) -> Tensor:
        """This process's part, detached unless the run keeps a graph."""
        size = self._share.size
        if not isinstance(x, Tensor) or x.shape[:1] != (size,):
            got = tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__
            raise ArgumentError(
                f"{self._name}: got {got} from the function; it must return a tensor of shape ({size}, ...)"
            )
        # A function may compute under inference mode, whose tensors no graph can use.
        part = usable(x[self._share.part])
        return part if torch.is_grad_enabled() else part.detach()


class DatasetSampler:
    """Items of a map-style data set, read in this process or ahead of time by workers."""

    def __init__(self, data: Any, share: Share, labels: Labels, workers: int) -> None:
        make = functools.partial(_minibatch, _Items(data, share, labels), share.seeds)  # picklable for workers
        self._made = Prefetched(make, workers, pin=share.device.type == "cuda")

    def block(self, start: int, n: int) -> Fields:
        return _stacked([self._made(index) for index in range(start, start + n)])

    def close(self) -> None:
        self._made.close()


def _minibatch(items: _Items, seeds: Seeds, index: int) -> Fields:
    members = [items(member, index) for member in range(1 if isinstance(seeds, int) else len(seeds))]
    return members[0] if isinstance(seeds, int) else _stacked(members)


class _Items:
    """(member, index) -> the items of one member's minibatch.

    Each minibatch is read with its own seed, since another process may have read the previous one.
    """

    def __init__(self, data: Any, share: Share, labels: Labels) -> None:
        cpu = torch.device("cpu")
        self._data = data
        self._share = share
        self._labels = labels
        self._known = known_labels(data) if labels.fake else None
        self._seeds = [share.seeds] if isinstance(share.seeds, int) else share.seeds
        # Drawn on the CPU, where the items are read; the numbers are the same as on a device.
        self._rows = [Positions(len(data), share.size, share.part, seed, "data", cpu) for seed in self._seeds]
        self._fake = [Positions(len(data), share.size, share.part, seed, "fake label", cpu) for seed in self._seeds]

    def __call__(self, member: int, index: int) -> Fields:
        items = self._made(member, index, "item", self._rows)
        # Before ``torch.stack``, whose message names neither the data nor the user's argument.
        if len({sample.shape for sample, _ in items}) > 1:
            shapes = sorted({tuple(sample.shape) for sample, _ in items})[:2]
            raise ArgumentError(f"data: got items of shapes {shapes[0]} and {shapes[1]}; they must have one shape")
        fields = {"real": torch.stack([sample for sample, _ in items])}
        if self._labels.real:
            fields["label"] = torch.tensor([label for _, label in items])
        if self._labels.fake:
            fields["fake_label"] = torch.tensor(self._fake_labels(member, index))
        return fields

    def _made(self, member: int, index: int, stream: str, rows: Sequence[Positions]) -> list[tuple[Tensor, int]]:
        places = range(self._share.size)[self._share.part]
        with reseeded_generators() as reseed, torch.set_grad_enabled(self._share.grad), restoring():
            made = []
            for place, row in zip(places, rows[member].block(index, 1)[0].tolist(), strict=True):
                # By place within the whole minibatch, not this rank's share: transforms do not depend on the ranks.
                reseed(stream_seed(self._seeds[member], stream, index * self._share.size + place))
                made.append(_item(self._data, row, self._labels.real))
        return made

    def _fake_labels(self, member: int, index: int) -> list[int]:
        """Labels from the data set's own list, as torchvision's sets have one, else from further items."""
        # Reading an image only for its label would decode as many images again.
        if self._known is None:
            return [label for _, label in self._made(member, index, "fake item", self._fake)]
        return self._known[self._fake[member].block(index, 1)[0]].tolist()


def _item(data: Any, row: int, labeled: bool) -> tuple[Tensor, int]:
    """The sample and the label of an item (label 0 if none is needed)."""
    item = data[row]
    several = isinstance(item, tuple | list)
    if labeled and (not several or len(item) < 2):
        argument_error("data", f"items of {type(item).__name__}", "pairs (sample, label): the game takes labels")
    sample = item[0] if several else item
    try:
        made = torch.as_tensor(sample).detach()
    except (TypeError, ValueError, RuntimeError):
        argument_error("data", type(sample).__name__, "a data set of tensors (give it a transform that makes them)")
    return made, _label(item[1]) if labeled else 0


def has_label(data: Any) -> bool:
    """Whether the first item of a data set is a sample with its class."""
    with reseeded_generators(), restoring():
        item = data[0]
    label = item[1] if isinstance(item, tuple | list) and len(item) > 1 else None
    return isinstance(label, int | np.integer) or (isinstance(label, Tensor) and are_labels(label.reshape(-1)))


def _label(value: Any) -> int:
    try:
        return operator.index(value)
    except TypeError:
        argument_error("data", value, "pairs of a sample and its label, a whole number")


def _stacked(fields: Sequence[Fields]) -> Fields:
    return {name: torch.stack([part[name] for part in fields]) for name in fields[0]}
