"""Which modules, functions and classes belong to Python, odegan or an installed package; these are compared by name."""

from __future__ import annotations

import functools
import os
import site
import sys
import sysconfig
import types
from pathlib import Path
from typing import Any

_PLACES = {sysconfig.get_paths()[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")}
_PLACES |= {*site.getsitepackages(), site.getusersitepackages(), str(Path(__file__).parents[2])}
_LIBRARIES = tuple(os.path.realpath(place) + os.sep for place in _PLACES)
# Modules whose functions make classes for others, which then carry the module's name.
_FACTORIES = frozenset({"builtins", "abc", "types", "enum", "dataclasses", "collections", "typing"})


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


def is_library_function(value: types.FunctionType) -> bool:
    """Whether a function comes from a library, judged by its source file: ``exec`` can give a function any module's name."""
    if value.__module__ in (None, "builtins") or not is_library(value.__module__):
        return False
    source = value.__code__.co_filename
    return source.startswith("<string>") or os.path.realpath(source).startswith(_LIBRARIES)


def is_library_class(value: type) -> bool:
    """Whether a class comes from a library, and was not made for a user by ``exec`` or ``abc``, under their names."""
    if not is_library(value.__module__):
        return False
    if value.__module__ not in _FACTORIES:
        return True
    found: Any = sys.modules.get(value.__module__)
    for name in value.__qualname__.split("."):
        found = getattr(found, name, None)
    return found is value
