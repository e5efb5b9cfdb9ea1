"""Progress displays: a bar on a terminal or in a notebook, elsewhere a line of text every half minute."""

from __future__ import annotations

import sys
import time
from typing import Protocol, TextIO

from tqdm.auto import tqdm
from tqdm.notebook import tqdm_notebook

FORM = "{l_bar}{bar}| t {n:.4g}/{total:.4g} [{elapsed}<{remaining}{postfix}]"
EVERY = 30.0  # seconds between lines


class Display(Protocol):
    """The interface of a progress display, which tqdm's bars have."""

    n: float

    def update(self, n: float) -> object:
        """Advance by n."""

    def set_postfix_str(self, s: str) -> object:
        """Show s after the progress from now on."""

    def write(self, s: str, file: TextIO) -> object:
        """Print a separate line."""

    def close(self) -> object:
        """Finish the display."""


class Lines:
    """Lines of text: one at the start, one every ``EVERY`` seconds, one at the end."""

    def __init__(self, total: float, initial: float, label: str) -> None:
        self.total = total
        self.n = initial
        self.label = label
        self.postfix = ""
        self.began = time.monotonic()
        self.said = self.began
        self._say()

    def update(self, n: float) -> None:
        """Advance by n; print a line when it is due."""
        self.n += n
        if time.monotonic() - self.said >= EVERY:
            self._say()

    def set_postfix_str(self, s: str) -> None:
        """Show s in the lines from now on."""
        self.postfix = f", {s}"

    def write(self, s: str, file: TextIO) -> None:
        """Print a separate line."""
        print(s, file=file, flush=True)

    def close(self) -> None:
        """Print the last line."""
        self._say()

    def _say(self) -> None:
        self.said = time.monotonic()
        spent = self.said - self.began
        line = f"{self.label}: t {self.n:.4g}/{self.total:.4g} after {spent:.0f} s{self.postfix}"
        print(line, file=sys.stderr, flush=True)


def display(total: float, initial: float, label: str) -> Display:
    """The progress display that suits the present terminal."""
    if sys.stderr.isatty() or issubclass(tqdm, tqdm_notebook):
        return tqdm(total=total, initial=initial, desc=label, bar_format=FORM)
    return Lines(total, initial, label)
