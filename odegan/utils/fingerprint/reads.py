"""What a function reads beyond its arguments: global names, modules that it imports, and files, which cannot be described."""

from __future__ import annotations

import importlib
import os
import sys
import types
from collections.abc import Iterator

from odegan.utils.fingerprint.arrays import Describe, Plain, Unreadable
from odegan.utils.fingerprint.code import globals_read, imports, names_read
from odegan.utils.fingerprint.libraries import is_library

# Built-in functions, functions of libraries, and methods of any object that reach beyond what code and arguments show.
_BY_NAME = frozenset({"globals", "eval", "exec", "__import__", "open"})
_READERS = frozenset(
    {"import_module", "load", "loadtxt", "genfromtxt", "fromfile", "memmap", "open", "imread", "load_file", "safe_open"}
) | {
    *("urlopen", "loadmat", "File", "ZipFile", "connect", "check_output", "listdir", "scandir", "glob", "getenv"),
}
_PREFIX = "read_"  # of such functions of pandas and torchvision, as read_csv
_METHODS = frozenset({"open", "read_text", "read_bytes", "iterdir"})


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
    read = names_read(function.__code__)
    # Of a module that is no global name, the code does not show which of the names are its own.
    found = {name for name in read if name in _METHODS or (_is_reader(name) and _has_libraries(function))}
    for name in sorted(found):
        yield name, describe(name, _ELSEWHERE)


def _is_reader(name: str) -> bool:
    return name in _READERS or name.startswith(_PREFIX)


def _has_libraries(function: types.FunctionType) -> bool:
    """Whether the function imports a library when it is called, or closes over one."""
    cells = [cell.cell_contents for cell in function.__closure__ or () if cell != types.CellType()]
    held = [x for x in cells if isinstance(x, types.ModuleType)]
    return any(is_library(module.__name__) for module in [*held, *(found for _, found in _imported(function))])


def _reaches_out(value: object) -> bool:
    """Whether it is a library's function that reads files, the environment or modules by name, or a table of all of these."""
    if value is sys.modules or value is os.environ:
        return True
    name = getattr(value, "__name__", None)
    reads = isinstance(name, str) and _is_reader(name) and not isinstance(value, types.ModuleType)
    return reads and is_library(getattr(value, "__module__", None))


def imports_of(function: types.FunctionType, describe: Describe) -> Iterator[tuple[str, Plain]]:
    """The user's own modules that the function imports when it is called."""
    for name, found in _imported(function):
        if not is_library(found.__name__):
            yield name, describe(name, found)


def _imported(function: types.FunctionType) -> Iterator[tuple[str, types.ModuleType]]:
    package = function.__globals__.get("__package__") or ""
    for level, name in imports(function.__code__):
        try:
            found = importlib.import_module("." * level + name, package)
        except Exception:  # an import can raise anything; it is the function's to handle
            continue
        yield name, found
