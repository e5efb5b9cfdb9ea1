"""The facts about a torchdiffeq solver class, read off its structure or measured on a problem with a known solution.

Measuring covers the solvers of every torchdiffeq release without repeating its table here.
"""

from __future__ import annotations

import functools
import inspect
import itertools
import math
import warnings
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch

from odegan.solvers.order_conditions import order_of
from odegan.solvers.solver import Solver
from odegan.solvers.torchdiffeq_backend import (
    Scalar,
    ignoring_perturb,
    is_embedded_pair,
    is_fixed_step,
    one_step,
    step_function,
    tableau_of,
)

_GIVEN = {"self", "func", "y0", "rtol", "atol", "step_size", "implicit", "kwargs", "unused_kwargs"}
_GRIDS = (4, 8, 16, 32)  # steps over [0, 1]
_ROUNDING = 1e-9  # smaller errors are noise: implicit methods iterate only to about 1e-8
_STEPS = 8  # enough for torchdiffeq's Adams methods to leave their Runge-Kutta start


def first_stage_weight(name: str) -> float:
    """b_1 of a fixed-step solver, measured by one step of size 1 on a field that is nonzero at the first stage only.

    Examples:
        >>> first_stage_weight("heun2"), round(first_stage_weight("rk4"), 6)
        (0.5, 0.125)
    """
    # Counted, not read from t: a tableau may have further nodes c = 0.
    calls: list[int] = []

    def first_only(t: Scalar, y: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        return torch.ones_like(y) if len(calls) == 1 else torch.zeros_like(y)

    return one_step(name)(first_only, _time(0.0), _time(1.0), torch.zeros_like(_start())).item()


@functools.cache
def facts_of(name: str, cls: type, remarks: str) -> Solver:
    """The facts about one solver class."""
    known = Solver(name, None, None, remarks=remarks, options=_options(cls))
    # A solver may be looked up within the user's own forward pass, which must not record the trial.
    with torch.no_grad():
        return _with_facts(known, cls)


def _with_facts(known: Solver, cls: type) -> Solver:
    if is_embedded_pair(cls):
        tableau = tableau_of(cls)
        order = order_of(tableau.matrix, np.array(tableau.b))
        # torchdiffeq reuses the last stage whether or not it is at the new start.
        carries = not tableau.first_same_as_last
        return replace(known, order=order, stages=len(tableau.b) - 1, adaptive=True, carries_stage=carries)
    if not is_fixed_step(cls):
        return replace(known, order=_claimed(cls), adaptive=True, opaque=True)
    try:
        trial = _trial(cls)
    except Exception:  # an unknown kind of solver: only a single call of odeint is safe
        return replace(known, order=_claimed(cls), multistep=True)
    if trial.multistep:
        return replace(known, multistep=True)
    return replace(known, order=_measured_order(cls) or _claimed(cls), stages=trial.evaluations)


def _claimed(cls: type) -> int | None:
    order = getattr(cls, "order", None)
    return order if isinstance(order, int) else None


def _options(cls: type) -> tuple[str, ...]:
    """The keyword arguments of the class and of its bases, to which it passes unknown ones."""
    parameters = (inspect.signature(base).parameters for base in cls.__mro__ if "__init__" in vars(base))
    return tuple(name for name in dict.fromkeys(itertools.chain(*parameters)) if name not in _GIVEN)


def _slope(t: Scalar, y: torch.Tensor) -> torch.Tensor:
    """y' = y^2 cos t, nonlinear and time-dependent; with y(0) = 1/2 the solution is y = 1 / (2 - sin t)."""
    return y**2 * torch.cos(torch.as_tensor(t, dtype=torch.float64, device="cpu"))


def _start() -> torch.Tensor:
    return torch.full((1,), 0.5, dtype=torch.float64, device="cpu")


def _time(value: float) -> torch.Tensor:
    return torch.tensor(value, dtype=torch.float64, device="cpu")


class _Trial(NamedTuple):
    """evaluations: per step, None if they vary; multistep: whether a step depends on earlier ones."""

    evaluations: int | None
    multistep: bool


def _trial(cls: type) -> _Trial:
    """Compare the steps of one solver object with the same steps of fresh objects, which have no history."""
    calls: list[int] = [0]

    def counted(t: Scalar, y: torch.Tensor) -> torch.Tensor:
        calls[-1] += 1
        return _slope(t, y)

    y = _start()
    h = _time(1 / _STEPS)
    lasting = step_function(cls, {}, state=y)
    multistep = False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about implicit iterations that did not converge
        for k in range(_STEPS):
            fresh = step_function(cls, {}, state=y)(ignoring_perturb(_slope), k * h, h, y)
            y = lasting(ignoring_perturb(counted), k * h, h, y)

            multistep = multistep or not torch.allclose(y, fresh, rtol=1e-12, atol=0)
            calls.append(0)
    counts = set(calls[:-1])
    return _Trial(counts.pop() if len(counts) == 1 else None, multistep)


def _measured_order(cls: type) -> int | None:
    """The slope of log error against log step between the two finest grids whose errors exceed rounding."""
    errors = [_error(cls, n) for n in _GRIDS]
    pairs = [(a, b) for a, b in itertools.pairwise(errors) if min(a, b) > _ROUNDING and math.isfinite(max(a, b))]
    if not pairs:
        return None
    # Each grid halves the step of the one before, hence the logarithm to base 2.
    slope = math.log2(pairs[-1][0] / pairs[-1][1])
    return round(slope) if abs(slope - round(slope)) < 0.3 and round(slope) > 0 else None


def _error(cls: type, steps: int) -> float:
    y = _start()
    h = _time(1 / steps)
    step = step_function(cls, {}, state=y)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for k in range(steps):
            y = step(ignoring_perturb(_slope), k * h, h, y)
    return abs(y.item() - 1 / (2 - math.sin(1)))
