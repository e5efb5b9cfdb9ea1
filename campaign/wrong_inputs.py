"""Wrong inputs, over library and command line, each with its error of one line.

    python -m campaign.wrong_inputs --docs docs

writes them into docs/results/reliability_wrong_inputs.md; exit code 1 where one is not refused in one line.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import os
import re
import shlex
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import odegan
from campaign import wrong_inputs_correct
from campaign.wrong_inputs_commands import COMMANDS
from campaign.wrong_inputs_games import CALLS as OF_GAMES
from campaign.wrong_inputs_parts import CALLS as OF_PARTS
from campaign.wrong_inputs_runs import CALLS as OF_RUNS
from experiments.framework.tables import markdown

LONGEST = 500  # characters of a message
PAGE = "results/reliability_wrong_inputs.md"


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
        for area, rows in (OF_RUNS | OF_GAMES | OF_PARTS).items()
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
        return str(error)
    raise AssertionError(f"{call} was not refused")


def _of_command(command: str) -> str:
    """The line on stderr, without the program's name."""
    program, *arguments = shlex.split(command)
    module = importlib.import_module("benchmarks.__main__" if program == "benchmarks" else program)
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = module.main(arguments)
        except SystemExit as end:
            code = end.code
    said, prefix = err.getvalue(), f"python -m {program}: "
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


def page(said: dict[Case, str]) -> str:
    """The page: a table for every area; addresses in memory left out."""
    parts = [
        "# Wrong inputs\n",
        f"{len(said)} wrong inputs and what each is refused with: an `odegan.ArgumentError`, or exit code 2 and this line on "
        "stderr. `run`, `train`, `gan`, `step`, `move` and `scores` are correct but for what is given; they and "
        "the other names are in `campaign/wrong_inputs_correct.py`.\n",
        "Made by\n\n```sh\npython -m campaign.wrong_inputs --docs docs\n```\n",
    ]
    for area in dict.fromkeys(case.area for case in said):
        rows = [
            {"input": f"`{_shown(case)}`", "message": f"`{re.sub(r' at 0x[0-9a-f]+', '', text)}`"}
            for case, text in said.items()
            if case.area == area
        ]
        parts.append(f"## {area}\n\n{markdown(rows)}\n")
    return "\n".join(parts)


def _shown(case: Case) -> str:
    return f"python -m {case.input}" if case.is_command else case.input


def main(argv: Sequence[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m campaign.wrong_inputs", description=__doc__)
    parser.add_argument("--docs", type=Path, required=True, help="documentation folder to write the page into")
    target = parser.parse_args(argv).docs.absolute() / PAGE
    with desk():
        said = {case: message(case) for case in CASES}
    lacking = {case.input: wrong for case, text in said.items() if (wrong := shortcomings(case, text))}
    for wrong_input, wrong in lacking.items():
        print(f"{wrong_input}: the message {', '.join(wrong)}", file=sys.stderr)
    target.write_text(page(said))
    print(f"{len(said)} wrong inputs: {target}")
    return 1 if lacking else 0


if __name__ == "__main__":
    sys.exit(main())
