"""Checkpoints of a run: when to save, and how to resume."""

from __future__ import annotations

import copy
import os
import time
from collections.abc import Sequence
from typing import Any

import torch
from torch.utils._pytree import tree_map

from odegan.training.extending import fitted, whole_intervals
from odegan.training.hooks.hook import Ending, Hook, RunInProgress
from odegan.training.state import Info
from odegan.utils import checkpoint
from odegan.utils.checks import ArgumentError, one_line
from odegan.utils.distributed import Ranks
from odegan.utils.one_writer import OneWriter
from odegan.utils.warn import warn

LOOK_AHEAD = 64  # refresh intervals


class Checkpoint(Hook):
    """Resume from the file if it exists; save every ``every`` seconds (float) or refresh intervals (int), and at the end.

    unread: names of the parts of the arguments that could not be read; ``force`` assumes that they are unchanged.
    """

    def __init__(
        self,
        path: checkpoint.FilePath,
        every: float,
        ranks: Ranks | None = None,
        unread: Sequence[str] = (),
        force: bool = False,
    ) -> None:
        # Absolute, since a callback may change the working directory.
        self.path = os.path.abspath(path)
        self.every = every
        self.ranks = ranks
        self.unread = list(unread)
        self.force = force
        self.writes = ranks is None or ranks.rank == 0
        self.saved = time.monotonic()
        self._before_cut: dict[str, Any] | None = None
        self._writer: OneWriter | None = None

    def start(self, run: RunInProgress) -> None:
        """Lock the file and, if it exists, compare its arguments and resume from it."""
        try:
            payload = self._load(run.state.y.device)
            if payload is not None:
                self._resume(run, payload)
            elif self.unread and self.writes:
                warn(f"checkpoint: {self._cannot_tell()}, or resume with resume='force'")
            self._keep_before_cut(run)
        except BaseException:
            self._close()
            raise

    def _resume(self, run: RunInProgress, payload: dict[str, Any]) -> None:
        try:
            checkpoint.refuse_difference(self.path, payload["arguments"], run.fingerprint)
            if not isinstance(payload["unread"], list):  # of a damaged file
                raise TypeError(f"unread: got {payload['unread']!r}")
            self.unread = list(dict.fromkeys([*self.unread, *payload["unread"]]))
            if self.unread and not self.force:
                raise ArgumentError(f"checkpoint: {self._cannot_tell()}, or resume='force' where it is")
            self._before_cut = payload["before_cut"]
            run.restore(fitted(payload, run.times, run.stepper.options, self.path))
        except (LookupError, TypeError, AttributeError, RuntimeError, ValueError) as error:
            if isinstance(error, ArgumentError):
                raise
            raise ArgumentError(
                f"checkpoint: got {str(self.path)!r}, in which something is missing or wrong ({one_line(error)})"
            ) from error

    def _cannot_tell(self) -> str:
        return (
            f"cannot tell whether {', '.join(self.unread[:3])}{' and more' if len(self.unread) > 3 else ''} is the same when "
            f"{self.path!r} is resumed: give fingerprint=... with a name for it, or a method __odegan_fingerprint__"
        )

    def _load(self, device: torch.device) -> dict[str, Any] | None:
        """The contents of the file, or None; with several ranks they come from the first, whose machine has the file."""
        if self.ranks is None:
            self._writer = OneWriter(self.path)
            return checkpoint.load(self.path, device) if os.path.exists(self.path) else None
        found: Any = None
        if self.writes:
            try:
                self._writer = OneWriter(self.path)
                found = checkpoint.load(self.path) if os.path.exists(self.path) else None
            except (ArgumentError, OSError) as error:
                found = str(error)
        found = self.ranks.from_first(found)
        if isinstance(found, str):
            raise ArgumentError(found)
        return tree_map(lambda x: x.to(device) if isinstance(x, torch.Tensor) else x, found)

    def due(self, run: RunInProgress) -> int:
        """The next save if saves are counted in intervals, or the last interval before one that is shortened."""
        index = run.state.aux["index"]
        saves = self.every - index % self.every if isinstance(self.every, int) else LOOK_AHEAD
        whole = self._until_cut(run, most=min(saves, LOOK_AHEAD))
        return max(1, min(saves, LOOK_AHEAD) if whole is None else whole)

    def after(self, run: RunInProgress, info: Info) -> Ending | None:
        """Save when it is time."""
        self._keep_before_cut(run)
        counted = isinstance(self.every, int)
        if run.state.aux["index"] % self.every == 0 if counted else time.monotonic() - self.saved >= self.every:
            self.save(run)
        return None

    def _keep_before_cut(self, run: RunInProgress) -> None:
        """Save the state before a shortened last interval, from which a longer run continues."""
        if run.status == "running" and self._until_cut(run, most=1) == 0:
            payload = run.payload()
            self._before_cut = payload | {"callbacks": copy.deepcopy(payload["callbacks"])}

    def _until_cut(self, run: RunInProgress, most: int) -> int | None:
        """How many whole intervals come before a shortened one; None if none comes soon, or none has to be saved here."""
        options = run.stepper.options
        # A single call of torchdiffeq has no intervals: it resumes by starting again.
        if not self.writes or options.one_call(run.minibatches is not None):
            return None
        return whole_intervals(run.state, options, run.times[-1], most)

    def save(self, run: RunInProgress) -> None:
        """Write the file if this is the process that does so."""
        if self.writes:
            known = {"arguments": run.fingerprint, "times": run.times, "unread": self.unread}
            checkpoint.save(self.path, known | {"before_cut": self._before_cut} | run.payload())
        self.saved = time.monotonic()

    def finish(self, run: RunInProgress) -> None:
        """Save the last state, unless an error ended the run within an interval."""
        try:
            if run.status != "running":
                self.save(run)
                if self.ranks is not None:
                    self.ranks.wait()
        except OSError:
            run.status = "running"  # keeps the message from claiming that it was saved
            raise
        finally:
            self._close()

    def _close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None
