"""``Best``: a callback that keeps the best state so far."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypedDict

import numpy as np
import torch

from odegan.callbacks.periodic import Periodic
from odegan.training.state import Info, State
from odegan.utils.checks import argument_error, check_bool, check_function, check_number
from odegan.utils.keywords import keywords


class BestState(TypedDict):
    """What a checkpoint keeps of a ``Best``."""

    y: torch.Tensor | None
    score: float
    t: float


class Best(Periodic):
    """Keeps the state y with the best score so far, for example the lowest FID; it resumes with the run's checkpoint.

    Args:
        score: function of y -> number. nan never counts as best; infinite values are compared as numbers.
        every: number of refresh intervals between scores.
        larger: whether larger scores are better.

    Attributes:
        y: the best state, of y's shape; None before the first.
        score: its score, a number (the argument of the same name is the function).
        t: its time.

    Examples:
        >>> import torch, odegan
        >>> best = Best(lambda y: float(y.norm()), every=1)
        >>> run = {"solver": "heun2", "step_size": 0.1, "callback": best}
        >>> sol = odegan.odeint_gan(odegan.games.bilinear(), torch.tensor([1.0, 0.0]), steps=4, **run)
        >>> best.t
        0.1
    """

    @keywords()
    def __init__(
        self, score: Callable[[torch.Tensor], float | torch.Tensor], every: int = 100, larger: bool = False
    ) -> None:
        super().__init__(every)
        check_function("score", score, 1, "a function of y")
        self._function = score
        self.larger = check_bool("larger", larger)
        self.y: torch.Tensor | None = None
        self.score = -math.inf if larger else math.inf
        self.t = math.nan

    def __call__(self, state: State, info: Info) -> None:
        """Score the state, and keep it if it is the best so far."""
        y = state.y.detach()
        value = _number(self._function(y))
        if value > self.score if self.larger else value < self.score:
            self.y = y.clone()
            self.score = value
            self.t = state.t

    def state_dict(self) -> BestState:
        """The state for a checkpoint."""
        return {"y": self.y, "score": self.score, "t": self.t}

    def load_state_dict(self, kept: BestState) -> None:
        """Restore the state from a checkpoint."""
        self.y = kept["y"]
        self.score = kept["score"]
        self.t = kept["t"]

    def __odegan_fingerprint__(self) -> dict[str, object]:
        """The settings that must be equal to resume."""
        # The stored score was compared in this direction. The function and ``every`` may change on resuming.
        return {"larger": self.larger}


def _number(found: object) -> float:
    """A score as a float, which may be infinite or nan."""
    if isinstance(found, torch.Tensor | np.ndarray) and len(found.reshape(-1)) != 1:
        argument_error("score", found, "a function whose values are numbers")
    plain = found.item() if isinstance(found, torch.Tensor | np.ndarray | np.generic) else found
    return plain if isinstance(plain, float) and not math.isfinite(plain) else check_number("score", plain)
