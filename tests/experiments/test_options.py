"""The options of every experiment: what --quick leaves alone, and what config.json tells of a run."""

from __future__ import annotations

import ast
import functools
import importlib
import json
from collections.abc import Sequence
from dataclasses import Field, fields
from pathlib import Path

import pytest

pytest.importorskip("tyro")

from experiments import __main__ as entry
from experiments.framework import runner
from experiments.framework.options import Options
from experiments.images.compare_options import Compare
from experiments.images.options import Train
from experiments.mog16.options import SETTINGS, Mog16
from experiments.ring8.options import Ring8
from odegan import ArgumentError
from tests.experiments import tiny

OF_IMAGES = {"images train": (Train, "--preset", "digits"), "images compare": (Compare, "--preset", "digits")}
NAMES = [*(name for name in entry.experiments() if name not in ("images", "reproduce")), *OF_IMAGES]
# Neither belongs to a run: the quick form takes the place of the full one, and these say where and how to run.
NOT_GIVEN = {"full", "quick", "output", "docs", "cache", "device", "preset"}
# Options without which something is not done.
NOTHING = {
    *("docs", "clip", "micro_batch", "threads", "minutes", "patience"),
    "trained_below",  # a tenth of a score that is not known before the run; facts.json holds it
}
BY_KIND = {"int": ("7", 7), "float": ("0.7", 0.7), "str": ("seven", "seven"), "bool": ("True", True)}


@functools.cache
def options_of(name: str) -> tuple[type[Options], tuple[str, ...]]:
    """The dataclass of an experiment, and what its command line must have."""
    if name in OF_IMAGES:
        kind, *needed = OF_IMAGES[name]
        return kind, tuple(needed)
    module = importlib.import_module(f"experiments.{name}.experiment")
    found: list[type[Options]] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runner, "main", lambda kind, run, argv=None, writes=True: found.append(kind) or 0)
        assert module.main([]) == 0
    return found[0], ()


def given(field: Field) -> tuple[list[str], object]:
    """Words that give an option a value that is the default of none, and the value."""
    option = f"--{field.name.replace('_', '-')}"
    kind = str(field.type)
    if kind == "bool":
        return [f"--no-{option[2:]}" if field.default else option], not field.default
    if "Literal" in kind:
        *_, last = ast.literal_eval(f"({kind.partition('Literal[')[2].partition(']')[0]},)")
        return [option, str(last)], last
    word, value = next(pair for name, pair in BY_KIND.items() if name in kind)
    if "tuple" not in kind:
        return [option, word], value
    length = kind.partition("tuple[")[2].partition("]")[0].replace("...", "").split(", ")
    copies = sum(1 for one in length if one)
    return [option, *[word] * copies], (value,) * copies


def chosen(kind: type[Options], words: Sequence[str], monkeypatch: pytest.MonkeyPatch) -> Options:
    """The options of a command line, whether a run could have them or not."""
    monkeypatch.setattr(kind, "check", lambda self: None)
    return runner.chosen(kind, "experiment", "", words)


# Of any length; tyro itself refuses a wrong number of entries where it is fixed.
LISTS = [(name, f) for name in NAMES for f in fields(options_of(name)[0]) if "..." in str(f.type) and f.default]


@pytest.mark.parametrize("name, field", LISTS, ids=[f"{name}-{field.name}" for name, field in LISTS])
def test_lists_without_an_entry_are_refused(name: str, field: Field) -> None:
    kind, needed = options_of(name)
    words = [*needed, f"--{field.name.replace('_', '-')}"]
    with pytest.raises(ArgumentError, match=rf"{field.name}: got \(\); it must be a list with at least one entry"):
        runner.chosen(kind, name, "", words)


@pytest.mark.parametrize("name", NAMES)
def test_quick_never_overrides_what_was_given_by_hand(name: str, monkeypatch) -> None:
    kind, needed = options_of(name)
    tried = [field for field in fields(kind) if field.name not in NOT_GIVEN]
    for field in tried:
        words, value = given(field)
        assert getattr(chosen(kind, [*needed, "--quick", *words], monkeypatch), field.name) == value, field.name
    assert len(tried) > 5


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("form", [(), ("--quick",), ("--full",)])
def test_config_holds_what_the_run_uses(name: str, form: tuple[str, ...], monkeypatch) -> None:
    kind, needed = options_of(name)
    if form == ("--full",) and "full" not in {field.name for field in fields(kind)}:
        return
    used = chosen(kind, [*needed, *form], monkeypatch).used()
    assert {option for option, value in used.items() if value is None} - {"output"} <= NOTHING


def test_config_names_the_folder(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert tiny.main("--quick") == 0
    assert json.loads(Path("runs/tiny-quick/config.json").read_text())["options"]["output"] == "runs/tiny-quick"


def test_config_holds_the_lengths_of_full_forms() -> None:
    assert Mog16(full=True, solver="heun2").used()["evaluations"] == 60_000
    compared = Mog16(full=True, compare=True, settings=tuple(SETTINGS)).used()
    assert (compared["evaluations"], compared["steps"]) == (None, 30_000)
    assert Ring8(full=True).used()["batch_size"] == {"jare": 128, "clc": 512}


def test_config_holds_what_follows_from_the_preset() -> None:
    assert Train(preset="digits", every=30).used()["save_every"] == 30
    used = Compare(preset="digits", evaluations=100, solvers=("heun2", "adam")).used()
    assert used["times"] == (pytest.approx(50 * 0.4),)
    assert Compare(preset="digits").used()["evaluations"] == 2 * Train(preset="digits").used()["steps"]
