"""What happens around a run besides stepping: the user's callback, progress, checkpoints, Ctrl-C.

Each is an object with ``start(run)``, ``after(run, info)`` and ``finish(run)``; ``after`` returns None to go on, or
(status, message) to end the run. ``run`` is the ``integrate.Run`` under way.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch.utils._pytree import tree_map

from odegan.training.progress import display
from odegan.utils import checkpoint
from odegan.utils.checks import ArgumentError, one_line
from odegan.utils.distributed import Ranks

Ending = tuple[str, str]


class Hook:
    """Does nothing; the others override what they need."""

    def start(self, run: Any) -> None:
        """Before the first step."""

    def after(self, run: Any, info: Any) -> Ending | None:
        """After a refresh interval."""
        return None

    def finish(self, run: Any) -> None:
        """After the last step, however the run ended."""


class User(Hook):
    """The user's callback(state, info), which ends the run by returning True.

    A run that it had ended goes on when it is resumed, unless its attribute ``over`` is true: one with a state remembers so.
    """

    ENDING = ("stopped", "the callback returned True")

    def __init__(self, callback: Callable[[Any, Any], Any]) -> None:
        self.callback = callback

    def start(self, run: Any) -> None:
        """Leave a run as it is that is over."""
        if run.status == "running" and getattr(self.callback, "over", False) is True:
            run.status, run.message = self.ENDING

    def after(self, run: Any, info: Any) -> Ending | None:
        """Call it."""
        return self.ENDING if self.callback(run.state, info) is True else None


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


class Checkpoint(Hook):
    """Resume from the file if it exists; save every ``every`` seconds (float) or refresh intervals (int), and at the end."""

    def __init__(self, path: str | os.PathLike[str], every: float, ranks: Ranks | None = None) -> None:
        self.path, self.every, self.ranks = path, every, ranks
        self.writes = ranks is None or ranks.rank == 0
        self.count, self.saved = 0, time.monotonic()

    def start(self, run: Any) -> None:
        """Load what is there, after comparing the arguments it was made with."""
        payload = self._load(run.state.y.device)
        if payload is not None:
            try:
                checkpoint.refuse_difference(self.path, payload["arguments"], run.fingerprint)
                run.restore(payload)
            except (LookupError, TypeError, AttributeError, RuntimeError, ValueError) as error:
                if isinstance(error, ArgumentError):
                    raise
                raise ArgumentError(
                    f"checkpoint: got {str(self.path)!r}, in which something is missing or wrong ({one_line(error)})"
                ) from error

    def _load(self, device: Any) -> dict[str, Any] | None:
        """What is in the file, or None; with ranks the first one's, whose machine has it."""
        if self.ranks is None:
            return checkpoint.load(self.path, device) if os.path.exists(self.path) else None
        found: Any = None
        if self.writes and os.path.exists(self.path):
            try:
                found = checkpoint.load(self.path)
            except ArgumentError as error:
                found = str(error)
        found = self.ranks.from_first(found)
        if isinstance(found, str):
            raise ArgumentError(found)
        return tree_map(lambda x: x.to(device) if isinstance(x, torch.Tensor) else x, found)

    def after(self, run: Any, info: Any) -> Ending | None:
        """Save when it is time."""
        self.count += 1
        due = (
            self.count % self.every == 0 if isinstance(self.every, int) else time.monotonic() - self.saved >= self.every
        )
        if due:
            self.save(run)
        return None

    def save(self, run: Any) -> None:
        """Write the file, if that is this process's task."""
        if self.writes:
            checkpoint.save(self.path, {"arguments": run.fingerprint} | run.payload())
        self.saved = time.monotonic()

    def finish(self, run: Any) -> None:
        """Write the last state, unless an error ended the run in the middle of an interval."""
        if run.status != "running":
            try:
                self.save(run)
            except OSError:
                run.status = "running"  # so that nobody says it was saved
                raise
            if self.ranks is not None:
                self.ranks.wait()


class Interrupt(Hook):
    """The first Ctrl-C ends the run after the interval under way; a second one raises KeyboardInterrupt at once."""

    def __init__(self, path: Any, says: bool = True) -> None:
        self.path, self.says, self.asked = path, says, False

    def start(self, run: Any) -> None:
        """Take over SIGINT, in the main thread and where Python's own handler is in place."""
        ours = threading.current_thread() is threading.main_thread()
        self.previous = signal.getsignal(signal.SIGINT) if ours else None
        if self.previous is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._handle)
            run.stepper.compiler.interrupted = lambda: self.asked
        else:
            self.previous = None

    def _handle(self, number: int, frame: Any) -> None:
        self.asked = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def after(self, run: Any, info: Any) -> Ending | None:
        """End the run if asked to."""
        return ("interrupted", f"interrupted at t = {run.state.t:g}; {self._kept()}") if self.asked else None

    def _kept(self) -> str:
        return f"saved to {str(self.path)!r}: the same call resumes it" if self.path else "no checkpoint was asked for"

    def finish(self, run: Any) -> None:
        """Give SIGINT back; say what was saved, or pass on a Ctrl-C that came too late to end the run."""
        if self.previous is None:
            return
        signal.signal(signal.SIGINT, self.previous)
        if self.asked and run.status == "interrupted" and self.says:
            with contextlib.suppress(OSError):  # in a pipe, Ctrl-C has ended who reads it
                print(f"\nodegan: {run.message}")
        elif self.asked and run.status == "finished":
            signal.raise_signal(signal.SIGINT)


@contextlib.contextmanager
def around(run: Any) -> Iterator[None]:
    """Start a run's hooks, the last one first, and finish those that have started, each whatever becomes of the others."""
    with contextlib.ExitStack() as stack:
        for hook in reversed(run.hooks):
            hook.start(run)
            stack.callback(hook.finish, run)
        yield


def hooks(
    callback: Any, progress: bool | str, path: Any, every: float, interruptible: bool, ranks: Ranks | None = None
) -> list[Hook]:
    """The hooks of a run, in the order in which they act: the checkpoint after the user's, so that it holds what they did, and
    Ctrl-C last, which says what was saved. They start in reverse, so that the others see the state resumed from. Where there
    are ranks, the first one writes and speaks.
    """
    speaks = ranks is None or ranks.rank == 0
    users = list(callback) if isinstance(callback, Sequence) else [callback] if callback is not None else []
    found: list[Hook] = [User(one) for one in users]
    if progress and speaks:
        found.append(Progress(progress if isinstance(progress, str) else "odegan"))
    if path is not None:
        found.append(Checkpoint(path, every, ranks))
    if interruptible:
        found.append(Interrupt(path, speaks))
    return found
