"""Every name on the API page says what it takes, and shows it in an example; the doctests run the examples."""

from __future__ import annotations

import importlib
import inspect
import re
import typing
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import yaml

pytest.importorskip("matplotlib")

import odegan

PAGE = Path(__file__).parents[2] / "docs/api.md"
# Values, whose own text is what they are.
NO_CALLABLES = {"odegan.__version__", "odegan.plots.PALETTE"}


def resolved(path: str) -> object:
    """The thing that a path names: of a module and a function of one name, the module."""
    parts = path.split(".")
    for length in range(len(parts), 0, -1):
        try:
            thing: object = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for part in parts[length:]:
            thing = getattr(thing, part)
        return thing
    raise AssertionError(path)


def on_the_page() -> Iterator[tuple[str, object]]:
    """Path and thing of everything that the page shows, the members of modules among them."""
    for block in re.split(r"^::: ", PAGE.read_text(), flags=re.MULTILINE)[1:]:
        path, *lines = block.splitlines()
        thing = resolved(path.strip())
        settings = yaml.safe_load("\n".join(line for line in lines if line.startswith(" "))) or {}
        members = settings.get("options", {}).get("members")
        if not isinstance(thing, ModuleType):
            yield path, thing
            continue
        shown = members if isinstance(members, list) else getattr(thing, "__all__", None) or of_its_own(thing)
        for name in shown:
            yield f"{path}.{name}", getattr(thing, name)


def of_its_own(module: ModuleType) -> list[str]:
    """The public functions and classes that a module defines."""
    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__ and callable(value)
    ]


PUBLIC = {
    path: thing
    for path, thing in [*on_the_page(), *((f"odegan.{name}", getattr(odegan, name)) for name in odegan.__all__)]
    if not isinstance(thing, ModuleType) and path not in NO_CALLABLES
}


def text(thing: object) -> str:
    """The docstring of a thing, and that of its constructor."""
    own = inspect.getdoc(thing) or ""
    return own + ((inspect.getdoc(thing.__init__) or "") if inspect.isclass(thing) else "")


def test_there_are_many() -> None:
    assert len(PUBLIC) > 100


@pytest.mark.parametrize("path", sorted(PUBLIC))
def test_it_has_an_example(path: str) -> None:
    assert ">>> " in (PUBLIC[path].__doc__ or "")


@pytest.mark.parametrize("path", sorted(PUBLIC))
def test_it_names_what_it_takes(path: str) -> None:
    said = text(PUBLIC[path])
    plain_error = inspect.isclass(PUBLIC[path]) and PUBLIC[path].__init__ in (
        ValueError.__init__,
        RuntimeError.__init__,
    )
    parameters = [] if plain_error else inspect.signature(PUBLIC[path]).parameters
    taken = [name for name in parameters if name not in ("args", "kwargs", "self")]
    assert [name for name in taken if not re.search(rf"\b{name}\b", said)] == []


@pytest.mark.parametrize("path", sorted(PUBLIC))
def test_its_hints_can_be_read(path: str) -> None:
    thing = PUBLIC[path]
    own = [member for member in vars(thing).values() if inspect.isfunction(member)] if inspect.isclass(thing) else []
    for one in [thing, *own]:
        typing.get_type_hints(one)


@pytest.mark.parametrize("path", sorted(path for path, thing in PUBLIC.items() if inspect.isclass(thing)))
def test_its_methods_say_what_they_do(path: str) -> None:
    methods = {name: method for name, method in vars(PUBLIC[path]).items() if not name.startswith("_")}
    assert [name for name, method in methods.items() if callable(method) and not method.__doc__] == []
