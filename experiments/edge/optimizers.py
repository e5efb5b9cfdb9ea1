"""Adam and RMSProp with their mean squares held fixed: linear methods on a rescaled field, and their regions of stability."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch

from odegan.training.state import Info, State

MOMENTUM: Mapping[str, float] = {"rmsprop": 0.0, "adam": 0.9}  # the defaults of the solvers
SQUARES_DECAY = 0.999  # Adam's second beta
EPS = 1e-8


def largest_step_with_momentum(eigenvalue: complex, momentum: float) -> float:
    """The largest stable step h of heavy-ball momentum on y' = lambda y.

    A step is m <- beta m + (1 - beta) lambda y, y <- y + h m. Its growth factors are the roots of
    z^2 - (1 + beta + (1 - beta) w) z + beta with w = h lambda. By the Schur-Cohn criterion both are in the unit disk where
    (1 + c Re w)^2 + (Im w)^2 <= 1 with c = (1 - beta) / (1 + beta): an ellipse from -2 / c to 0 on the real axis, as high as
    the circle of Euler's method. Hence h = -2 c Re lambda / (c^2 (Re lambda)^2 + (Im lambda)^2).

    >>> largest_step_with_momentum(-4.0, 0.0), round(largest_step_with_momentum(-4.0, 0.9), 6)
    (0.5, 9.5)
    """
    if eigenvalue == 0:
        return math.inf
    c = _ratio(momentum)
    return max(0.0, -2 * c * eigenvalue.real / (c**2 * eigenvalue.real**2 + eigenvalue.imag**2))


def stability(w: torch.Tensor, momentum: float) -> torch.Tensor:
    """A real function of w = h lambda (...), complex: at most 1 where a step of heavy-ball momentum is stable."""
    return torch.complex(1 + _ratio(momentum) * w.real, w.imag).abs()


def _ratio(momentum: float) -> float:
    return (1 - momentum) / (1 + momentum)


class Scales:
    """A callback that keeps, at the moments, the factors (E, P) of an optimizer's last step.

    It multiplied the field's entries by these, with Adam's momentum their average.
    """

    def __init__(self, times: Sequence[float]) -> None:
        self.times = times
        self.kept: list[torch.Tensor] = []

    def __call__(self, state: State, info: Info) -> None:
        """Keep them where a moment has come."""
        memory = state.aux.get("memory") or {}
        # Close, not equal: both times are products of a step in floating point.
        if "second" in memory and any(math.isclose(state.t, t) for t in self.times):
            # Adam counts its steps, to correct the mean squares for their start at zero; RMSProp does neither.
            started = 1 - SQUARES_DECAY ** float(memory["count"]) if "count" in memory else 1.0
            self.kept.append(1 / ((memory["second"] / started).sqrt() + EPS))

    def state_dict(self) -> dict[str, list[torch.Tensor]]:
        """The state for a checkpoint."""
        return {"kept": self.kept}

    def load_state_dict(self, state: dict[str, list[torch.Tensor]]) -> None:
        """Restore the state from a checkpoint."""
        self.kept = list(state["kept"])
