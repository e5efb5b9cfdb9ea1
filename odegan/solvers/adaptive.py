"""An adaptive solver over one interval: its last step ends exactly at the end, and it evaluates nothing beyond."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import torch

from odegan.solvers.torchdiffeq_backend import OneAttempt, Scalar, as_function, attempting_class, solver_class


class Recording(Protocol):
    """A function (t, y) -> dy with torchdiffeq's callbacks. proposed: the last step proposed, before any truncation."""

    proposed: float

    def __call__(self, t: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """The field at (t, y)."""


class AdaptiveResult(NamedTuple):
    """The result of an adaptive solve.

    Attributes:
        states: the states at the times reached, the first of which is the start.
        t, y: the end of the last accepted step.
        proposed: the step size to continue with, proposed before any truncation at the interval's end.
        failure: torchdiffeq's error, or None.
    """

    states: list[torch.Tensor]
    t: float
    y: torch.Tensor
    proposed: float
    failure: str | None


def adaptive_solve(
    name: str,
    func: Recording,
    y0: torch.Tensor,
    times: torch.Tensor,
    rtol: Scalar,
    atol: Scalar,
    options: Mapping[str, object],
    attempt: OneAttempt | None = None,
) -> AdaptiveResult:
    """Integrate over times (T,) float64, ending exactly at times[-1] without an evaluation beyond it.

    attempt: computes a whole attempted step, in place of evaluations of ``func``.
    """
    # torchdiffeq's guess of the first step evaluates the field at a time that may lie beyond the end.
    within = as_function(lambda t, y: func(torch.minimum(t, times[-1].to(t)), y), func)
    solver: Any = _class(name, attempt)(func=within, y0=y0, rtol=rtol, atol=atol, **{"step_t": times[-1:], **options})
    states = [y0]
    failure = None
    try:
        solver._before_integrate(times)
        # torchdiffeq's own loop, without its ``integrate``, which would lose the states reached before a failure.
        for t in times[1:]:
            states.append(solver._advance(t))
    except AssertionError as error:
        failure = explain_failure(error)
    state = solver.rk_state
    # With a margin for rounding: the step's length is the difference of two times, and seldom the proposal to the last bit.
    was_cut = func.proposed > float((state.t1 - state.t0).detach()) * (1 + 1e-9)
    proposed = func.proposed if was_cut else float(state.dt.detach())
    return AdaptiveResult(states, float(state.t1.detach()), state.y1, proposed, failure)


def adaptive_integrate(
    name: str,
    func: Recording,
    y0: torch.Tensor,
    times: torch.Tensor,
    rtol: Scalar,
    atol: Scalar,
    options: Mapping[str, object],
    attempt: OneAttempt,
) -> torch.Tensor:
    """The states (T, ...) at times (T,) float64 as from ``torchdiffeq.odeint``, each attempted step computed as a whole."""
    solver: Any = _class(name, attempt)(func=as_function(func, func), y0=y0, rtol=rtol, atol=atol, **options)
    return solver.integrate(times)


def _class(name: str, attempt: OneAttempt | None) -> type:
    return solver_class(name) if attempt is None else attempting_class(solver_class(name), attempt)


def explain_failure(error: AssertionError) -> str:
    """Translate the assertions by which torchdiffeq reports a non-finite field; raise all others again."""
    text = str(error)
    if "max_num_steps" in text:
        raise RuntimeError(f"options max_num_steps: {text}; allow more steps or loosen rtol and atol") from error
    if "underflow in dt" in text or "non-finite values" in text:
        return "the step size fell to zero: the field is not finite, or blows up"
    raise error
