"""``--help`` of every command reads as a person would write it, into a closed pipe too."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("tyro")

from experiments import __main__ as entry

ROOT = Path(__file__).parents[2]
OF_IMAGES = ("train", "compare", "evaluate", "sample", "interpolate", "presets")
PROGRAMS = ("benchmarks", "campaign.kills", "campaign.modules", "campaign.properties", "campaign.soak")
COMMANDS = [
    *(f"experiments.{name}" for name in entry.experiments()),
    *(f"experiments.images {command}" for command in OF_IMAGES),
    *PROGRAMS,
]
PROGRAMMERS = ("None", "unset", "{[", " ...]", "()", "True)", "False)", "[INT ", "[STR ", "[FLOAT ")
FRAME = re.compile(r"[│╭╮╰╯─•]")


def help_of(command: str, capsys: pytest.CaptureFixture[str]) -> str:
    """What --help prints."""
    name, *arguments = command.split()
    home = name if name in PROGRAMS else f"{name}.experiment"
    module = importlib.import_module(home)
    main = module.main if hasattr(module, "main") else importlib.import_module(f"{home}.__main__").main
    with pytest.raises(SystemExit) as end:
        main([*arguments, "--help"])
    assert not end.value.code
    return FRAME.sub(" ", capsys.readouterr().out)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_speaks_of_no_types_of_python(command: str, capsys) -> None:
    printed = " ".join(help_of(command, capsys).split()).replace("names()", "names")
    assert [word for word in PROGRAMMERS if word in printed] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_that_takes_a_value_says_what_holds_without_it(command: str, capsys) -> None:
    options = re.split(r"\n\s+(?=--)", help_of(command, capsys).partition("options ")[2])[1:]
    flowing = [" ".join(option.split()) for option in options]
    valued = [option for option in flowing if re.match(r"--[\w-]+ [A-Z{]\S*[A-Z}.]", option)]
    assert [option for option in valued if not re.search(r"default|[Ll]eft out|required", option)] == []
    assert valued or command in ("experiments.images", "experiments.images presets")


def test_several_numbers_and_the_presets_values(capsys) -> None:
    printed = help_of("experiments.images train", capsys)
    assert "--step-size FLOAT..." in printed
    assert "(default: the preset's)" in printed
    assert "--output PATH" in printed


@pytest.mark.parametrize("arguments", [[], ["rotational", "--help"]])
def test_help_into_a_closed_pipe_is_silent(arguments: list[str]) -> None:
    command = [sys.executable, "-m", "experiments", *arguments]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait() == 0
