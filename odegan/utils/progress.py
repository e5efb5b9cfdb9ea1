"""Progress displays: a bar on a terminal or in a notebook, elsewhere a line of text after every tenth of the run."""

from __future__ import annotations

import sys
import time
from typing import Protocol, TextIO

from tqdm.auto import tqdm
from tqdm.notebook import tqdm_notebook

LINES = 10  # of a run whose end is known
LEAST = 1.0  # seconds between lines
UNKNOWN = 30.0  # seconds between lines where the end is not known


class Display(Protocol):
    """The interface of a progress display, which tqdm's bars have."""

    n: float

    def update(self, n: float) -> object:
        """Advance the display by n."""

    def set_postfix_str(self, s: str) -> object:
        """Show s after the progress from now on."""

    def write(self, s: str, file: TextIO) -> object:
        """Print s on a line of its own, without breaking the display."""

    def close(self) -> object:
        """Show the last state and finish the display."""


class Lines:
    """Lines of text: one at the start, or after ``delay`` seconds, then one after every tenth of ``total``, one at the end.

    A short run prints at most one line a second besides the last, and one without a ``total`` a line every half minute.
    """

    def __init__(self, total: float | None, label: str, initial: float, unit: str, delay: float) -> None:
        self.total = total
        self.n = initial
        self.label = label
        self.unit = unit
        self.postfix = ""
        self.began = time.monotonic()
        self.due = self.began + delay
        self.printed = -1.0  # the last n shown; less than any before the first line
        self.tenths = self._tenths()
        if not delay:
            self._print()

    def update(self, n: float) -> None:
        """Advance by n; print a line when it is due."""
        self.n += n
        if time.monotonic() >= self.due and (self.total is None or self.printed < 0 or self._tenths() > self.tenths):
            self._print()

    def set_postfix_str(self, s: str) -> None:
        """Show s in the lines from now on."""
        self.postfix = f", {s}"

    def write(self, s: str, file: TextIO) -> None:
        """Print s on a line of its own."""
        print(s, file=file, flush=True)

    def close(self) -> None:
        """Print the last line, unless it was printed or the work was done before the first one."""
        if 0 <= self.printed < self.n:
            self._print()

    def _tenths(self) -> int:
        """How many tenths of the run are done, allowing for rounding in n."""
        return int(LINES * self.n / self.total + 1e-6) if self.total else 0

    def _print(self) -> None:
        now = time.monotonic()
        self.due = now + (UNKNOWN if self.total is None else LEAST)
        self.printed = self.n
        self.tenths = self._tenths()
        of_total = "" if self.total is None else f"/{self.total:.4g}"
        spent = now - self.began
        line = f"{self.label}: {self.unit} {self.n:.4g}{of_total} after {spent:.0f} s{self.postfix}"
        print(line, file=sys.stderr, flush=True)


def display(
    total: float | None, label: str, *, unit: str, initial: float = 0.0, delay: float = 0.0, shown: bool = True
) -> Display:
    """The progress display that suits the present terminal.

    Args:
        total: where the progress ends; None: unknown.
        label: text in front of the progress.
        unit: what is counted, as in "t" or "images".
        initial: where it begins.
        delay: seconds before it appears.
        shown: if not, nothing is ever shown.
    """
    shown = shown and sys.stderr is not None  # which a program without a console does not have
    # In a log file a bar's carriage returns would make one endless line.
    if not shown or sys.stderr.isatty() or issubclass(tqdm, tqdm_notebook):
        counted = "{n:.4g}" if total is None else "{n:.4g}/{total:.4g}"
        bar = "" if total is None else "{bar}"
        form = f"{{l_bar}}{bar}| {unit} {counted} [{{elapsed}}" + (
            "{postfix}]" if total is None else "<{remaining}{postfix}]"
        )
        return tqdm(total=total, initial=initial, desc=label, bar_format=form, delay=delay, disable=not shown)
    return Lines(total, label, initial, unit, delay)
