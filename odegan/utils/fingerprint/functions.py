"""Descriptions of functions, methods and classes: their code, and everything else that it reads."""

from __future__ import annotations

import functools
import os
import site
import sys
import sysconfig
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from odegan.utils.fingerprint.arrays import Plain
from odegan.utils.fingerprint.code import digest_of_code, globals_read

Describe = Callable[[str, Any], Plain]  # (name of the part, its value)

_PLACES = {sysconfig.get_paths()[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")}
_PLACES |= {*site.getsitepackages(), site.getusersitepackages(), str(Path(__file__).parents[2])}
_LIBRARIES = tuple(os.path.realpath(place) + os.sep for place in _PLACES)
# Members of classes that do not affect behavior: names, annotations, caches.
_NOT_MEMBERS = frozenset({"__module__", "__qualname__", "__doc__", "__dict__", "__weakref__", "__annotations__"}) | {
    "__annotate__",
    "__annotate_func__",
    "__annotations_cache__",
    "__firstlineno__",
    "__static_attributes__",
    "__parameters__",
    "__orig_bases__",
    "__match_args__",
    "__dataclass_fields__",
    "__dataclass_params__",
    "__abstractmethods__",
    "_abc_impl",
    "__slots__",
}


@functools.lru_cache(maxsize=4096)
def is_library(module: str | None) -> bool:
    """Whether a module belongs to Python, odegan or an installed package, which are compared by name only."""
    if module is None or module in sys.builtin_module_names or module.partition(".")[0] in sys.stdlib_module_names:
        return True
    if module == "__main__":
        return False
    root = sys.modules.get(module.partition(".")[0])
    origin = getattr(sys.modules.get(module), "__file__", None) or getattr(root, "__file__", None)
    return origin is not None and os.path.realpath(origin).startswith(_LIBRARIES)


def of_module(value: types.ModuleType) -> Plain:
    """The module's name; what a function reads from it is described with the function."""
    return f"module {value.__name__}"


def of_function(value: types.FunctionType, describe: Describe) -> Plain:
    """Name, code, defaults, closure and the globals it reads; a library function has no code and globals."""
    if hasattr(value, "_torchdynamo_orig_callable"):
        return {"compiled": describe("function", value._torchdynamo_orig_callable)}
    known = is_library(value.__module__)
    name = f"{(value.__module__ or '').partition('.')[0]}: {value.__qualname__}" if known else value.__qualname__
    parts: dict[str, Plain] = {"function": name}
    if not known:
        parts["code"] = digest_of_code(value.__code__)
        parts["globals"] = dict(_globals(value, describe))
    parts["defaults"] = [describe(f"default {i}", x) for i, x in enumerate(value.__defaults__ or ())]
    parts["defaults"] += [[n, describe(n, x)] for n, x in sorted((value.__kwdefaults__ or {}).items())]
    cells = zip(value.__code__.co_freevars, value.__closure__ or (), strict=True)
    parts["closure"] = {cell_name: describe(cell_name, _content(cell)) for cell_name, cell in cells}
    kept = {n: x for n, x in vars(value).items() if not n.startswith("__")}
    parts["attributes"] = {n: describe(n, x) for n, x in sorted(kept.items())}
    return {n: part for n, part in parts.items() if part not in ({}, [])}


def _content(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not assigned yet
        return None


def _globals(function: types.FunctionType, describe: Describe) -> Iterator[tuple[str, Plain]]:
    """What the function reads beyond its arguments; of a module or a plain object, only the attribute that it reads."""
    names = function.__globals__
    for chain in globals_read(function.__code__):
        if chain[0] not in names:
            continue
        value = names[chain[0]]
        path = chain[0]
        for attribute in chain[1:]:
            if not isinstance(value, types.ModuleType) and attribute not in getattr(value, "__dict__", {}):
                break
            if isinstance(value, type) or not hasattr(value, attribute):
                break
            value = getattr(value, attribute)
            path = f"{path}.{attribute}"
        yield path, describe(path, value)


def of_builtin(value: object, describe: Describe) -> Plain:
    """A function not written in Python: its name, and the object that it is bound to."""
    owner = getattr(value, "__self__", None)
    name = getattr(value, "__qualname__", None) or getattr(value, "__name__", type(value).__name__)
    home = getattr(value, "__module__", None) or getattr(getattr(value, "__objclass__", None), "__module__", None)
    if owner is None or isinstance(owner, types.ModuleType):
        return {"function": f"{home or getattr(owner, '__name__', 'builtins')}: {name}"}
    return {"function": name, "of": describe("of", owner)}


def of_method(value: types.MethodType, describe: Describe) -> Plain:
    """The function and the object that it is bound to."""
    return {"method": describe("function", value.__func__), "of": describe("of", value.__self__)}


def of_partial(value: functools.partial, describe: Describe) -> Plain:
    """The function and its fixed arguments."""
    return {
        "partial": describe("function", value.func),
        "arguments": [describe(str(i), x) for i, x in enumerate(value.args)],
        "keywords": {n: describe(n, x) for n, x in sorted(value.keywords.items())},
    }


def of_cached(value: Any, describe: Describe) -> Plain:
    """The function behind a cache; what the cache holds follows from the function."""
    return {"cached": describe("function", value.__wrapped__)}


def of_class(value: type, describe: Describe) -> Plain:
    """A library class by its name; any other by its bases and members."""
    if is_library(value.__module__):
        return f"class {value.__module__.partition('.')[0]}: {value.__qualname__}"
    members = {n: x for n, x in vars(value).items() if n not in _NOT_MEMBERS and not _is_generated(x)}
    return {
        "class": value.__qualname__,
        "bases": [describe(base.__name__, base) for base in value.__bases__ if base is not object],
        "members": {n: describe(n, x) for n, x in sorted(members.items())},
    }


def _is_generated(member: object) -> bool:
    """Whether dataclass or namedtuple generated it from fields that are described anyway."""
    return getattr(getattr(member, "__code__", None), "co_filename", "").startswith("<string>")


def of_descriptor(value: object, describe: Describe) -> Plain:
    """A property, static method or class method, by the functions behind it."""
    names = ("fget", "fset", "fdel", "__func__", "func", "__wrapped__")
    found = {n: getattr(value, n) for n in names if callable(getattr(value, n, None))}
    return [type(value).__name__, *(describe(n, x) for n, x in found.items())]
