"""Descriptions of modules, mappings, data sets and other objects: class and state."""

from __future__ import annotations

import functools
import os
import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sized
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import Dataset, IterableDataset

from odegan.utils.fingerprint.arrays import Describe, Plain, Unreadable, digest
from odegan.utils.fingerprint.libraries import is_library
from odegan.utils.random_streams import GLOBAL_GENERATORS

MOST_ITEMS = 10_000  # items of a data set that are read
MOST_BYTES = 2**28  # their total size

# Private: where torch lacks it, an operator is described by its name.
_OPERATORS: Mapping[str, object] = getattr(torch._library.custom_ops, "OPDEFS", {})
_EMPTY = frozenset(vars(nn.Module()))
_HOOKS = ("_forward_pre_hooks", "_forward_hooks", "_backward_pre_hooks", "_backward_hooks")


def of_network(value: nn.Module, describe: Describe) -> Plain:
    """Class, mode, parameters, buffers, children, attributes and hooks.

    Hooks are listed in order, without their keys, which are process-wide counters.
    """
    if hasattr(value, "_orig_mod"):  # torch.compile's wrapper
        return ["compiled", describe("module", value._orig_mod)]
    entries: dict[str, Plain] = {"class": describe("class", type(value)), "training": value.training}
    for name, held in (("parameters", value._parameters), ("buffers", value._buffers), ("children", value._modules)):
        entries[name] = [[n, describe(n, x)] for n, x in held.items()]
    entries["trained"] = [n for n, p in value._parameters.items() if p is not None and p.requires_grad]
    # ``_is_hf...`` are marks that transformers sets on modules while it loads them.
    own = {n: x for n, x in vars(value).items() if n not in _EMPTY and not n.startswith("_is_hf")}
    entries["attributes"] = {n: describe(n, x) for n, x in sorted(own.items())}
    entries["hooks"] = [describe(n, _hooks(value, n)) for n in _HOOKS if vars(value).get(n)]
    return {n: entry for n, entry in entries.items() if entry not in ([], {})}


def _hooks(value: nn.Module, kind: str) -> list[object]:
    """The hooks of one kind in order, marked where they are given keyword arguments, which torch notes by the hooks' keys."""
    with_keywords = getattr(value, f"{kind}_with_kwargs", {})
    return [[hook, "with_kwargs"] if key in with_keywords else hook for key, hook in vars(value)[kind].items()]


def of_operator(value: Any, describe: Describe) -> Plain:
    """An operator of ``torch.ops``: its name and, where Python defines it, its functions."""
    packet = getattr(value, "overloadpacket", value)
    defined = _OPERATORS.get(packet._qualified_op_name)
    return {"operator": str(value)} | ({} if defined is None else {"defined": describe("operator", defined)})


def of_defined_operator(value: Any, describe: Describe) -> Plain:
    """An operator that ``torch.library.custom_op`` made: its name and functions."""
    names = ("_init_fn", "_backward_fn", "_setup_context_fn", "_vmap_fn")
    return {"operator": value._qualname, "functions": [describe(n, getattr(value, n, None)) for n in names]}


def of_script(value: torch.jit.ScriptModule, describe: Describe) -> Plain:
    """A scripted or traced module: its code and values."""
    codes = [[n, str(getattr(module, "code", ""))] for n, module in value.named_modules()]
    return {"script": describe("code", codes), "values": describe("values", dict(value.state_dict()))}


def of_mapping(value: Mapping[Any, Any], describe: Describe) -> Plain:
    """Keys and values; their order counts unless the mapping is a plain dict."""
    pairs = [
        (key if type(key) is str else describe("key", key), describe(str(key), item)) for key, item in value.items()
    ]
    if type(value) is dict:
        return dict(pairs) if all(type(key) is str for key in value) else sorted(map(list, pairs), key=repr)
    factory = [describe("default", value.default_factory)] if isinstance(value, defaultdict) else []
    return [type(value).__name__, *factory, *map(list, pairs)]


def with_attributes(value: object, found: Plain, describe: Describe) -> Plain:
    """The description of a tensor, an array or a mapping, with the attributes that a user gave it, if any."""
    own = getattr(value, "__dict__", None)
    return [found, {n: describe(str(n), x) for n, x in sorted(own.items())}] if own else found


def of_object(value: object, describe: Describe) -> Plain:
    """Class and state, as ``copy`` would read them.

    Raises:
        Unreadable: it holds something that cannot be copied, such as an open file or a generator.
    """
    try:
        reduced = value.__reduce_ex__(2)
    except Exception as error:
        raise Unreadable from error
    if isinstance(reduced, str):
        return reduced
    # Pickle's protocol: (constructor, its arguments, state, list items, dict items), of which the last three may be missing.
    function, arguments, *rest = reduced
    state, *items = (*rest, None, None, None)[:3]
    entries: dict[str, Plain] = {"object": describe("class", type(value))}
    given = [x for x in arguments if x is not type(value)]
    made = getattr(function, "__name__", "") not in ("__newobj__", "_reconstructor")
    entries["made by"] = describe("made by", function) if made else None
    entries["arguments"] = [describe(str(i), x) for i, x in enumerate(given) if x is not object]
    entries["state"] = _state(type(value), state, describe)
    entries["left out"] = _left_out(value, state, describe)
    entries["items"] = [describe("items", list(x)) for x in items if x is not None]
    return {n: entry for n, entry in entries.items() if entry not in ([], {}, None)}


def _left_out(value: object, state: object, describe: Describe) -> Plain:
    """The attributes that a user's own ``__reduce__`` or ``__getstate__`` does not mention."""
    own = getattr(value, "__dict__", None)
    # A library leaves out caches and handles; a user's class may leave out what changes its values.
    if not own or is_library(type(value).__module__):
        return {}
    if isinstance(state, tuple) and len(state) == 2 and isinstance(state[0], dict | None):
        state = state[0]
    known = state if isinstance(state, dict) else {}
    return {n: describe(n, x) for n, x in sorted(own.items()) if n not in known and n not in _derived(type(value))}


def _derived(kind: type) -> set[str]:
    """The names of cached properties, which follow from the other attributes."""
    return {n for base in kind.__mro__ for n, x in vars(base).items() if isinstance(x, functools.cached_property)}


def _state(kind: type, state: object, describe: Describe) -> Plain:
    """Attributes by name, without cached properties, which follow from the others."""
    if isinstance(state, tuple) and len(state) == 2 and all(isinstance(s, dict | None) for s in state):
        state = (state[0] or {}) | (state[1] or {})
    if not isinstance(state, dict):
        return describe("state", state)
    derived = _derived(kind)
    return {str(n): describe(str(n), x) for n, x in sorted(state.items(), key=str) if n not in derived}


def is_data_set(value: object) -> bool:
    """Whether an object is, or looks like, a map-style data set."""
    kind = type(value)
    if isinstance(value, IterableDataset | nn.Module | Mapping) or not hasattr(kind, "__getitem__"):
        return False
    return hasattr(kind, "__len__") and (isinstance(value, Dataset) or not is_library(kind.__module__))


def in_memory(value: object) -> bool:
    """Whether a data set's attributes hold one row per item and no file name, so that they determine its items."""
    if not (isinstance(value, Dataset) and isinstance(value, Sized) and hasattr(value, "__dict__")):
        return False
    held = list(vars(value).values())
    held += [x for one in held if isinstance(one, tuple | list) for x in one[:4]]
    if type(value).__module__.startswith("torch.utils.data"):  # a subset or a concatenation of data sets
        inner = [x for x in held if isinstance(x, Dataset)]
        return all(in_memory(x) for x in inner)
    rows = any(isinstance(x, torch.Tensor | np.ndarray) and x.ndim and len(x) == len(value) for x in held)
    files = any(isinstance(x, str | os.PathLike) and os.path.exists(x) for x in held)
    return rows and (not files or is_library(type(value).__module__))


def of_items(value: Any, reader: Callable[[], Any]) -> Plain:
    """A digest of every item, each read with the same random seed.

    Raises:
        Unreadable: there are too many items, they are too large, or one cannot be read.
    """
    count = len(value)
    size = 0
    found = []
    if count > MOST_ITEMS:
        raise Unreadable
    with _random_numbers_kept():
        # Seeded per item: a data set that augments at random gives the same item each time it is described.
        for i in range(count):
            _seed(i)
            item = value[i]
            describe = reader()
            size += sum(getattr(x, "nbytes", 0) for x in torch.utils._pytree.tree_leaves(item))
            found.append(repr(describe(str(i), item)).encode())
            if size > MOST_BYTES or describe.unread:
                raise Unreadable
    return f"{count} items {digest(*found)}"


def is_hub_table(value: object) -> bool:
    """Whether this is a Hugging Face data set, which has its own fingerprint."""
    return type(value).__module__.startswith("datasets.") and isinstance(getattr(value, "_fingerprint", None), str)


def is_picture(value: object) -> bool:
    """Whether this is a Pillow image."""
    return type(value).__module__.startswith("PIL.") and hasattr(value, "tobytes")


def _seed(i: int) -> None:
    torch.default_generator.manual_seed(i)
    np.random.seed(i)
    random.seed(i)


@contextmanager
def _random_numbers_kept() -> Iterator[None]:
    # All threads share the generators: no other may seed them between items.
    with GLOBAL_GENERATORS:
        kept = torch.get_rng_state(), np.random.get_state(), random.getstate()
        try:
            yield
        finally:
            torch.set_rng_state(kept[0])
            np.random.set_state(kept[1])
            random.setstate(kept[2])
