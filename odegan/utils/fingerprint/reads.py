"""What a function reads beyond its arguments: global names, modules that it imports, and files, which cannot be described."""

from __future__ import annotations

import importlib
import sys
import types
from collections.abc import Iterator

from odegan.utils.fingerprint.arrays import Describe, Plain, Unreadable
from odegan.utils.fingerprint.code import globals_read, imports, names_read
from odegan.utils.fingerprint.libraries import is_library

# Built-in functions, functions of libraries, and methods of any object that reach beyond what code and arguments show.
_BY_NAME = frozenset({"globals", "eval", "exec", "__import__", "open"})
_READERS = frozenset(
    [
        "import_module",
        "load",
        "loadtxt",
        "genfromtxt",
        "fromfile",
        "memmap",
        "open",
        "imread",
        "read_image",
        "read_csv",
        "read_parquet",
        "read_pickle",
        "read_json",
        "load_file",
        "safe_open",
        "urlopen",
    ]
)
_METHODS = frozenset({"read_text", "read_bytes"})


class ReadsElsewhere:
    """Stands for what a function reads from files, or by names that are not in its code; it cannot be described."""

    def __reduce_ex__(self, protocol: object) -> str:
        """Refuse.

        Raises:
            Unreadable: always.
        """
        raise Unreadable


_ELSEWHERE = ReadsElsewhere()


def globals_of(function: types.FunctionType, describe: Describe) -> Iterator[tuple[str, Plain]]:
    """What the function reads beyond its arguments; of a module or a plain object, only the attribute that it reads."""
    names = function.__globals__
    for chain in globals_read(function.__code__):
        if chain[0] in _BY_NAME and chain[0] not in names:
            yield chain[0], describe(chain[0], _ELSEWHERE)
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
        yield path, describe(path, _ELSEWHERE if _reaches_out(value) else value)
    for name in sorted(_METHODS.intersection(names_read(function.__code__))):
        yield name, describe(name, _ELSEWHERE)


def _reaches_out(value: object) -> bool:
    """Whether it is a library's function that reads files or modules by name, or the table of all modules."""
    if value is sys.modules:
        return True
    return getattr(value, "__name__", None) in _READERS and is_library(getattr(value, "__module__", None))


def imports_of(function: types.FunctionType, describe: Describe) -> Iterator[tuple[str, Plain]]:
    """The user's own modules that the function imports when it is called."""
    package = function.__globals__.get("__package__") or ""
    for level, name in imports(function.__code__):
        try:
            found = importlib.import_module("." * level + name, package)
        except Exception:  # an import can raise anything; it is the function's to handle
            continue
        if not is_library(found.__name__):
            yield name, describe(name, found)
