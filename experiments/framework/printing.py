"""Print to a reader that may be gone, as in ``odegan mog16 --help | head``."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# Only the standard library: experiments/__main__.py prints before anything else is imported.


@contextmanager
def closed_pipes_are_no_errors() -> Iterator[None]:
    """What is printed within reaches the reader, or is dropped without a word if nobody reads. A failed print ends the
    block."""
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        # What the interpreter flushes at its end goes nowhere, too.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
