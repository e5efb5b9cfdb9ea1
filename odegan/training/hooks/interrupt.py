"""End a run on Ctrl-C."""

from __future__ import annotations

import contextlib
import signal
import threading
from types import FrameType

from odegan.training.hooks.hook import Ending, Hook, RunInProgress
from odegan.training.state import Info
from odegan.utils.checkpoint import FilePath


class Interrupt(Hook):
    """The first Ctrl-C ends the run after the current segment; a second one raises KeyboardInterrupt at once."""

    def __init__(self, path: FilePath | None, says: bool = True) -> None:
        self.path = path
        self.says = says
        self.asked = False

    def start(self, run: RunInProgress) -> None:
        """Install a SIGINT handler, if this is the main thread and Python's own handler is in place."""
        ours = threading.current_thread() is threading.main_thread()
        self.previous = signal.getsignal(signal.SIGINT) if ours else None
        if self.previous is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._handle)
            run.stepper.compiler.interrupted = lambda: self.asked
        else:
            self.previous = None

    def _handle(self, number: int, frame: FrameType | None) -> None:
        # Only a note: the handler may interrupt any line, also the writing of a checkpoint.
        self.asked = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def after(self, run: RunInProgress, info: Info) -> Ending | None:
        """End the run if Ctrl-C was pressed."""
        return ("interrupted", f"interrupted at t = {run.state.t:g}; {self._kept()}") if self.asked else None

    def _kept(self) -> str:
        return f"saved to {str(self.path)!r}: the same call resumes it" if self.path else "no checkpoint was asked for"

    def finish(self, run: RunInProgress) -> None:
        """Restore the handler; report what was saved, or pass on a Ctrl-C that came too late to end the run."""
        if self.previous is None:
            return
        signal.signal(signal.SIGINT, self.previous)
        if self.asked and run.status == "interrupted" and self.says:
            with contextlib.suppress(OSError):  # in a pipe, Ctrl-C has also ended the reader
                print(f"\nodegan: {run.message}")
        elif self.asked and run.status == "finished":
            signal.raise_signal(signal.SIGINT)
