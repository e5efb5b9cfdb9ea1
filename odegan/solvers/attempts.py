"""One attempted step of an embedded pair as a pure function of tensors, which a compiler sees as one graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch

from odegan.solvers.tableau import combined
from odegan.solvers.torchdiffeq_backend import interpolation_of, solver_class, tableau_of

# (t, y, ...) -> (dy, measurements).
MeasuredSlopes = Callable[..., tuple[torch.Tensor, Any]]
Norm = Callable[[torch.Tensor], torch.Tensor]


class Attempt(NamedTuple):
    """The result of an attempted step.

    Attributes:
        y1: the state at its end.
        slope: the last slope, which is the first of the next step.
        ratio: the error ratio; at most 1 if the step is accepted.
        polynomial: torchdiffeq's interpolation polynomial within the step.
        measured: the measurements at the last stage.
    """

    y1: torch.Tensor
    slope: torch.Tensor
    ratio: torch.Tensor
    polynomial: list[torch.Tensor]
    measured: Any


def make_attempt(name: str, slopes: MeasuredSlopes, norm: Norm) -> Callable[..., Attempt]:
    """One attempted step of an adaptive solver:

    (t, h, end, y, slope, rtol, atol, ...) -> ``Attempt``, where slope is the first stage's and end is t + h. Further arguments
    are passed on to ``slopes``. With the tableau a, b, c and error of ``odegan.solvers.tableau``,

        k_i = f(t + c_i h, y + h sum_j a_ij k_j),   y1 = y + h sum_i b_i k_i,
        ratio = norm(h sum_i error_i k_i / (atol + rtol max(|y|, |y1|))).

    As in torchdiffeq, a stage at the step's end is evaluated just before it.
    """
    cls = solver_class(name)
    tableau = tableau_of(cls)
    polynomial = interpolation_of(cls)

    def attempt(
        t: torch.Tensor,
        h: torch.Tensor,
        end: torch.Tensor,
        y: torch.Tensor,
        slope: torch.Tensor,
        rtol: torch.Tensor,
        atol: torch.Tensor,
        *further: object,
    ) -> Attempt:
        t, h, end = (x.to(y.dtype) for x in (t, h, end))
        # Where the field jumps at the end, as at a change of minibatch, the step must see the value from before.
        before_end = torch.nextafter(end, end - 1)
        stages = [slope]
        measured: Any = None
        for row, c in zip(tableau.a[1:], tableau.c[1:], strict=True):
            # Not t + h: rounding may put it beyond the end.
            at = before_end if c == 1 else t + c * h
            stage, measured = slopes(at, y + h * combined(row, stages), *further)
            stages.append(stage)
        y1 = y + h * combined(tableau.b, stages)
        assert tableau.error is not None
        error = h * combined(tableau.error, stages)
        ratio = norm(error / (atol + rtol * torch.maximum(y.abs(), y1.abs()))).abs()
        return Attempt(y1, stages[-1], ratio, polynomial(y, y1, stages, h), measured)

    return attempt
