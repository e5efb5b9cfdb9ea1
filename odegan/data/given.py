"""Check the arguments ``data`` and ``latent`` and reduce them to a table, a data set or a function."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import (
    ConcatDataset,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    Subset,
    TensorDataset,
)
from torch.utils.data import default_collate as _default_collate

from odegan.data.labeled_images import LabeledImages
from odegan.games.labels import check_classes
from odegan.utils.checks import ArgumentError, argument_error, check_arity, check_int
from odegan.utils.warn import warn

Function = Callable[[int, torch.Generator], Any]  # (n, generator) -> (n, ...), or with labels a pair
Data = Tensor | np.ndarray | Dataset[Any] | DataLoader[Any] | Sequence[Any] | Function
Latent = int | Sequence[int] | Function | None

LARGEST = 2**30  # bytes of a table whose samples are checked
_FUNCTION = "a function (n, generator) -> Tensor"
_ALLOWED = f"a Tensor, a map-style Dataset, or {_FUNCTION}"
_LABELS = "whole numbers, one class for each sample: not one-hot rows, nor floating point"


class Labels(NamedTuple):
    """Which labels are needed: those of the real samples, and independent ones for the generated samples."""

    real: bool = False
    fake: bool = False


@dataclass(frozen=True)
class Table:
    """Samples held as one tensor (N, ...), with their labels (N,) int64 if there are any."""

    samples: Tensor
    labels: Tensor | None = None


Source = Table | Dataset[Any] | Sequence[Any] | Function | tuple[int, ...]  # a tuple: the shape of normal latents


class Opened(NamedTuple):
    """A source, the size of a whole minibatch, the number of worker processes that load it, and its labels as far as known."""

    source: Source
    size: int
    workers: int
    labels: Tensor | None


def opened(data: Data, batch_size: int | None, workers: int, labels: Labels) -> Opened:
    """The source given as ``data``, with the batch size and workers of a DataLoader if it is one.

    Raises:
        ArgumentError: the argument cannot be drawn from; the message says what to give instead.
    """
    workers = check_int("workers", workers)
    if isinstance(data, DataLoader):
        data, batch_size, workers = _from_loader(data, batch_size, workers)
    # With workers a TensorDataset is read item by item, as asked for; without, it is a table.
    source: Source = _table(data, workers) or _checked(data)
    if isinstance(source, Table):
        _check_finite(source.samples)
    if workers and not is_data_set(source):
        argument_error("workers", workers, "0 if data is a Tensor or a function: workers load the items of a Dataset")
    if labels.real and isinstance(source, Table) and source.labels is None:
        if isinstance(data, TensorDataset) and len(data.tensors) > 1:
            argument_error("data labels", data.tensors[1], _LABELS)
        argument_error("data", "samples alone", "pairs (sample, label): the game takes labels")
    known = known_labels(source) if labels.real else None
    if known is not None:
        check_classes("data labels", known)
    return Opened(source, _batch_size(source, batch_size), workers, known)


def known_labels(source: object) -> Tensor | None:
    """The labels (N,) of all samples if they are known without reading any item: those of a table or of a data set's
    ``targets``, as torchvision's sets have them; a ``Subset`` or ``ConcatDataset`` of such sets has theirs.
    """
    if isinstance(source, Table):
        return source.labels
    # Not of subclasses: their items may be others.
    if type(source) is Subset:
        whole, places = known_labels(source.dataset), as_labels(source.indices)
        # Indices that are no positions are left to the items.
        if whole is None or places is None or bool(((places < -len(whole)) | (places >= len(whole))).any()):
            return None
        return whole[places.long()]
    if type(source) is ConcatDataset:
        parts = [labels.long() for part in source.datasets if (labels := known_labels(part)) is not None]
        return torch.cat(parts) if len(parts) == len(source.datasets) else None
    given = getattr(source, "targets", None)
    if isinstance(source, TensorDataset) and len(source.tensors) > 1:
        given = source.tensors[1]
    # A transform makes other labels of them when an item is read.
    if given is None or getattr(source, "target_transform", None) is not None:
        return None
    labels = as_labels(given)
    return labels if labels is not None and len(labels) == _length(source) else None


def is_data_set(source: object) -> bool:
    """Whether items are read one at a time."""
    return not isinstance(source, Table) and hasattr(source, "__getitem__")


def checked_latent(latent: Latent) -> Source:
    """The latents' shape, or the function that draws them."""
    if callable(latent):
        check_arity("latent", latent, 2, _FUNCTION)
        return latent
    if latent is None:
        allowed = (
            "its size or shape, or a function (n, generator) -> Tensor: it cannot be inferred from the generator's first "
            "layer"
        )
        argument_error("latent", None, f"{allowed} (if it takes latents: is it gan(generator, discriminator)?)")
    return tuple(check_int("latent", n, low=1) for n in (latent if isinstance(latent, tuple | list) else (latent,)))


def _from_loader(loader: DataLoader[Any], batch_size: int | None, workers: int) -> tuple[Any, int | None, int]:
    """The data set, batch size and workers of a loader; its sampler is not used, since minibatches are shuffled here."""
    _check_no_stream(loader.dataset)
    replaces = getattr(loader.sampler, "replacement", False)
    # Any other sampler would be lost silently, for instance one with weights by class.
    if type(loader.sampler) not in (RandomSampler, SequentialSampler) or replaces or loader.batch_size is None:
        argument_error(
            "data", "a DataLoader with a sampler of its own", "its data set, or a function (n, generator) -> Tensor"
        )
    if loader.collate_fn is not _default_collate:
        argument_error("data", "a DataLoader with a collate_fn", "a Dataset whose items are what a minibatch stacks")
    if batch_size is not None and batch_size != loader.batch_size:
        argument_error("batch_size", batch_size, f"the DataLoader's, {loader.batch_size}, or left out")
    # Workers would not make a table in memory faster.
    own = loader.num_workers if _table(loader.dataset, 0) is None else 0
    return loader.dataset, loader.batch_size, workers or own


def _table(data: object, workers: int) -> Table | None:
    """Data held as one tensor: a tensor or array, a tuple (samples, labels) of one and a list, or a ``TensorDataset``."""
    if isinstance(data, LabeledImages):
        return Table(data.levels, data.targets)
    if type(data) is TensorDataset and not workers:
        labels = data.tensors[1] if len(data.tensors) > 1 else None
        return Table(data.tensors[0], labels if labels is not None and are_labels(labels) else None)
    if isinstance(data, tuple) and len(data) == 2 and isinstance(data[0], Tensor | np.ndarray) and _is_list(data[1]):
        return _pair(as_tensor(data[0]), data[1])
    if isinstance(data, Tensor | np.ndarray):
        samples = as_tensor(data)
        if samples.ndim == 0 or len(samples) == 0:
            argument_error("data", samples, "a tensor (N, ...) of at least one sample")
        if samples.layout != torch.strided or samples.is_meta:
            argument_error("data", samples, "a dense tensor that holds numbers: call .to_dense() on a sparse one")
        if not samples.is_floating_point() and samples.dtype != torch.uint8:
            argument_error("data", samples, "floating point (convert and scale integers first), or levels in uint8")
        return Table(samples)
    return None


def _check_finite(samples: Tensor) -> None:
    """Refuse samples with NaN or infinity, which would end the run where the first of them is drawn."""
    # A larger table may be a file of which a run reads a part.
    if not samples.is_floating_point() or samples.nbytes > LARGEST or not samples.numel():
        return
    # The extremes, which need no memory of the table's size; NaN is both.
    if not all(bool(x.isfinite()) for x in samples.detach().aminmax()):
        argument_error("data", "samples with NaN or infinity", "finite everywhere")


def _is_list(x: object) -> bool:
    """Whether this may be a list of labels."""
    return isinstance(x, Tensor | np.ndarray | Sequence) and not isinstance(x, str | bytes)


def _pair(samples: Tensor, given: object) -> Table:
    """A table of samples with their labels."""
    labels = as_labels(given)
    if labels is None:
        argument_error("data labels", given, _LABELS)
    if samples.ndim == 0 or len(samples) != len(labels):
        argument_error("data", f"{samples.shape[:1].numel()} samples and {len(labels)} labels", "as many of both")
    return Table(samples, labels)


def as_labels(x: object) -> Tensor | None:
    """One class per sample as a tensor (N,), from a tensor, an array or a list; None if it is not such a sequence."""
    if isinstance(x, np.ndarray):
        x = as_tensor(x)
    try:
        found = torch.as_tensor(x)
    except (TypeError, ValueError, RuntimeError):
        return None
    return found if are_labels(found) else None


def as_tensor(x: Tensor | np.ndarray) -> Tensor:
    """An array as a tensor that shares its memory."""
    if isinstance(x, Tensor):
        return x
    with warnings.catch_warnings():  # torch warns about read-only arrays, but nothing here writes to them
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        try:
            return torch.from_numpy(x)
        except (TypeError, ValueError) as error:
            raise ArgumentError(f"data: got a numpy array that cannot become a tensor ({error})") from error


def are_labels(x: Tensor) -> bool:
    """Whether a tensor holds one class per sample."""
    return x.ndim == 1 and not x.is_floating_point() and not x.is_complex() and x.dtype != torch.bool


def are_columns(one: object, other: object) -> bool:
    """Whether two arrays of a list look like samples and their labels, rather than two samples."""
    if not isinstance(one, Tensor | np.ndarray):
        return False
    samples = as_tensor(one)
    labels = as_tensor(other) if isinstance(other, Tensor | np.ndarray) else as_labels(other)
    if labels is None:
        return False
    return samples.ndim > 0 and samples.shape[:1] == labels.shape[:1] and samples.shape != labels.shape


def _checked(data: Any) -> Source:
    """Return a data set or a function; refuse anything else."""
    _check_no_stream(data)
    if isinstance(data, str | os.PathLike):
        argument_error("data", data, f"{_ALLOWED}; of a folder of images, odegan.data.images(path, size=...)")
    if isinstance(data, dict):
        argument_error("data", "dict", f"{_ALLOWED}, or with classes a tuple (samples, labels)")
    if isinstance(data, bytes | set | torch.nn.Module):
        argument_error("data", type(data).__name__, _ALLOWED)
    if isinstance(data, list) and len(data) == 2 and are_columns(*data):
        argument_error("data", "a list of two tables", "a tuple (samples, labels); a list has the samples as its items")
    if isinstance(data, type):
        argument_error("data", f"the class {data.__name__}", f"{_ALLOWED}; an instance of it, perhaps")
    if hasattr(data, "__array__") and not (isinstance(data, Dataset) or _holds_rows(data)):  # of pandas, of JAX
        argument_error("data", type(data).__name__, f"{_ALLOWED}; numpy.asarray(data), perhaps")
    # Before callables: some data sets can be called, too.
    if hasattr(data, "__getitem__") and hasattr(data, "__len__"):
        if len(data) == 0:
            argument_error("data", data, "a data set of at least one sample")
    elif callable(data) and not isinstance(data, Dataset):
        check_arity("data", data, 2, _FUNCTION)
    else:
        argument_error("data", type(data).__name__ if isinstance(data, Dataset) else data, _ALLOWED)
    return data


def _holds_rows(data: Any) -> bool:
    """Whether ``data[0]`` is an array, as of arrays on disk (h5py, zarr) that are read row by row."""
    try:
        return isinstance(data[0], Tensor | np.ndarray)
    except (LookupError, TypeError, ValueError):
        return False


def _check_no_stream(data: object) -> None:
    if isinstance(data, IterableDataset):
        argument_error(
            "data",
            f"{type(data).__name__}, an IterableDataset",
            "a map-style Dataset, or a function (n, generator) -> Tensor: a run asks for any minibatch, not for the next",
        )


def _batch_size(source: Source, batch_size: int | None) -> int:
    rows = _length(source)
    if batch_size is None:
        return rows or argument_error("batch_size", None, "a whole number >= 1 if data is a function")
    size = check_int("batch_size", batch_size, low=1)
    if rows is not None and size > rows:
        warn(f"batch_size: got {size}, more than the {rows} samples of data, which a minibatch then has several times")
    return size


def _length(source: object) -> int | None:
    if isinstance(source, Table):
        return len(source.samples)
    return len(source) if hasattr(source, "__len__") else None
