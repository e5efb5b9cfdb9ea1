"""The commands on the pages: their options are understood, and the experiments' run in their quick form."""

import importlib
import re
import shlex
from pathlib import Path

import pytest

pytest.importorskip("tyro")

from experiments.framework import command_line, programs, runner
from tests.experiments.tiny import paths_in

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
WRONG_ON_PURPOSE = "reliability_wrong_inputs.md"
COMMAND = re.compile(
    r"^(?:python -m ((?:experiments|campaign|benchmarks)\b[^#\n]*)|odegan (images\b[^#\n]*))", re.MULTILINE
)
NOT_TRIED = re.compile(
    r"^experiments$|NAME|images presets|--help|framework\.|campaign\.versions"
)  # lists, no options, a parser of its own
COMMANDS = sorted(
    {
        line
        for page in PAGES
        if page.name != WRONG_ON_PURPOSE
        for module, name in COMMAND.findall(page.read_text())
        if not NOT_TRIED.search(line := (module or f"experiments.{name}").strip())
    }
)
EXPERIMENTS = [
    line
    for line in COMMANDS
    if line.startswith("experiments.") and not any(word in line for word in ("runs/", "cifar", "my_module"))
]


LENGTHS = re.compile(r"--(?:time|every|evaluations|steps|minutes|batch-size|moments|limit) \S+ ?")
# Compiling takes longer than a quick form, for every setting once more.
NOT_QUICK = re.compile(r"--(?:full|compile|device cuda|autocast \S+)(?: |$)")


def quick_form(line: str) -> list[str]:
    """The words of a command without its lengths, with --quick, which has lengths of its own."""
    return [*shlex.split(NOT_QUICK.sub("", LENGTHS.sub("", f"{line} "))), "--quick"]


def main_of(name: str):
    """The function ``main`` of ``python -m name``."""
    if name.startswith("experiments."):
        return importlib.import_module(f"{name}.experiment").main
    module = importlib.import_module(name)
    return module.main if hasattr(module, "main") else importlib.import_module(f"{name}.__main__").main


def test_a_quick_form_keeps_all_but_lengths():
    line = "experiments.drift --compile --time 3000 --settings 'rk4 + drift' --full"
    assert quick_form(line) == ["experiments.drift", "--settings", "rk4 + drift", "--quick"]


def test_there_are_commands():
    assert len(COMMANDS) > 20
    assert len(EXPERIMENTS) > 15


@pytest.mark.parametrize("line", COMMANDS)
def test_the_options_are_understood(line, monkeypatch):
    parsed = []

    def only_parse(options_type, argv):
        parsed.append(command_line.parse(options_type, "command", "", list(argv or ())))
        return 0

    monkeypatch.setattr(
        runner, "main", lambda options_type, run, argv=None, writes=True: only_parse(options_type, argv)
    )
    monkeypatch.setattr(
        programs, "main", lambda options_type, run, program, description, argv=None: only_parse(options_type, argv)
    )
    name, *arguments = shlex.split(line)
    assert main_of(name)(arguments) == 0
    assert len(parsed) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "line", sorted({shlex.join(quick_form(line)) for line in EXPERIMENTS} | {"experiments.mog16 --compile --quick"})
)
def test_the_quick_form_runs_and_every_path_that_it_prints_exists(line, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    name, *arguments = shlex.split(line)
    assert main_of(name)([*arguments, "--no-progress", "--output", str(tmp_path / "run")]) == 0
    captured = capsys.readouterr()
    found = paths_in(captured.out + captured.err, tmp_path / "run")
    assert len(found) >= 2
    assert [path for path in found if not path.exists()] == []
