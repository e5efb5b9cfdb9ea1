"""Every solver by name: what it is, its one-step map, its stability function's raw material.

The only room that touches torchdiffeq's private modules. The Runge-Kutta and Adams methods are torchdiffeq's own; what
is not there (``rk4_classic`` as a name, and the optimisers that GANs are usually trained with) is beside them in one
table.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torchdiffeq._impl.misc import Perturb, _PerturbFunc
from torchdiffeq._impl.odeint import SOLVERS
from torchdiffeq._impl.rk_common import rk4_step_func
from torchdiffeq._impl.solvers import FixedGridODESolver

from odegan.utils.checks import choose

Rhs = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
OneStep = Callable[[Rhs, torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]

_FIXED = ("perturb", "interp", "grid_constructor")
_ADAPTIVE = [
    "min_step",
    "max_step",
    "first_step",
    "step_t",
    "jump_t",
    "safety",
    "ifactor",
    "dfactor",
    "max_num_steps",
    "dtype",
    "norm",
]
_ADAMS = (*_FIXED, "max_order", "max_iters")


@dataclass(frozen=True)
class Solver:
    """The facts of one solver.

    order: of its global error, None where it has none in the usual sense; stages: field evaluations of one (attempted)
    step, None where that varies; adaptive: chooses its own step; one_step: a step needs nothing of the steps before, so
    that minibatches may change between them; torchdiffeq: the library integrates it, else it is a baseline of ours;
    options: the names that ``options=`` takes.
    """

    name: str
    order: int | None
    stages: int | None
    adaptive: bool
    one_step: bool
    remarks: str
    options: tuple[str, ...] = ()
    torchdiffeq: bool = True

    @property
    def fixed_one_step(self) -> bool:
        """Whether it has a Runge-Kutta map (f, t, h, y) -> y1."""
        return self.one_step and not self.adaptive and self.name not in BASELINES


def _fixed(name: str, order: int, stages: int, remarks: str) -> Solver:
    return Solver(name, order, stages, False, True, remarks, _FIXED)


def _adaptive(name: str, order: int, remarks: str) -> Solver:
    stages = len(SOLVERS[name].tableau.alpha)
    return Solver(name, order, stages, True, True, remarks, tuple(_ADAPTIVE))


def _multistep(name: str, remarks: str) -> Solver:
    return Solver(name, None, None, False, False, remarks, _ADAMS)


_OPTIMISERS = ("alternating", "disc_steps")

_TABLE = {
    solver.name: solver
    for solver in [
        _fixed("euler", 1, 1, "simultaneous gradient steps"),
        _fixed("midpoint", 2, 2, "two stages, the first with weight 0: no placement='first_stage'"),
        _fixed("heun2", 2, 2, "Heun: ODE-GAN's RK2"),
        _fixed("heun3", 3, 3, "Heun's third-order method"),
        _fixed("rk4", 4, 4, "the 3/8 rule, not the classical tableau"),
        _fixed("rk4_classic", 4, 4, "the classical tableau: ODE-GAN's RK4"),
        _adaptive("adaptive_heun", 2, "reuses the stage at the predictor as the next first stage: not Heun; see heun2"),
        _adaptive("fehlberg2", 2, "reuses the stage at the predictor as the next first stage"),
        _adaptive("bosh3", 3, "Bogacki-Shampine 3(2)"),
        _adaptive("dopri5", 5, "Dormand-Prince 5(4): the usual choice"),
        _adaptive("dopri8", 8, "Dormand-Prince 8(7): tight tolerances, smooth fields"),
        _multistep("explicit_adams", "unstable at its default max_order; 5 is usable, of order 4"),
        _multistep("implicit_adams", "unstable at its default max_order; 5 is usable, of order 4"),
        _multistep("fixed_adams", "another name of implicit_adams"),
        Solver(
            "scipy_solver",
            None,
            None,
            True,
            False,
            "scipy's solve_ivp on the CPU; carries no gradient; may creep where the field jumps (ReLU penalties)",
            ("solver", "min_step", "max_step"),
        ),
        Solver(
            "alternating", 1, 2, False, True, "D's step, then G's against the new D", ("disc_steps",), torchdiffeq=False
        ),
        Solver("extragradient", 1, 2, False, True, "a step with the field at the Euler point", torchdiffeq=False),
        Solver("optimistic", 1, 1, False, True, "h (2 v_k - v_{k-1}); carries v between steps", torchdiffeq=False),
        Solver(
            "adam",
            None,
            1,
            False,
            True,
            "step_size is the learning rate",
            ("betas", "eps", *_OPTIMISERS),
            torchdiffeq=False,
        ),
        Solver(
            "rmsprop",
            None,
            1,
            False,
            True,
            "step_size is the learning rate",
            ("alpha", "eps", *_OPTIMISERS),
            torchdiffeq=False,
        ),
    ]
}
BASELINES = frozenset(name for name, solver in _TABLE.items() if not solver.torchdiffeq)


def names() -> list[str]:
    """The names that ``solver=`` takes: all of torchdiffeq's, ``rk4_classic``, and the baselines."""
    return list(_TABLE)


def get(name: str) -> Solver:
    """The facts of a solver.

    Examples:
        >>> get("heun2").order, get("heun2").stages
        (2, 2)
    """
    return _TABLE[choose("solver", name, _TABLE)]


def describe() -> None:
    """Print the table: name, order, evaluations a step, kind, remark."""
    print(f"{'solver':<15} {'order':>5} {'evaluations':>11}  {'step':<9} remark")
    for solver in _TABLE.values():
        kind = "adaptive" if solver.adaptive else "fixed" if solver.one_step else "multistep"
        cells = [str(x) if x is not None else "-" for x in (solver.order, solver.stages)]
        print(f"{solver.name:<15} {cells[0]:>5} {cells[1]:>11}  {kind:<9} {solver.remarks}")


class RK4Classic(FixedGridODESolver):
    """The classical fourth-order tableau in torchdiffeq's frame; the arithmetic is torchdiffeq's."""

    order = 4

    def _step_func(self, func: Any, t0: Any, dt: Any, t1: Any, y0: Any) -> Any:
        f0 = func(t0, y0, perturb=Perturb.NEXT if self.perturb else Perturb.NONE)
        return rk4_step_func(func, t0, dt, t1, y0, f0=f0, perturb=self.perturb), f0


@contextlib.contextmanager
def registered() -> Any:
    """Within this context torchdiffeq knows ``rk4_classic`` too; its table is left as it was, also within another run."""
    known = "rk4_classic" in SOLVERS
    SOLVERS["rk4_classic"] = RK4Classic
    try:
        yield
    finally:
        if not known:
            del SOLVERS["rk4_classic"]


def _class(name: str) -> Any:
    return RK4Classic if name == "rk4_classic" else SOLVERS[name]


def one_step(name: str, perturb: bool = False) -> OneStep:
    """The map (f, t, h, y) -> y1 of a fixed-step Runge-Kutta solver: torchdiffeq's own step."""
    stepper = _class(name)(func=None, y0=torch.empty(0), rtol=0.0, atol=0.0, perturb=perturb)

    def step(f: Rhs, t: torch.Tensor, h: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        def func(at: torch.Tensor, state: torch.Tensor, perturb: Any = None) -> torch.Tensor:
            return f(at, state)

        return y + stepper._step_func(func, t, h, t + h, y)[0]

    return step


def first_stage_weight(name: str) -> float:
    """b_1 of a fixed-step solver, read off one step of size 1 in which only the first stage is not zero."""
    calls: list[int] = []

    def first_only(t: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        return torch.ones_like(y) if len(calls) == 1 else torch.zeros_like(y)

    zero, one = torch.zeros((), dtype=torch.float64), torch.ones((), dtype=torch.float64)
    return one_step(name)(first_only, zero, one, torch.zeros(1, dtype=torch.float64)).item()


def cubic_interpolation(t0: float, y0: Any, f0: Any, t1: float, y1: Any, f1: Any, t: float) -> torch.Tensor:
    """torchdiffeq's cubic Hermite interpolation between two grid points."""
    return FixedGridODESolver._cubic_hermite_interp(None, t0, y0, f0, t1, y1, f1, t)


class Tableau(NamedTuple):
    """An embedded pair: stage i is at y + h sum_j beta[i - 1][j] k_j; the error estimate of a step is h sum_i error[i] k_i."""

    beta: tuple[tuple[float, ...], ...]
    error: tuple[float, ...]


def tableau(name: str) -> Tableau:
    """The tableau of an adaptive Runge-Kutta solver, read off torchdiffeq.

    Examples:
        >>> tableau("adaptive_heun")
        Tableau(beta=((1.0,),), error=(0.5, -0.5))
    """
    pairs = [n for n, solver in _TABLE.items() if solver.adaptive and solver.one_step]
    pair = SOLVERS[choose("solver", name, pairs)].tableau
    return Tableau(tuple(tuple(row.tolist()) for row in pair.beta), tuple(pair.c_error.tolist()))


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
    watched = _PerturbFunc(lambda t, y: func(torch.minimum(t, times[-1].to(t)), y))
    for callback in ("callback_step", "callback_accept_step", "callback_reject_step"):
        setattr(watched, callback, getattr(func, callback))
    solver = SOLVERS[name](func=watched, y0=y0, rtol=rtol, atol=atol, **({"step_t": times[-1:]} | options))
    states, failure = [y0], None
    try:
        solver._before_integrate(times)
        for t in times[1:]:
            states.append(solver._advance(t))
    except AssertionError as error:
        failure = explain_failure(error)
    state: Any = solver.rk_state
    was_cut = func.proposed > float(state.t1 - state.t0) * (1 + 1e-9)
    return AdaptiveResult(
        states, float(state.t1), state.y1, func.proposed if was_cut else float(state.dt.detach()), failure
    )


def explain_failure(error: AssertionError) -> str:
    """What torchdiffeq's assertion means where it means a non-finite field; every other is raised again."""
    text = str(error)
    if "max_num_steps" in text:
        raise RuntimeError(f"options max_num_steps: {text}; allow more steps or loosen rtol and atol") from error
    if "underflow in dt" in text or "non-finite values" in text:
        return "the step size fell to zero: the field is not finite, or blows up"
    raise error
