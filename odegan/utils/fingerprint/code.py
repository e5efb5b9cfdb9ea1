"""A digest of a function's code that is the same under every version of Python. Uses only the standard library.

Bytecode changes with the version, so the digest is of the function's syntax tree: names, operators and constants, without
docstrings, annotations, comments and line numbers. The tree comes from the source file, and is trusted only if compiling that
file gives the very code that runs, since the file may have been edited meanwhile. Without a source the digest is of the
bytecode, and then differs between versions of Python.
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
    """16 hexadecimal digits, preceded by "bytecode " if no source could be read."""
    node = _node(code)
    if node is None:
        return f"bytecode {_digest(repr(_bytecode(code)))}"
    own = {"args", "body"}  # a function's name and decorators show in the object that they made
    form = {name: _form(value) for name, value in ast.iter_fields(node) if name in own}
    return _digest(repr(form))


def globals_read(code: types.CodeType) -> list[tuple[str, ...]]:
    """The global names that the code and its inner functions read, each with the chain of attributes read from it."""
    found = {chain for part in _nested(code) for chain in _chains(part)}
    return sorted(found)


def names_read(code: types.CodeType) -> set[str]:
    """All names of globals and attributes in the code and its inner functions."""
    return {name for part in _nested(code) for name in part.co_names}


def imports(code: types.CodeType) -> list[tuple[int, str]]:
    """The modules that the code and its inner functions import: (dots before a relative name, name)."""
    found = set()
    for part in _nested(code):
        instructions = list(dis.get_instructions(part))
        for i, instruction in enumerate(instructions):
            if instruction.opname == "IMPORT_NAME":
                # The level and the list of names were pushed just before.
                found.add((instructions[i - 2].argval, instruction.argval))
    return sorted(found)


def _chains(code: types.CodeType) -> Iterator[tuple[str, ...]]:
    chain: tuple[str, ...] = ()
    for instruction in dis.get_instructions(code):
        if chain and instruction.opname in _ATTRIBUTE:
            # With the attributes, np.pi is one number and not a description of the whole module.
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
    """The syntax tree that this code was compiled from, or None if that is uncertain."""
    lines = tuple(linecache.getlines(code.co_filename))
    if not lines:
        return None
    compiled, nodes = _compiled("".join(lines))
    if code not in compiled:  # edited since it was imported
        return None
    found = nodes.get((code.co_name, code.co_firstlineno), [])
    if len(found) == 1:
        return found[0]
    if hasattr(code, "co_positions"):
        return _at_column(code, found)
    # Before Python 3.11 code objects have no columns; they come in the order of compilation.
    alike = [c for c in compiled if (c.co_name, c.co_firstlineno) == (code.co_name, code.co_firstlineno)]
    return sorted(found, key=_start)[alike.index(code)] if len(alike) == len(found) else None


def _at_column(code: types.CodeType, nodes: list[ast.AST]) -> ast.AST | None:
    """The one of several lambdas on one line that this code came from."""
    places = [(line, column) for line, _, column, _ in code.co_positions() if line and column]
    inside = [node for node in nodes if places and all(_holds(node, place) for place in places)]
    # Of nested lambdas, it is the innermost that contains every position of the code.
    return max(inside, key=_start, default=None)


def _start(node: ast.AST) -> tuple[int, int]:
    return node.lineno, node.col_offset  # type: ignore[attr-defined]


def _holds(node: ast.AST, place: tuple[int, int]) -> bool:
    return _start(node) <= place <= (node.end_lineno, node.end_col_offset)  # type: ignore[attr-defined]


@functools.lru_cache(maxsize=64)
def _compiled(source: str) -> tuple[tuple[types.CodeType, ...], dict[tuple[str, int], list[ast.AST]]]:
    """All code objects of a source, and its functions by name and first line."""
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
    """A syntax tree as nested tuples, without empty fields, in which versions of Python differ."""
    if isinstance(value, list):
        return tuple(_form(part) for part in value if not _is_docstring(part))
    if not isinstance(value, ast.AST):
        return (type(value).__name__, repr(value))
    fields = ((name, part) for name, part in ast.iter_fields(value) if name not in _IGNORED)
    return (type(value).__name__, tuple((name, _form(part)) for name, part in fields if part not in (None, [])))


def _is_docstring(node: object) -> bool:
    """Whether a node is a string that stands alone, and so has no effect."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _bytecode(code: types.CodeType) -> list[object]:
    """Instructions, names and constants. Sets are sorted, since their order varies between processes."""
    constants = [
        _bytecode(c) if isinstance(c, types.CodeType) else sorted(map(repr, c)) if isinstance(c, frozenset) else repr(c)
        for c in code.co_consts
    ]
    return [code.co_code, code.co_names, code.co_varnames[: code.co_argcount], code.co_freevars, constants]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
