"""The progress display of a run."""

from __future__ import annotations

import contextlib
import sys
import time

from einops import reduce

from odegan.training.hooks.hook import Ending, Hook, RunInProgress
from odegan.training.state import Info
from odegan.utils.progress import display


class Progress(Hook):
    """Shows the time that a run has reached, the losses now and then, and messages about compilation."""

    EVERY = 0.5  # seconds between readings of the losses, which synchronize the device

    def __init__(self, label: str) -> None:
        self.label = label
        self.read = 0.0

    def start(self, run: RunInProgress) -> None:
        """Open the display at the present time of the run, which may be resumed."""
        span = run.times[-1] - run.times[0]
        self.bar = display(span, self.label, unit="t", initial=run.state.t - run.times[0])
        run.stepper.compiler.tell = lambda text: self.bar.write(f"{self.label}: {text}", file=sys.stderr)

    def after(self, run: RunInProgress, info: Info) -> Ending | None:
        """Update the display; an error of the pipe's reader, which Ctrl-C may have ended, does not end the run."""
        with contextlib.suppress(OSError):
            if time.monotonic() - self.read > self.EVERY:
                self.read = time.monotonic()
                disc, gen = reduce(info.losses, "... player -> player", "mean").tolist()
                self.bar.set_postfix_str(f"loss D {disc:.3g}, G {gen:.3g}")
            # The difference to what the bar shows, not the interval's length, whose rounding would add up.
            self.bar.update(min(run.state.t, run.times[-1]) - run.times[0] - self.bar.n)
        return None

    def finish(self, run: RunInProgress) -> None:
        """Close the progress display."""
        with contextlib.suppress(OSError):
            self.bar.close()
