"""The user's own callbacks."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch

from odegan.training.callbacks.hook import Ending, Hook
from odegan.utils.ambient import as_outside, modes_outside
from odegan.utils.checks import argument_error


class User(Hook):
    """The user's callback(state, info), which ends the run by returning True, a tensor or number of numpy's that is true
    included. It runs under the modes that the program had around the run.

    A run that it had ended goes on when it is resumed, unless its attribute ``over`` is true: one with a state remembers so.
    """

    ENDING = ("stopped", "the callback returned True")

    def __init__(self, callback: Callable[[Any, Any], Any]) -> None:
        self.callback = callback
        self._modes: Callable[[], AbstractContextManager[None]] = as_outside

    def start(self, run: Any) -> None:
        """End a run again that the callback remembers to have ended."""
        self._modes = modes_outside()
        if run.status == "running" and getattr(self.callback, "over", False) is True:
            run.status, run.message = self.ENDING

    def due(self, run: Any) -> int:
        """It sees every interval."""
        return 1

    def after(self, run: Any, info: Any) -> Ending | None:
        """Call it."""
        with self._modes():
            said = self.callback(run.state, info)
        return self.ENDING if _is_true(said) else None


def _is_true(said: Any) -> bool:
    """Whether a callback asks for the end; what is no truth value, as many calls return, does not."""
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
