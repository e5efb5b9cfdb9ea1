"""The traversal of a value: it dispatches on each part's kind and records what was seen before and what could not be read."""

from __future__ import annotations

import enum
import functools
import json
import logging
import os
import random
import re
import threading
import types
import weakref
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from odegan.utils.fingerprint import arrays, functions, objects
from odegan.utils.fingerprint.arrays import Describe, Plain, Unreadable
from odegan.utils.fingerprint.reads import ReadsElsewhere

LONGEST_PATH = 8  # names of a part that a message shows in full
_BUILTIN = (
    types.BuiltinFunctionType,
    types.MethodWrapperType,
    types.WrapperDescriptorType,
    types.MethodDescriptorType,
    types.ClassMethodDescriptorType,
    types.GetSetDescriptorType,
    types.MemberDescriptorType,
    np.ufunc,
)
_DESCRIPTORS = (property, staticmethod, classmethod, functools.cached_property, functools.partialmethod)
_NAMED = (
    types.UnionType,
    types.GenericAlias,
    torch.dtype,
    torch.device,
    torch.layout,
    torch.memory_format,
    np.dtype,
    range,
    slice,
)
_WITHOUT_CONTENT = (type(threading.Lock()), type(threading.RLock()), logging.Logger)

_GLOBAL_GENERATORS = (torch.default_generator, np.random.mtrand._rand, random._inst)


def _of_set(value: set[object] | frozenset[object], describe: Describe) -> Plain:
    """The elements in an order that does not vary between processes."""
    return ["set", *sorted((describe("element", part) for part in value), key=lambda x: json.dumps(x, sort_keys=True))]


# Each kind of value and how it is described; the first kind that matches is used.
_TABLE: list[tuple[Any, Callable[[Any, Describe], Plain]]] = [
    (torch.Tensor, lambda x, describe: objects.with_attributes(x, arrays.of_tensor(x), describe)),
    (np.generic, lambda x, describe: arrays.of_scalar(x)),
    (np.memmap, lambda x, describe: arrays.of_array(x)),  # its attributes are the open file
    (np.ndarray, lambda x, describe: objects.with_attributes(x, describe("objects", arrays.of_array(x)), describe)),
    (_NAMED, lambda x, describe: str(x)),
    (re.Pattern, lambda x, describe: ["pattern", x.pattern, x.flags]),
    (weakref.ref, lambda x, describe: {"reference to": describe("object", x())}),
    (threading.Event, lambda x, describe: ["Event", x.is_set()]),
    (_WITHOUT_CONTENT, lambda x, describe: type(x).__name__),
    (os.PathLike, lambda x, describe: os.fspath(x)),
    (types.ModuleType, functions.of_module),
    (types.FunctionType, functions.of_function),
    (types.MethodType, functions.of_method),
    (functools.partial, functions.of_partial),
    (functools._lru_cache_wrapper, functions.of_cached),
    (_BUILTIN, functions.of_builtin),
    (_DESCRIPTORS, functions.of_descriptor),
    (enum.Enum, functions.of_member),
    (type, functions.of_class),
    (torch.jit.ScriptModule, objects.of_script),
    (torch.jit.ScriptFunction, lambda x, describe: {"function": x.name, "script": str(x.graph)}),
    ((torch._ops.OpOverload, torch._ops.OpOverloadPacket), objects.of_operator),
    (torch.library.CustomOpDef, objects.of_defined_operator),
    (nn.Module, objects.of_network),
    (torch.Generator, lambda x, describe: [str(x.device), arrays.of_tensor(x.get_state())]),
    (set | frozenset, lambda x, describe: objects.with_attributes(x, _of_set(x, describe), describe)),
    (
        bytes | bytearray | memoryview,
        lambda x, describe: objects.with_attributes(x, f"bytes [{len(x)}] {arrays.digest(bytes(x))}", describe),
    ),
    (np.lib.npyio.NpzFile, objects.of_mapping),  # an archive is its arrays; its other attributes are open files
    (Mapping, lambda x, describe: objects.with_attributes(x, objects.of_mapping(x, describe), describe)),
]
_DUCKS: list[tuple[Callable[[Any], bool], Callable[[Any, Describe], Plain]]] = [
    (arrays.is_table, lambda x, describe: describe("table", arrays.of_table(x))),
    (arrays.is_array_like, lambda x, describe: arrays.of_array_like(x)),
    (objects.is_hub_table, lambda x, describe: [type(x).__name__, len(x), x._fingerprint]),
    (objects.is_picture, lambda x, describe: [x.mode, describe("pixels", np.asarray(x))]),
]


class Reader:
    """``reader(name, value)`` describes a value as plain data; ``unread`` lists what it could not read.

    A part that was seen before, or contains itself, is described once.
    """

    def __init__(self) -> None:
        self.unread: list[str] = []
        self._met: dict[int, tuple[Any, Plain]] = {}  # keeping the value alive keeps its id unique
        self._under_way: dict[int, int] = {}  # id -> depth of the parts being described
        self._path: list[str] = []
        self._inside_data = False

    def __call__(self, name: str, value: object) -> Plain:
        simple, found = _simple(value)
        if simple:
            return found
        if id(value) in self._met:
            return self._met[id(value)][1]
        # An object that contains itself would otherwise be described for ever.
        if id(value) in self._under_way:
            return f"(the {type(value).__name__} {len(self._path) - self._under_way[id(value)]} levels above)"
        self._under_way[id(value)] = len(self._path)
        self._path.append(name)
        try:
            found = self._stated(value) if _states(value) else self._tried(value)
        finally:
            self._path.pop()
            del self._under_way[id(value)]
        self._met[id(value)] = value, found
        return found

    def _stated(self, value: Any) -> Plain:
        return [type(value).__name__, self("fingerprint", value.__odegan_fingerprint__())]

    def _tried(self, value: object) -> Plain:
        try:
            return self._described(value)
        except Exception:  # a foreign object may raise anything, and must not end the run
            return self._leave(value)

    def _described(self, value: Any) -> Plain:
        if type(value) in (list, tuple):
            # As an index the two mean different things.
            return [*(["tuple"] if type(value) is tuple else []), *(self(str(i), part) for i, part in enumerate(value))]
        if any(value is one for one in _GLOBAL_GENERATORS):  # whose state varies, and is set where a run draws
            return f"global generator of {type(value).__module__}"
        for kinds, describer in _TABLE:
            if isinstance(value, kinds):
                return describer(value, self)
        for applies, describer in _DUCKS:
            if applies(value):
                return describer(value, self)
        return self._data_set(value) if objects.is_data_set(value) else objects.of_object(value, self)

    def _data_set(self, value: object) -> Plain:
        """State, and every item unless the state determines them; for a data set within another only the state."""
        if self._inside_data:
            return objects.of_object(value, self)
        before = list(self.unread)
        self._inside_data = True
        try:
            try:
                state = objects.of_object(value, self)
            except Unreadable:  # for example a data set with an open file
                state = self._leave(value)
            if self.unread == before and objects.in_memory(value):
                return state
            items = objects.of_items(value, Reader)
            self.unread = before  # the items make up for an unreadable state
            return [state, items]
        except Exception:  # it only looked like a data set
            if isinstance(value, torch.utils.data.Dataset):
                return [self._leave(value), state]
            return state
        finally:
            self._inside_data = False

    def _leave(self, value: object) -> Plain:
        kind = f"{type(value).__module__}.{type(value).__qualname__}"
        if isinstance(value, ReadsElsewhere):
            kind = "a file, or a name that the code does not show"
        path = self._path if len(self._path) <= LONGEST_PATH else [*self._path[:4], "...", self._path[-1]]
        self.unread.append(f"{'.'.join(path)} ({kind})")
        return {"unread": kind}


def _simple(value: object) -> tuple[bool, Plain]:
    if value is None or type(value) in (bool, int, str):
        return True, value
    if type(value) in (float, complex):
        return True, arrays.number(value)
    return (True, "...") if value is Ellipsis else (False, None)


def _states(value: object) -> bool:
    return not isinstance(value, type) and callable(getattr(type(value), "__odegan_fingerprint__", None))
