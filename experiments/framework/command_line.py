"""Parse a command line to typed options with tyro, and report wrong options in one line."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import tyro

from experiments.framework.help_texts import RULES
from experiments.framework.printing import closed_pipes_are_no_errors
from odegan import ArgumentError

Chosen = TypeVar("Chosen")


def parse(options_type: type[Chosen], program: str, description: str, arguments: Sequence[str]) -> Chosen:
    """Parse the arguments to an instance of the dataclass ``options_type``; ``--help`` prints and exits.

    Raises:
        ArgumentError: with the first line of tyro's explanation.
    """
    complaint = io.StringIO()
    description = "\n\n".join(" ".join(paragraph.split()) for paragraph in description.split("\n\n"))
    try:
        # tyro prints a framed explanation of several lines and exits; a command here ends in one line.
        with closed_pipes_are_no_errors(), contextlib.redirect_stderr(complaint):
            return tyro.cli(options_type, prog=program, description=description, args=list(arguments), registry=RULES)
    except SystemExit as end:
        if not end.code:
            raise
        raise ArgumentError(_one_line(complaint.getvalue())) from None
    raise SystemExit(0)  # nobody read the help


def called(module: str) -> str:
    """The beginning of the command line by which an experiment's module was called.

    >>> called("experiments.mog16")
    'python -m experiments.mog16'
    """
    if Path(sys.argv[0]).stem == "odegan":  # the installed command
        return module.replace("experiments.", "odegan ", 1)
    return f"python -m {module}"


def named_options(arguments: Sequence[str]) -> set[str]:
    """The fields that a command line sets.

    >>> sorted(named_options(["--step-size", "0.1", "--no-progress", "--seed=3", "name"]))
    ['progress', 'seed', 'step_size']
    """
    names = {word[2:].partition("=")[0].replace("-", "_") for word in arguments if word.startswith("--")}
    return {name.removeprefix("no_") for name in names}


def _one_line(box: str) -> str:
    """Reduce tyro's framed explanation to the error and the nearest option's name."""
    lines = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in box.splitlines()]
    # The title is in the first line of the frame, or above a rule if the terminal has no line characters.
    lines = lines[1:-1] if lines[0].startswith("╭") else lines[2:]
    body = "\n".join(line.strip("│ ") for line in lines)
    parts = [part.strip("\n").splitlines() for part in re.split(r"^[─-]{3,}$", body, flags=re.MULTILINE)]
    wrong = " ".join(parts[0])
    near = [part[1].split()[0] for part in parts[1:] if part and part[0].startswith("Perhaps you meant")]
    return wrong.removesuffix(".") + (f" (did you mean {near[0]}?)" if near else "") + "; see --help"


# Options that affect only output and display, not the results: name -> whether a value follows.
_INCIDENTAL = {
    "--resume": False,
    "--overwrite": False,
    "--progress": False,
    "--no-progress": False,
    "--output": True,
    "--docs": True,
    "--cache": True,
}


def reproducing(command: str) -> str:
    """The command without the options that do not affect the numbers.

    >>> reproducing("python -m experiments.mog16 --full --output here --resume")
    'python -m experiments.mog16 --full'
    """
    kept: list[str] = []
    words = iter(shlex.split(command))
    for word in words:
        name, equals, _ = word.partition("=")
        if name not in _INCIDENTAL:
            kept.append(word)
        elif _INCIDENTAL[name] and not equals:
            next(words, None)
    return shlex.join(kept)
