"""Files and functions stay small enough to read: a file has one idea, a function fits a screen."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("odegan", "experiments", "benchmarks", "campaign", "examples")
FILES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
LINES_OF_A_FILE = 300
LINES_OF_A_BODY = 60  # without the docstring
WORDS_OF_A_DOCSTRING = 3


def body_length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """The lines of a function's body, without its signature and docstring."""
    statements = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return (function.end_lineno or 0) - statements[0].lineno + 1 if statements else 0


def nodes(path: Path, *kinds: type[ast.AST]) -> list:
    return [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, kinds)]


def test_every_folder_is_there():
    assert {path.relative_to(ROOT).parts[0] for path in FILES} == set(FOLDERS)


@pytest.mark.parametrize("folder", [*FOLDERS, "tests"])
def test_no_file_is_too_long(folder):
    lengths = {str(path): len(path.read_text().splitlines()) for path in (ROOT / folder).rglob("*.py")}
    assert {path: length for path, length in lengths.items() if length > LINES_OF_A_FILE} == {}


@pytest.mark.parametrize("folder", [*FOLDERS, "tests"])
def test_every_function_fits_a_screen(folder):
    lengths = {
        f"{path}: {function.name}": body_length(function)
        for path in sorted((ROOT / folder).rglob("*.py"))
        for function in nodes(path, ast.FunctionDef, ast.AsyncFunctionDef)
    }
    assert {name: length for name, length in lengths.items() if length > LINES_OF_A_BODY} == {}


def test_no_docstring_of_the_library_is_empty_words():
    short = [
        f"{path}: {node.name}"
        for path in FILES
        if path.is_relative_to(ROOT / "odegan")
        for node in nodes(path, ast.FunctionDef, ast.ClassDef)
        if (text := ast.get_docstring(node)) is not None and len(text.split()) < WORDS_OF_A_DOCSTRING
    ]
    assert short == []
