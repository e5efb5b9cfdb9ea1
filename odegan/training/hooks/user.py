"""``User``: a hook that calls the user's own callback."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import numpy as np
import torch

from odegan.training.hooks.hook import Ending, Hook, RunInProgress
from odegan.training.state import Callback, Info
from odegan.utils.ambient import as_outside, current, is_plain, modes_outside, restore
from odegan.utils.checks import ArgumentError, argument_error, check_int


class User(Hook):
    """The user's callback(state, info), which ends the run by returning True (or a true tensor or numpy value).

    It is called under the modes that were in force around the run, and changes to them end with it. A run that it ended
    continues when resumed, unless the callback's attribute ``over`` is true, which a callback with a saved state can restore.
    """

    ENDING = ("stopped", "the callback returned True")

    def __init__(self, callback: Callback) -> None:
        self.callback = callback
        # Read once: changing it during a run would make the segments' ends depend on Python.
        self._every = check_int("callback every", getattr(callback, "every", 1), low=1)
        self._modes: Callable[[], AbstractContextManager[None]] = as_outside

    def start(self, run: RunInProgress) -> None:
        """End the run at once if the callback, restored from a checkpoint, had ended it before."""
        # Taken at the run's start: only now the modes around it are known.
        self._modes = modes_outside()
        self._within = current()
        if run.status == "running" and getattr(self.callback, "over", False) is True:
            run.status, run.message = self.ENDING

    def due(self, run: RunInProgress) -> int:
        """The number of intervals up to the next multiple of the callback's attribute ``every`` (default 1)."""
        return self._every - run.state.aux["index"] % self._every

    def after(self, run: RunInProgress, info: Info) -> Ending | None:
        """Call the user's function if it is due."""
        if run.state.aux["index"] % self._every:
            return None
        version = run.state.y._version
        with self._modes():
            said = self.callback(run.state, info)
        if run.state.y._version != version:
            raise ArgumentError(
                "callback: got one that writes to state.y; it must change a .clone(), or the game be a Game(project=...)"
            )
        # Comparing all modes after each callback would cost more than a small step.
        if not is_plain():
            restore(self._within)
        return self.ENDING if _is_true(said) else None


def _is_true(said: object) -> bool:
    """Whether a returned value asks to end the run; a value without a truth value does not."""
    if (isinstance(said, torch.Tensor) and said.dtype == torch.bool) or (
        isinstance(said, np.ndarray) and said.dtype == bool
    ):
        if said.numel() != 1 if isinstance(said, torch.Tensor) else said.size != 1:
            argument_error(
                "callback",
                f"{tuple(said.shape)} truth values",
                "a function that returns one: take .any() or .all() of them",
            )
        return bool(said)
    return isinstance(said, bool | np.bool_) and bool(said)
