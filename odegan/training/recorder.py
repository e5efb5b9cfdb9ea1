"""The function passed to torchdiffeq, which counts evaluations and records every step because torchdiffeq returns no
statistics.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch

from odegan.solvers.torchdiffeq_backend import Scalar
from odegan.training.statistics import StepRecord
from odegan.training.time_grid import to_float
from odegan.utils.checks import argument_error

Evaluate = Callable[[Scalar, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]
# losses (..., 2), |f| (...), and whether both are finite (...).
Measured = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
Norm = Callable[[torch.Tensor], torch.Tensor]
OnStep = Callable[[float, torch.Tensor, StepRecord], None]


class RecordingField:
    """``recording(t, y)`` evaluates the field and records the steps.

    torchdiffeq looks up callback_step, callback_accept_step and callback_reject_step as attributes of the function, and calls
    ``norm`` once per step on the ratio of error to tolerance. Together these determine everything about a step.

    Args:
        evaluate: (t, y) -> (dy, losses (..., 2)).
        adaptive: whether the solver estimates errors.
        on_step: called as on_step(t, y, record) when a step has ended at (t, y).
        norm: the norm for the solver to use; None: root mean square, for ensembles the maximum over the members.
    """

    def __init__(self, evaluate: Evaluate, adaptive: bool, on_step: OnStep, norm: Norm | None = None) -> None:
        self.evaluate = evaluate
        self.on_step = on_step
        self.user_norm = norm
        self.nfe = 0
        self.rejected = 0
        self.t = math.nan
        self.proposed = math.nan
        self._adaptive = adaptive
        self._first: Any = None  # losses, |f| and finiteness at the first stage of the step
        self._last: Any = None
        self._finite: Any = True
        self._open: tuple[float, float] | None = None  # (t, h) of the current fixed step
        self._done: StepRecord | None = None  # an accepted step whose end is not known yet
        self._ratio = math.nan
        if adaptive:
            self.callback_accept_step = self._accept
            self.callback_reject_step = self._reject

    def __call__(self, t: Scalar, y: torch.Tensor) -> torch.Tensor:
        dy, losses = self.evaluate(t, y)
        self.nfe += 1
        self._last = measurements(dy, losses)
        finite = self._last[2]
        # Kept on the device: reading it at every evaluation would wait for the kernels.
        self._finite = finite if self._finite is True else self._finite & finite
        if self._first is None:
            self._first = self._last
        return dy

    def norm(self, scaled: torch.Tensor) -> torch.Tensor:
        """The solver's norm, whose value in a step is the step's error ratio."""
        value = rms_norm(scaled) if self.user_norm is None else _checked(self.user_norm(scaled))
        self._ratio = abs(to_float(value))
        return value

    def attempted(self, evaluations: int, ratio: torch.Tensor, last: Measured) -> None:
        """Record an attempted step that was computed as a whole: its error ratio, and the measurements at its last stage."""
        self.nfe += evaluations
        self._ratio = to_float(ratio)
        self._last = last

    def callback_step(self, t0: Scalar, y0: torch.Tensor, dt: Scalar) -> None:
        """Called by torchdiffeq before a step from (t0, y0)."""
        t = to_float(t0)
        self.finish(t, y0)
        self.t = t
        self.proposed = to_float(dt)
        if not self._adaptive:
            self._open = (t, self.proposed)
            self._first = None
            self._finite = True

    def finish(self, t: float, y: torch.Tensor) -> None:
        """End the current step, if any, at (t, y)."""
        if self._open is not None:
            losses, size, _ = self._first
            finite = self._finite & torch.isfinite(y.detach()).all(-1)
            self._done = StepRecord(*self._open, losses, size, math.nan, finite)
            self._open = None
        if self._done is not None:
            record = self._done
            self._done = None
            self.on_step(t, y, record)

    def failed_step(self) -> StepRecord:
        """The record of the step at which the solver failed."""
        # The step's first evaluation, if that is what failed: later stages then start from numbers that are not finite.
        losses, size, _ = self._first if self._first and not bool(self._first[2].all()) else self._last
        finite = torch.zeros_like(size, dtype=torch.bool)
        return StepRecord(self.t, self.proposed, losses, size, self._ratio, finite)

    def _accept(self, t0: Scalar, y0: torch.Tensor, dt: Scalar) -> None:
        losses, size, finite = self._first
        self._done = StepRecord(to_float(t0), to_float(dt), losses, size, self._ratio, finite)
        self._first = self._last  # the last stage is the first of the next step

    def _reject(self, t0: Scalar, y0: torch.Tensor, dt: Scalar) -> None:
        self.rejected += 1


def _checked(value: torch.Tensor) -> torch.Tensor:
    """The value of a user's norm, if it is one number."""
    if not isinstance(value, torch.Tensor | int | float) or (isinstance(value, torch.Tensor) and value.numel() != 1):
        argument_error("options norm", f"one with the value {value!r}", "a function whose value is one number")
    return value


def measurements(dy: torch.Tensor, losses: torch.Tensor) -> Measured:
    """What is recorded of an evaluation."""
    # The losses too: an infinite loss can have a finite gradient, as with a saturated discriminator.
    finite = torch.isfinite(dy).all(-1) & torch.isfinite(losses).all(-1)
    return losses.detach(), torch.linalg.vector_norm(dy.detach(), dim=-1), finite


def rms_norm(scaled: torch.Tensor) -> torch.Tensor:
    """Root mean square over the parameters; the largest over the members of an ensemble."""
    return scaled.abs().pow(2).mean(-1).sqrt().max()
