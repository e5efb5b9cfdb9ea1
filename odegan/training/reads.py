"""The tensors that functions read from elsewhere than their arguments, found without calling them."""

from __future__ import annotations

import argparse
import collections
import dataclasses
import functools
import types
from collections.abc import Callable, Iterable

import torch
from torch import nn

from odegan.games.game import Game
from odegan.utils.fingerprint.code import globals_read
from odegan.utils.fingerprint.libraries import is_library_class, is_library_function

_EMPTY = types.CellType()  # of a name that has no value yet


def tensors_read(values: Iterable[object]) -> list[torch.Tensor]:
    """The tensors among the values, and those that functions and objects among the values read or hold, each once.

    A function reads what it encloses, its defaults and the global names in its code; an object holds its attributes, and those
    and the methods of its class. Modules are not searched, and parameters in a container do not count: they require a gradient
    by default.

    Examples:
        >>> h = torch.tensor(0.1)
        >>> tensors_read([lambda t: h * (1 + t), 3.0])
        [tensor(0.1000)]
    """
    found: list[torch.Tensor] = []
    # With the values: the id of an object that is gone may be another's.
    seen: dict[int, object] = {}
    waiting = list(values)
    while waiting:
        value = waiting.pop()
        if id(value) in seen:
            continue
        seen[id(value)] = value
        if issubclass(type(value), torch.Tensor):
            found.append(value)  # type: ignore[arg-type]
        else:
            waiting.extend(_parts(value))
    return found


def _parts(value: object) -> list[object]:
    """What an object holds, or a function reads."""
    # Of the type alone: some objects warn, or import, when they are asked for their __class__.
    own = type(value)
    for kind, parts in _KINDS.items():
        if issubclass(own, kind):
            return parts(value)
    # Other objects of libraries keep what they have computed, such as a network's last parameters.
    searched = issubclass(own, Game) or dataclasses.is_dataclass(own) or not is_library_class(own)
    return [own, *_attributes(value)] if searched else []


def _attributes(value: object) -> list[object]:
    """The values of an object's own attributes, in its dictionary and in slots."""
    slots = (getattr(kind, "__slots__", ()) for kind in type(value).__mro__)
    names = (name for given in slots for name in ([given] if isinstance(given, str) else given))
    held = [getattr(value, name, None) for name in names if name not in ("__dict__", "__weakref__")]
    return [*getattr(value, "__dict__", {}).values(), *held]


def _of_class(kind: type) -> list[object]:
    """The attributes and methods of a class and its bases, but for those of libraries."""
    return [part for one in kind.__mro__ if not is_library_class(one) for part in vars(one).values()]


def _names_in(function: types.FunctionType) -> list[object]:
    """The values of the names in a function's code that are not its own."""
    cells = [cell.cell_contents for cell in function.__closure__ or () if cell != _EMPTY]
    held = [*cells, *(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
    # A library's globals are its own.
    if is_library_function(function):
        return held
    return held + [_followed(function.__globals__.get(first), rest) for first, *rest in globals_read(function.__code__)]


def _followed(value: object, attributes: list[str]) -> object:
    """The attribute that is read of a module; any other object itself."""
    for name in attributes:
        if not isinstance(value, types.ModuleType):
            break
        value = getattr(value, name, None)
    return value


def _contents(container: Iterable[object]) -> list[object]:
    return [value for value in container if not isinstance(value, nn.Parameter)]


# In order: the first kind that fits says what to search.
_KINDS: dict[type, Callable[..., list[object]]] = {
    **dict.fromkeys((nn.Module, types.ModuleType), lambda value: []),
    type: _of_class,
    types.FunctionType: _names_in,
    types.MethodType: lambda method: [method.__self__, method.__func__],
    functools.partial: lambda fixed: [fixed.func, *fixed.args, *fixed.keywords.values()],
    # Named by a call: its type has no public name.
    type(functools.lru_cache(print)): lambda cached: [cached.__wrapped__],
    property: lambda read: [read.fget],
    functools.cached_property: lambda read: [read.func],
    **dict.fromkeys((staticmethod, classmethod), lambda method: [method.__func__]),
    **dict.fromkeys((types.SimpleNamespace, argparse.Namespace), lambda names: list(vars(names).values())),
    dict: lambda table: _contents(table.values()),
    **dict.fromkeys((tuple, list, set, frozenset, collections.deque), _contents),
}
