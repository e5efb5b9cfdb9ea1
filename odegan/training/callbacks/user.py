"""The user's own callbacks."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from odegan.training.callbacks.hook import Ending, Hook
from odegan.utils.ambient import as_outside, modes_outside
from odegan.utils.checks import argument_error, check_int

if TYPE_CHECKING:
    from odegan.training.state import Info


class User(Hook):
    """The user's callback(state, info), which ends the run by returning True (or a true tensor or numpy value).

    It is called under the modes that were in force around the run. A run that it ended continues when resumed, unless the
    callback's attribute ``over`` is true, which a callback with a saved state can restore.
    """

    ENDING = ("stopped", "the callback returned True")

    def __init__(self, callback: Callable[[Any, Any], Any]) -> None:
        self.callback = callback
        self._every = check_int("callback every", getattr(callback, "every", 1), low=1)
        self._modes: Callable[[], AbstractContextManager[None]] = as_outside

    def start(self, run: Any) -> None:
        """End a run again that the callback remembers to have ended."""
        self._modes = modes_outside()
        if run.status == "running" and getattr(self.callback, "over", False) is True:
            run.status, run.message = self.ENDING

    def due(self, run: Any) -> int:
        """Return how far the next multiple of the callback's attribute ``every`` is; without one it sees every interval."""
        return self._every - run.state.aux["index"] % self._every

    def after(self, run: Any, info: Info) -> Ending | None:
        """Call the user's function, where it is due."""
        if run.state.aux["index"] % self._every:
            return None
        with self._modes():
            said = self.callback(run.state, info)
        return self.ENDING if _is_true(said) else None


def _is_true(said: Any) -> bool:
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
