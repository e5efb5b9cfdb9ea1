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

from odegan.utils.fingerprint.arrays import Plain, Unreadable
from odegan.utils.fingerprint.code import digest_of_code, globals_read

Describe = Callable[[str, object], Plain]  # (name of the part, its value)

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


_BY_NAME = frozenset({"globals", "eval", "exec", "__import__"})


class ReadsByName:
    """Stands for whatever a function reads by names that are not in its code; it cannot be described."""

    def __reduce_ex__(self, protocol: object) -> str:
        """Refuse.

        Raises:
            Unreadable: always.
        """
        raise Unreadable


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


def _is_library_function(value: types.FunctionType) -> bool:
    """Whether a function comes from a library, judged by its source file: ``exec`` can give a function any module's name."""
    if value.__module__ in (None, "builtins") or not is_library(value.__module__):
        return False
    source = value.__code__.co_filename
    return source.startswith("<string>") or os.path.realpath(source).startswith(_LIBRARIES)


def _is_library_class(value: type) -> bool:
    """Whether a class comes from a library, and was not made by ``exec`` under a library's name."""
    module = sys.modules.get(value.__module__)
    found: Any = module
    for name in value.__qualname__.split("."):
        found = getattr(found, name, None)
    return is_library(value.__module__) and (value.__module__ != "builtins" or found is value)


def of_module(value: types.ModuleType, describe: Describe) -> Plain:
    """The module's name and, for a user's module, the data in it. (Where a function reads attributes, only these count.)"""
    if is_library(value.__name__):
        return f"module {value.__name__}"
    # Its functions are left out: those that the run calls are described where they are read.
    data = {n: x for n, x in vars(value).items() if not n.startswith("__") and not callable(x)}
    kept = {n: describe(n, x) for n, x in sorted(data.items()) if not isinstance(x, types.ModuleType)}
    return {"module": value.__name__, "data": kept}


def of_function(value: types.FunctionType, describe: Describe) -> Plain:
    """Name, code, defaults, closure and the globals it reads; a library function has no code and globals."""
    if hasattr(value, "_torchdynamo_orig_callable"):
        return {"compiled": describe("function", value._torchdynamo_orig_callable)}
    # A library's code changes with every release; its name says what it computes.
    known = _is_library_function(value)
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
        if chain[0] in _BY_NAME and chain[0] not in names:
            yield chain[0], describe(chain[0], ReadsByName())
        if chain[0] not in names:
            continue
        value = names[chain[0]]
        path = chain[0]
        for attribute in chain[1:]:
            if not isinstance(value, types.ModuleType) and attribute not in getattr(value, "__dict__", {}):
                break
            # A class is described as a whole: one of its methods may read any other.
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
    if _is_library_class(value):
        return f"class {value.__module__.partition('.')[0]}: {value.__qualname__}"
    members = {n: x for n, x in vars(value).items() if n not in _NOT_MEMBERS and not _is_generated(value, n, x)}
    kind = {} if _is_library_class(type(value)) else {"metaclass": describe("metaclass", type(value))}
    return kind | {
        "class": value.__qualname__,
        "bases": [describe(base.__name__, base) for base in value.__bases__ if base is not object],
        "members": {n: describe(n, x) for n, x in sorted(members.items())},
    }


def _is_generated(owner: type, name: str, member: object) -> bool:
    """Whether dataclass or namedtuple generated a member from fields that are described anyway."""
    if not (hasattr(owner, "__dataclass_fields__") or hasattr(owner, "_fields")):
        return False
    made = getattr(getattr(member, "__code__", None), "co_filename", "").startswith("<string>")
    return made and name.startswith("_")


def of_descriptor(value: object, describe: Describe) -> Plain:
    """A property, static method or class method, by the functions behind it."""
    names = ("fget", "fset", "fdel", "__func__", "func", "__wrapped__")
    found: dict[str, Any] = {n: getattr(value, n) for n in names if callable(getattr(value, n, None))}
    if isinstance(value, functools.partialmethod):
        found |= {"args": value.args, "keywords": value.keywords}
    return [type(value).__name__, *(describe(n, x) for n, x in found.items())]
