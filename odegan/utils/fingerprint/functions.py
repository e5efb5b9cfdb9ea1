"""Descriptions of functions, methods and classes: their code, and everything else that it reads."""

from __future__ import annotations

import enum
import functools
import types
from typing import Any

from odegan.utils.fingerprint.arrays import Describe, Plain
from odegan.utils.fingerprint.code import digest_of_code
from odegan.utils.fingerprint.libraries import is_library, is_library_class, is_library_function
from odegan.utils.fingerprint.reads import globals_of, imports_of

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
    "__slotnames__",  # which copying an instance adds
}


_GENERATED = frozenset(
    {"__init__", "__repr__", "__eq__", "__lt__", "__le__", "__gt__", "__ge__", "__hash__", "__new__"}
) | {
    "__setattr__",
    "__delattr__",
    "__replace__",
    "__getnewargs__",
}


def of_module(value: types.ModuleType, describe: Describe) -> Plain:
    """The module's name, and of a user's own one what it defines; a function that reads attributes has these alone."""
    if is_library(value.__name__):
        return f"module {value.__name__}"
    held = {n: x for n, x in vars(value).items() if not n.startswith("__") and not isinstance(x, types.ModuleType)}
    own = {n: x for n, x in held.items() if not callable(x) or getattr(x, "__module__", None) in (value.__name__, None)}
    return {"module": value.__name__, "members": {n: describe(n, x) for n, x in sorted(own.items())}}


def of_function(value: types.FunctionType, describe: Describe) -> Plain:
    """Name, code, defaults, closure and the globals it reads; a library function has no code and globals."""
    if hasattr(value, "_torchdynamo_orig_callable"):
        return {"compiled": describe("function", value._torchdynamo_orig_callable)}
    # A library's code changes with every release; its name says what it computes.
    known = is_library_function(value)
    name = f"{(value.__module__ or '').partition('.')[0]}: {value.__qualname__}" if known else value.__qualname__
    entries: dict[str, Plain] = {"function": name}
    if not known:
        entries["code"] = digest_of_code(value.__code__)
        entries["globals"] = dict(globals_of(value, describe))
        entries["imports"] = dict(imports_of(value, describe))
    entries["defaults"] = [describe(f"default {i}", x) for i, x in enumerate(value.__defaults__ or ())]
    entries["defaults"] += [[n, describe(n, x)] for n, x in sorted((value.__kwdefaults__ or {}).items())]
    cells = zip(value.__code__.co_freevars, value.__closure__ or (), strict=True)
    entries["closure"] = {cell_name: describe(cell_name, _content(cell)) for cell_name, cell in cells}
    kept = {n: x for n, x in vars(value).items() if not n.startswith("__")}
    entries["attributes"] = {n: describe(n, x) for n, x in sorted(kept.items())}
    return {n: entry for n, entry in entries.items() if entry not in ({}, [])}


def _content(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not assigned yet
        return None


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
    if is_library_class(value):
        return f"class {value.__module__.partition('.')[0]}: {value.__qualname__}"
    members = {n: x for n, x in vars(value).items() if n not in _NOT_MEMBERS and not _is_generated(value, n, x)}
    kind = {} if is_library_class(type(value)) else {"metaclass": describe("metaclass", type(value))}
    return kind | {
        "class": value.__qualname__,
        "bases": [describe(base.__name__, base) for base in value.__bases__ if base is not object],
        "members": {n: describe(n, x) for n, x in sorted(members.items())},
    }


def _is_generated(owner: type, name: str, member: object) -> bool:
    """Whether dataclass or namedtuple generated a member from fields that are described anyway."""
    if name not in _GENERATED:
        return False
    if not (hasattr(owner, "__dataclass_fields__") or hasattr(owner, "_fields")):
        return False
    made = getattr(getattr(member, "__code__", None), "co_filename", "").startswith("<string>")
    return made


def of_descriptor(value: object, describe: Describe) -> Plain:
    """A property, static method or class method, by the functions behind it."""
    names = ("fget", "fset", "fdel", "__func__", "func", "__wrapped__")
    found: dict[str, Any] = {n: getattr(value, n) for n in names if callable(getattr(value, n, None))}
    if isinstance(value, functools.partialmethod):
        found |= {"args": value.args, "keywords": value.keywords}
    return [type(value).__name__, *(describe(n, x) for n, x in found.items())]


def of_member(value: enum.Enum, describe: Describe) -> Plain:
    """A member of an enumeration: its name and attributes, and of a user's own class all members' values and the methods."""
    kind = type(value)
    name = f"{kind.__qualname__}.{value.name}"
    if is_library_class(kind):
        return name
    own = {n: x for n, x in vars(value).items() if not n.startswith("__") and n not in ("_name_", "_sort_order_")}
    members = {n: describe(n, x.value) for n, x in kind.__members__.items()}
    kinds = (types.FunctionType, property)
    others = {n: x for n, x in vars(kind).items() if isinstance(x, kinds) and getattr(x, "__module__", "") != "enum"}
    return {
        "enum": name,
        "attributes": {n: describe(n, x) for n, x in sorted(own.items())},
        "members": members,
        "methods": {n: describe(n, x) for n, x in sorted(others.items()) if n not in members},
    }
