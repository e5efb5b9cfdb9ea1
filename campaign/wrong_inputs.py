"""Wrong inputs, over library and command line, each with its error of one line.

    python -m campaign.wrong_inputs --docs docs

writes them into docs/results/reliability_wrong_inputs.md; exit code 1 where one is not refused in one line.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import re
import shlex
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import odegan
from campaign import wrong_inputs_correct
from campaign.wrong_inputs_commands import COMMANDS
from campaign.wrong_inputs_data import CALLS as OF_DATA
from campaign.wrong_inputs_field import CALLS as OF_FIELD
from campaign.wrong_inputs_games import CALLS as OF_GAMES
from campaign.wrong_inputs_plots_flows import CALLS as OF_PLOTS_AND_FLOWS
from campaign.wrong_inputs_runs import CALLS as OF_RUNS
from experiments.framework import programs, publishing
from experiments.framework.results import Results, Row, Table

LONGEST = 500  # characters of a message
TITLE = "Reliability: wrong inputs"


class Case(NamedTuple):
    """A wrong input: where it belongs, the input, whose message it is, and what that says."""

    area: str
    input: str
    name: str
    says: tuple[str, ...]

    @property
    def is_command(self) -> bool:
        """A command line, and no call."""
        return self.area == "Command lines"


CASES = [
    *(
        Case(area, call, name, (shown, allowed))
        for area, rows in (OF_RUNS | OF_GAMES | OF_FIELD | OF_PLOTS_AND_FLOWS | OF_DATA).items()
        for name, call, shown, allowed in rows
    ),
    *(Case("Command lines", command, name, (says,)) for command, name, says in COMMANDS),
]


def message(case: Case) -> str:
    """What the input is refused with; an ``AssertionError`` says how it was not refused as it must be.

    Of a command: run in this process, in the present folder (see ``desk``).
    """
    return _of_command(case.input) if case.is_command else _of_call(case.input)


def _of_call(call: str) -> str:
    try:
        eval(call, {name: getattr(wrong_inputs_correct, name) for name in wrong_inputs_correct.__all__})
    except odegan.ArgumentError as error:
        # An error of torch's, during whose handling it was raised, would be printed above it.
        if error.__context__ is not None and not error.__suppress_context__:
            raise AssertionError(f"{call} shows two errors") from error
        return str(error)
    raise AssertionError(f"{call} was not refused")


def _of_command(command: str) -> str:
    """The line on stderr, without the program's name."""
    program, *arguments = shlex.split(command)
    home = "__main__" if program == "benchmarks" else "experiment"
    module = importlib.import_module(f"{program}.{home}")
    out = io.StringIO()
    err = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = module.main(arguments)
        except SystemExit as end:
            code = end.code
    said = err.getvalue()
    prefix = f"python -m {program}: "
    assert code == 2, f"{command} ended with {code}"
    assert not out.getvalue(), f"{command} printed to stdout"
    assert said.startswith(prefix), f"{command} said {said!r}"
    assert said.endswith("\n")
    return said[len(prefix) : -1]


def shortcomings(case: Case, said: str) -> list[str]:
    """How a message falls short of one line that names the argument, shows what came and says what is allowed."""
    wrong = {
        "is not one line": "\n" in said,
        "is too long": len(said) > LONGEST,
        f"does not name {case.name}": case.name not in said if case.is_command else not said.startswith(case.name),
        **{f"does not say {part}": part not in said for part in case.says},
    }
    return [words for words, applies in wrong.items() if applies]


@contextlib.contextmanager
def desk() -> Iterator[Path]:
    """A folder to be in, with a file and somebody's folder, which commands are given as their output."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            Path("notes.txt").write_text("notes\n")
            Path("thesis").mkdir()
            Path("thesis/thesis.tex").touch()
            yield Path(folder)
        finally:
            os.chdir(before)


def parts(said: Mapping[Case, str]) -> list[str | Table]:
    """The page's parts: a table for every area; addresses in memory left out."""
    what = (
        f"{len(said)} wrong inputs, each with the message of its `odegan.ArgumentError`, or with the line on stderr beside "
        "exit code 2. `run`, `train`, `gan`, `step`, `move` and `scores` are calls that would be correct without the argument "
        "shown; they and the other names are in `campaign/wrong_inputs_correct.py`."
    )
    return [what, *(Table(_rows(said, area), area) for area in dict.fromkeys(case.area for case in said))]


def _rows(said: Mapping[Case, str], area: str) -> list[Row]:
    return [
        {"input": f"`{_shown(case)}`", "message": f"`{re.sub(r' at 0x[0-9a-f]+', '', text)}`"}
        for case, text in said.items()
        if case.area == area
    ]


def results(said: Mapping[Case, str]) -> Results:
    """The page's tables, and the command that made them."""
    tables = [part for part in parts(said) if isinstance(part, Table)]
    return Results("reliability_wrong_inputs", "python -m campaign.wrong_inputs --docs docs", tables, {"device": "cpu"})


def _shown(case: Case) -> str:
    return f"python -m {case.input}" if case.is_command else case.input


@dataclass
class WrongInputs:
    """Where to write the page."""

    docs: Path
    """Documentation folder to write the page into."""


def main(argv: Sequence[str] | None = None) -> int:
    """The command line's exit code."""
    return programs.main(WrongInputs, try_all, "python -m campaign.wrong_inputs", __doc__, argv)


def try_all(options: WrongInputs) -> int:
    """Try all of them; 1 where one is not refused in one line."""
    docs = options.docs.absolute()
    with desk():
        said = {case: message(case) for case in CASES}
    lacking = {case.input: wrong for case, text in said.items() if (wrong := shortcomings(case, text))}
    for wrong_input, wrong in lacking.items():
        print(f"{wrong_input}: the message {', '.join(wrong)}", file=sys.stderr)
    publishing.write(docs, results(said), TITLE, parts(said))
    print(f"{len(said)} wrong inputs: {docs / 'results/reliability_wrong_inputs.md'}")
    return 1 if lacking else 0


if __name__ == "__main__":
    sys.exit(main())
