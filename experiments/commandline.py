"""Command line to typed options, by tyro, with wrong options said in one line."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Sequence
from typing import TypeVar

import tyro

from odegan import ArgumentError

Chosen = TypeVar("Chosen")


def parse(options_type: type[Chosen], program: str, description: str, arguments: Sequence[str]) -> Chosen:
    """An instance of the dataclass ``options_type``; ``--help`` prints and exits.

    Raises ``ArgumentError`` with the first line of tyro's explanation.
    """
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            return tyro.cli(options_type, prog=program, description=description, args=list(arguments))
    except SystemExit as end:
        if not end.code:
            raise
        raise ArgumentError(_one_line(complaint.getvalue())) from None


def _one_line(box: str) -> str:
    """tyro's box of explanations -> what is wrong, and the nearest option's name."""
    body = [re.sub(r"\x1b\[[0-9;]*m", "", line).strip("│╭╮╰╯ ") for line in box.splitlines()[1:-1]]
    parts = [part.strip("\n").splitlines() for part in re.split(r"^─+$", "\n".join(body), flags=re.MULTILINE)]
    wrong = " ".join(parts[0])
    near = [part[1].split()[0] for part in parts[1:] if part and part[0].startswith("Perhaps you meant")]
    return wrong + (f" (did you mean {near[0]}?)" if near else "") + "; see --help"
