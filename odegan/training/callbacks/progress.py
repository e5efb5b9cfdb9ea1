"""A bar, while a run is under way."""

from __future__ import annotations

import contextlib
import sys
import time
from typing import Any

from odegan.training.callbacks.hook import Ending, Hook
from odegan.training.progress import display


class Progress(Hook):
    """How far the run is in time, with the losses at intervals that cost nothing; above it, what is compiled."""

    EVERY = 0.5  # seconds between readings of the losses, which wait for the device

    def __init__(self, label: str) -> None:
        self.label, self.read = label, 0.0

    def start(self, run: Any) -> None:
        """Open the bar, at the time where a resumed run stands."""
        span = run.times[-1] - run.times[0]
        self.bar = display(span, run.state.t - run.times[0], self.label)
        run.stepper.compiler.tell = lambda text: self.bar.write(f"{self.label}: {text}", file=sys.stderr)

    def after(self, run: Any, info: Any) -> Ending | None:
        """Move it; where Ctrl-C has ended who reads it, as in a pipe, the run still ends in good order."""
        with contextlib.suppress(OSError):
            self.bar.update(min(run.state.t, run.times[-1]) - run.times[0] - self.bar.n)
            if time.monotonic() - self.read > self.EVERY:
                self.read = time.monotonic()
                disc, gen = info.losses.reshape(-1, 2).mean(0).tolist()
                self.bar.set_postfix_str(f"loss D {disc:.3g}, G {gen:.3g}")
        return None

    def finish(self, run: Any) -> None:
        """Close it."""
        with contextlib.suppress(OSError):
            self.bar.close()
