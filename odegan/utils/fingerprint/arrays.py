"""Descriptions of tensors, arrays and tables: a digest of their content, which is read once."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

FEW = 8  # most numbers that are shown in full instead of as a digest
LARGEST = 2**30  # most bytes read from an array outside memory

Plain = Any  # None, bool, int, float, str, and lists and dicts of these: what a checkpoint holds
Describe = Callable[[str, object], Plain]  # (name of the part, its value)


class Unreadable(Exception):
    """The content of an object cannot be read."""


def digest(*contents: bytes | bytearray | memoryview) -> str:
    """16 hexadecimal digits of a hash."""
    found = hashlib.sha256()
    for content in contents:
        found.update(content)
    return found.hexdigest()[:16]


def of_tensor(value: torch.Tensor) -> Plain:
    """dtype, shape, and the numbers or their digest; a tensor on the meta device has only the first two."""
    kind = f"{str(value.dtype).removeprefix('torch.')} {list(value.shape)}"
    if value.is_meta:
        return f"meta {kind}"
    value = value.detach()
    if value.layout != torch.strided:
        return [str(value.layout), of_tensor(value.to_dense())]
    if not value.ndim:
        return f"{str(value.dtype).removeprefix('torch.')} {value.item()!r}"
    # A conjugate or negated view has the original's bytes: only the resolved tensor has its own.
    value = value.cpu().resolve_conj().resolve_neg().contiguous()
    if value.numel() <= FEW and not value.dtype.is_complex:
        return f"{kind} {[number(x) for x in value.flatten().tolist()]}"
    # As bytes, since numpy has no bfloat16.
    return f"{kind} {digest(value.reshape(-1).view(torch.uint8).numpy().data)}"


def of_array(value: np.ndarray) -> Plain:
    """dtype, shape, and the numbers or their digest; an array of objects becomes a list."""
    # The bytes of an array of objects are addresses, which differ in every process.
    if value.dtype.hasobject:
        return ["array of objects", list(value.shape), list(value.flatten())]
    if isinstance(value, np.ma.MaskedArray):
        # What lies under the mask is arbitrary, and may differ between two equal arrays.
        return ["masked array", of_array(np.asarray(value.filled(0))), of_array(np.ma.getmaskarray(value))]
    kind = f"{value.dtype if value.dtype.names else value.dtype.name} {list(value.shape)}"
    if value.size <= FEW and value.dtype.kind in "biuf":
        return f"{kind} {[number(x) for x in value.flatten().tolist()]}"
    return f"{kind} {digest(np.ascontiguousarray(value).reshape(-1).view(np.uint8).data)}"


def of_scalar(value: np.generic) -> Plain:
    """A number of numpy's; it needs no dtype where Python's numbers have the same."""
    if value.dtype.kind not in "biufc":
        return repr(value.item())
    plain = value.dtype in (np.float64, np.int64, np.bool_, np.complex128)
    return number(value.item()) if plain else f"{value.dtype.name} {value.item()!r}"


def number(value: object) -> Plain:
    """A number as it is, or as text if JSON lacks it or if it compares equal to another number, as -0.0 and 0.0."""
    if isinstance(value, complex):
        return f"complex {value!r}"
    if isinstance(value, float) and not math.isfinite(value):
        return f"float {value!r}"
    return "-0.0" if isinstance(value, float) and value == 0 and str(value) == "-0.0" else value


def is_table(value: object) -> bool:
    """Whether this is a data frame or a series, of pandas or a similar library."""
    kind = type(value)
    return hasattr(kind, "to_numpy") and (hasattr(kind, "columns") or hasattr(kind, "name"))


def of_table(value: Any) -> Plain:
    """Names, columns in order, and the index if there is one; these are described in turn."""
    columns = [[str(name), value[name].to_numpy()] for name in value.columns] if hasattr(value, "columns") else []
    whole = [] if columns else [[str(value.name), value.to_numpy()]]
    index = value.index.to_numpy() if hasattr(value, "index") and hasattr(value.index, "to_numpy") else None
    return [type(value).__name__, columns or whole, index]


def is_array_like(value: object) -> bool:
    """Whether this is an array outside memory, or of another library."""
    return all(hasattr(type(value), name) for name in ("__array__", "shape", "dtype")) and not isinstance(value, type)


def of_array_like(value: Any) -> Plain:
    """The content of such an array.

    Raises:
        Unreadable: it is larger than ``LARGEST``.
    """
    size = int(np.prod(value.shape)) * int(getattr(value.dtype, "itemsize", 8))
    if size > LARGEST:
        raise Unreadable
    return of_array(np.asarray(value))
