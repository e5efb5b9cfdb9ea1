"""Command lines of programs that are not experiments: options in a dataclass, errors in one line."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TypeVar

from experiments.framework.command_line import parse
from experiments.framework.endings import WRONG_OPTION
from odegan import ArgumentError

Chosen = TypeVar("Chosen")


def main(
    options_type: type[Chosen],
    run: Callable[[Chosen], int],
    program: str,
    description: str | None,
    argv: Sequence[str] | None = None,
) -> int:
    """Parse the options, check them if the dataclass has a method ``check``, run, and return the exit code, 2 for a wrong
    option.

    Args:
        options_type: a dataclass.
        run: options -> the exit code.
        program: the beginning of the command line, for ``--help``.
        description: for ``--help``.
        argv: arguments without the program's name; None: those of this process.
    """
    try:
        options = parse(options_type, program, description or "", list(sys.argv[1:] if argv is None else argv))
        check = getattr(options, "check", None)
        if callable(check):
            check()
    except ArgumentError as error:
        print(f"{program}: {error}", file=sys.stderr)
        return WRONG_OPTION
    return run(options)
