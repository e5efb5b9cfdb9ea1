"""What a function's code says, in a form that is the same under every version of Python. Standard library alone.

Bytecode changes with the version, so the form is the function's syntax tree: names, operators and constants, without
docstrings, annotations, comments and places in the file. It is read from the source file, and believed only where compiling
that file gives the very code that runs (a file may have been edited since). Without a source it is the bytecode, which
another version of Python then takes for another function.
"""

from __future__ import annotations

import ast
import dis
import functools
import hashlib
import linecache
import types
from collections.abc import Iterator

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_IGNORED = frozenset({"annotation", "returns", "type_comment", "type_params", "type_ignores", "ctx", "kind"})
_GLOBAL = frozenset({"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"})
_ATTRIBUTE = frozenset({"LOAD_ATTR", "LOAD_METHOD"})


def digest_of_code(code: types.CodeType) -> str:
    """16 hexadecimal digits for what the code does; "bytecode " before them where no source could be read."""
    node = _node(code)
    if node is None:
        return f"bytecode {_digest(repr(_bytecode(code)))}"
    own = {"args", "body"}  # a function's name and decorators are told by the object that they made
    form = {name: _form(value) for name, value in ast.iter_fields(node) if name in own}
    return _digest(repr(form))


def globals_read(code: types.CodeType) -> list[tuple[str, ...]]:
    """The global names that the code reads, the functions within included, each with the attributes taken of it at once."""
    found = {chain for part in _nested(code) for chain in _chains(part)}
    return sorted(found)


def _chains(code: types.CodeType) -> Iterator[tuple[str, ...]]:
    chain: tuple[str, ...] = ()
    for instruction in dis.get_instructions(code):
        if chain and instruction.opname in _ATTRIBUTE:
            chain = (*chain, instruction.argval)
            continue
        if chain:
            yield chain
        chain = (instruction.argval,) if instruction.opname in _GLOBAL else ()


def _nested(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _nested(constant)


def _node(code: types.CodeType) -> ast.AST | None:
    """The part of the source file that this code was compiled from, where that is certain."""
    lines = tuple(linecache.getlines(code.co_filename))
    if not lines:
        return None
    compiled, nodes = _compiled("".join(lines))
    if code not in compiled:
        return None
    found = nodes.get((code.co_name, code.co_firstlineno), [])
    if len(found) == 1:
        return found[0]
    if hasattr(code, "co_positions"):
        return _at_column(code, found)
    # Before Python 3.11 a code does not tell its column: they stand in the order in which they were compiled.
    alike = [c for c in compiled if (c.co_name, c.co_firstlineno) == (code.co_name, code.co_firstlineno)]
    return sorted(found, key=_start)[alike.index(code)] if len(alike) == len(found) else None


def _at_column(code: types.CodeType, nodes: list[ast.AST]) -> ast.AST | None:
    """Which of several lambdas on one line it is."""
    places = [(line, column) for line, _, column, _ in code.co_positions() if line and column]
    inside = [node for node in nodes if places and all(_holds(node, place) for place in places)]
    # Of lambdas within each other the innermost that holds everything is the one.
    return max(inside, key=_start, default=None)


def _start(node: ast.AST) -> tuple[int, int]:
    return node.lineno, node.col_offset  # type: ignore[attr-defined]


def _holds(node: ast.AST, place: tuple[int, int]) -> bool:
    return _start(node) <= place <= (node.end_lineno, node.end_col_offset)  # type: ignore[attr-defined]


@functools.lru_cache(maxsize=64)
def _compiled(source: str) -> tuple[tuple[types.CodeType, ...], dict[tuple[str, int], list[ast.AST]]]:
    """All codes of a source, and its functions by name and first line."""
    try:
        tree = ast.parse(source)
        whole = compile(tree, "<fingerprint>", "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        return (), {}
    nodes: dict[tuple[str, int], list[ast.AST]] = {}
    for node in ast.walk(tree):
        if isinstance(node, _FUNCTIONS):
            first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])
            nodes.setdefault((getattr(node, "name", "<lambda>"), first), []).append(node)
    return tuple(_nested(whole)), nodes


def _form(value: object) -> object:
    """A syntax tree as nested tuples of what matters: empty fields, which versions of Python differ in, are left out."""
    if isinstance(value, list):
        return tuple(_form(part) for part in value if not _is_docstring(part))
    if not isinstance(value, ast.AST):
        return (type(value).__name__, repr(value))
    fields = ((name, part) for name, part in ast.iter_fields(value) if name not in _IGNORED)
    return (type(value).__name__, tuple((name, _form(part)) for name, part in fields if part not in (None, [])))


def _is_docstring(node: object) -> bool:
    """A string that stands alone does nothing."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _bytecode(code: types.CodeType) -> list[object]:
    """Instructions, names and constants; a set among these is listed in an order of its own by every process."""
    constants = [
        _bytecode(c) if isinstance(c, types.CodeType) else sorted(map(repr, c)) if isinstance(c, frozenset) else repr(c)
        for c in code.co_consts
    ]
    return [code.co_code, code.co_names, code.co_varnames[: code.co_argcount], code.co_freevars, constants]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
