"""An adaptive solver over one interval: it ends exactly on the interval's end and evaluates nothing beyond it."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

from odegan.solvers.torchdiffeq_backend import as_function, solver_class


class AdaptiveResult(NamedTuple):
    """states: at the times reached, the first being the start; (t, y): the last accepted step's end; proposed: the step
    for what follows, the last one not cut off by the end; failure: torchdiffeq's complaint, or None.
    """

    states: list[torch.Tensor]
    t: float
    y: torch.Tensor
    proposed: float
    failure: str | None


def adaptive_solve(
    name: str, func: Any, y0: torch.Tensor, times: torch.Tensor, rtol: Any, atol: Any, options: dict[str, Any]
) -> AdaptiveResult:
    """Integrate over times (T,) float64, ending exactly on times[-1] and evaluating nothing beyond it.

    ``func`` carries torchdiffeq's callbacks; func.proposed holds the step last proposed, before any truncation.
    """
    # torchdiffeq guesses its first step by an evaluation that may lie beyond the end.
    within = as_function(lambda t, y: func(torch.minimum(t, times[-1].to(t)), y), func)
    solver: Any = solver_class(name)(func=within, y0=y0, rtol=rtol, atol=atol, **({"step_t": times[-1:]} | options))
    states, failure = [y0], None
    try:
        solver._before_integrate(times)
        for t in times[1:]:
            states.append(solver._advance(t))
    except AssertionError as error:
        failure = explain_failure(error)
    state = solver.rk_state
    was_cut = func.proposed > float(state.t1 - state.t0) * (1 + 1e-9)
    proposed = func.proposed if was_cut else float(state.dt.detach())
    return AdaptiveResult(states, float(state.t1), state.y1, proposed, failure)


def explain_failure(error: AssertionError) -> str:
    """What torchdiffeq's assertion means where it means a non-finite field; every other is raised again."""
    text = str(error)
    if "max_num_steps" in text:
        raise RuntimeError(f"options max_num_steps: {text}; allow more steps or loosen rtol and atol") from error
    if "underflow in dt" in text or "non-finite values" in text:
        return "the step size fell to zero: the field is not finite, or blows up"
    raise error
