"""What tells one argument from another, as plain values, so that a checkpoint is not resumed under other arguments."""

from __future__ import annotations

import functools
import hashlib
import math
import types
from collections.abc import Sized
from typing import Any

import torch


def describe(value: Any) -> Any:
    """A plain value for any argument: tensors by content, functions by their code and what they close over.

    Objects may say what they are by a method ``fingerprint()``; others go by their type and, where they can be read like a
    list, by their length and their first and last item.
    """
    if isinstance(value, torch.Tensor):
        return _tensor(value)
    if type(value).__module__ == "numpy" and hasattr(value, "tolist"):
        value = value.tolist()
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else repr(value)
    if isinstance(value, bytes):
        return _digest(value)
    if hasattr(value, "fingerprint"):
        return describe(value.fingerprint())
    if isinstance(value, tuple | list):
        return [describe(part) for part in value]
    if isinstance(value, set | frozenset):  # which a process lists in an order of its own
        return sorted((describe(part) for part in value), key=repr)
    if isinstance(value, dict):
        return {str(key): describe(part) for key, part in value.items()}
    if isinstance(value, types.FunctionType | types.MethodType):
        return _function(value)
    if isinstance(value, functools.partial):
        return [describe(part) for part in (value.func, value.args, value.keywords)]
    return _object(value)


def _tensor(value: torch.Tensor) -> Any:
    if value.numel() == 1:
        return value.detach().item()
    content = value.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes()
    return f"{tuple(value.shape)} {value.dtype} {_digest(content)}"


def _function(value: Any) -> str:
    """The name, and a digest of the code, its constants, defaults and closure."""
    function = getattr(value, "__func__", value)
    closed = [_closed(cell) for cell in function.__closure__ or ()]
    owner = describe(value.__self__) if isinstance(value, types.MethodType) else None
    parts = (
        repr(_code(function.__code__)),
        repr(describe(function.__defaults__)),
        repr(describe(function.__kwdefaults__)),
        repr(closed),
        repr(owner),
    )
    return f"{function.__qualname__} {_digest(repr(parts).encode())}"


def _code(code: types.CodeType) -> list[Any]:
    """Instructions, names and constants, those of the functions within included."""
    constants = [_code(c) if isinstance(c, types.CodeType) else describe(c) for c in code.co_consts]
    return [code.co_code, code.co_names, constants]


def _closed(cell: Any) -> Any:
    try:
        content = cell.cell_contents
    except ValueError:  # not assigned yet
        return None
    # A function that closes over itself, or over a function of its own module, is told by its name.
    return (
        content.__qualname__ if isinstance(content, types.FunctionType) and content.__closure__ else describe(content)
    )


def _object(value: Any) -> Any:
    name = f"{type(value).__module__}.{type(value).__qualname__}"
    if type(value).__module__.startswith("odegan"):
        return repr(value) if type(value).__repr__ is not object.__repr__ else name
    if isinstance(value, Sized) and hasattr(value, "__getitem__"):
        size = len(value)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return [name, size, describe([value[0], value[size - 1]]) if size else None]
    return name


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
