"""torchdiffeq as a backend: its solver classes, such classes made from a tableau, and its integration loops.

This is the only file that uses torchdiffeq's private modules.
"""

from __future__ import annotations

import contextlib
import functools
import threading
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

import torch
from torchdiffeq._impl import rk_common
from torchdiffeq._impl.misc import Perturb, _PerturbFunc
from torchdiffeq._impl.odeint import SOLVERS
from torchdiffeq._impl.rk_common import RKAdaptiveStepsizeODESolver, _ButcherTableau
from torchdiffeq._impl.solvers import FixedGridODESolver

from odegan.solvers.tableau import Tableau, combined, with_last_stage

Tensor = torch.Tensor
Scalar: TypeAlias = torch.Tensor | float
Rhs = Callable[[Scalar, torch.Tensor], torch.Tensor]
# (y1, last slope, error ratio, interpolation polynomial) of an attempted step of an embedded pair.
AttemptResult = tuple[torch.Tensor, torch.Tensor, torch.Tensor, list[torch.Tensor]]
# (t, h, t + h, y, first slope) -> the attempted step, or None.
OneAttempt = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor], "AttemptResult | None"]
OneStep = Callable[[Rhs, Scalar, Scalar, torch.Tensor], torch.Tensor]

# Solvers that torchdiffeq lacks: the classical tableau, and registered ones.
OURS: dict[str, type] = {}

# Options of the integration loop, without effect on a single step.
_OF_THE_LOOP = ("interp", "grid_constructor", "step_size")
_lock = threading.Lock()
_running = 0


def solver_class(name: str) -> type:
    """The torchdiffeq solver class of a name."""
    return OURS[name] if name in OURS else SOLVERS[name]


def torchdiffeq_names() -> list[str]:
    """The names in the table of the installed torchdiffeq."""
    return [name for name in SOLVERS if name not in OURS]


@contextlib.contextmanager
def registered() -> Iterator[None]:
    """Within this context ``torchdiffeq.odeint`` knows our names too; the outermost context restores its table."""
    # Counted, since runs may nest or overlap in threads; torchdiffeq's table is the caller's, and must be as before in the end.
    global _running
    with _lock:
        SOLVERS.update(OURS)
        _running += 1
    try:
        yield
    finally:
        with _lock:
            _running -= 1
            for name in OURS if _running == 0 else ():
                SOLVERS.pop(name, None)


class RK4Classic(FixedGridODESolver):
    """The classical fourth-order method."""

    order = 4

    def _step_func(
        self, func: Callable[..., torch.Tensor], t0: torch.Tensor, dt: torch.Tensor, t1: torch.Tensor, y0: torch.Tensor
    ) -> tuple[Tensor, Tensor | None]:
        k1 = func(t0, y0, perturb=Perturb.NEXT if self.perturb else Perturb.NONE)
        half = dt * 0.5
        y2 = y0 + half * k1
        f0 = k1 if self.interp == "cubic" else None  # torchdiffeq uses it for nothing else
        # Slopes are summed as they come: during an evaluation, which needs the most memory, only their sum is kept.
        total = k1
        del k1
        k2 = func(t0 + half, y2)
        y3 = y0 + half * k2
        total = total + 2 * k2
        del y2, k2
        k3 = func(t0 + half, y3)
        y4 = y0 + dt * k3
        total = total + 2 * k3
        del y3, k3
        k4 = func(t1, y4, perturb=Perturb.PREV if self.perturb else Perturb.NONE)
        return (total + k4) * dt * (1 / 6), f0


OURS["rk4_classic"] = RK4Classic


def fixed_step_class(tableau: Tableau) -> type:
    """A torchdiffeq fixed-step solver class with this tableau."""
    stages = list(zip(tableau.a, tableau.c, strict=True))[1:]

    class Explicit(FixedGridODESolver):
        order = tableau.order

        def _step_func(
            self,
            func: Callable[..., torch.Tensor],
            t0: torch.Tensor,
            dt: torch.Tensor,
            t1: torch.Tensor,
            y0: torch.Tensor,
        ) -> tuple[Tensor, Tensor]:
            # As in torchdiffeq: with perturb, the field is evaluated just inside the ends of the step.
            first, last = (Perturb.NEXT, Perturb.PREV) if self.perturb else (Perturb.NONE, Perturb.NONE)
            slopes = [func(t0, y0, perturb=first)]
            for row, c in stages:
                y = y0 + dt * combined(row, slopes)
                slopes.append(func(t1, y, perturb=last) if c == 1 else func(t0 + c * dt, y))
            return dt * combined(tableau.b, slopes), slopes[0]

    return Explicit


def embedded_pair_class(pair: Tableau) -> type:
    """A torchdiffeq adaptive solver class with this embedded pair.

    torchdiffeq reuses the last stage of a step as the first of the next one. This is right only if that stage is at (t + h,
    y1), so other pairs get an extra stage there. Within a step torchdiffeq fits a quartic to the states and slopes at both ends
    and to a midpoint; with y_mid = (y0 + y1) / 2 + h (f0 - f1) / 8 the quartic is the cubic Hermite interpolant.
    """
    tableau = with_last_stage(pair)
    double = functools.partial(torch.tensor, dtype=torch.float64)
    midpoint = double(tableau.b) / 2
    midpoint[0] += 1 / 8
    midpoint[-1] -= 1 / 8

    class Embedded(RKAdaptiveStepsizeODESolver):
        # The controller's exponent is the order of the error estimate, which is O(h^order), not that of y1.
        order = min(pair.order, pair.embedded_order) + 1
        tableau: Any
        mid = midpoint

    Embedded.tableau = _ButcherTableau(
        alpha=double(tableau.c[1:]),
        beta=[double(row) for row in tableau.a[1:]],
        c_sol=double(tableau.b),
        c_error=double(tableau.error),
    )
    return Embedded


def is_fixed_step(cls: type) -> bool:
    """Whether the class steps along a fixed grid, through ``_step_func``."""
    return issubclass(cls, FixedGridODESolver)


def is_embedded_pair(cls: type) -> bool:
    """Whether the class is an explicit Runge-Kutta pair with a tableau."""
    return issubclass(cls, RKAdaptiveStepsizeODESolver)


def tableau_of(cls: type) -> Tableau:
    """The tableau of an embedded pair."""
    found = cls.tableau  # type: ignore[attr-defined]
    rows = ((), *(tuple(row.tolist()) for row in found.beta))
    return Tableau(rows, tuple(found.c_sol.tolist()), (0.0, *found.alpha.tolist()), tuple(found.c_error.tolist()))


def interpolation_of(cls: type) -> Callable[..., list[torch.Tensor]]:
    """(y0, y1, slopes, h) -> the coefficients with which an embedded pair interpolates within a step."""
    midpoint = tuple(cls.mid.tolist())  # type: ignore[attr-defined]

    def polynomial(
        y0: torch.Tensor, y1: torch.Tensor, slopes: list[torch.Tensor], h: torch.Tensor
    ) -> list[torch.Tensor]:
        return rk_common._interp_fit(y0, y1, y0 + h * combined(midpoint, slopes), slopes[0], slopes[-1], h)

    return polynomial


def attempting_class(cls: type, attempt: OneAttempt) -> type:
    """An embedded pair's class that decides on steps as torchdiffeq does, but computes each attempt by one function.

    The control flow (prescribed times, acceptance, the next step size) is torchdiffeq's own code. Only the three functions that
    compute something of the state's size are replaced. If ``attempt`` returns None, torchdiffeq's functions are called.
    """

    def whole_step(
        func: Callable[..., Tensor],
        y0: Tensor,
        f0: Tensor,
        t0: Tensor,
        dt: Tensor,
        t1: Tensor,
        tableau: _ButcherTableau,
    ) -> AttemptResult:
        # It stands in for torchdiffeq's (y1, f1, error, slopes), with the ratio as the error and the polynomial as the slopes.
        found = attempt(t0, dt, t1, y0, f0)
        return rk_common._runge_kutta_step(func, y0, f0, t0, dt, t1, tableau) if found is None else found

    def error_ratio(error: torch.Tensor, *others: object) -> torch.Tensor:
        return error if error.ndim == 0 else rk_common._compute_error_ratio(error, *others)

    class Attempting(cls):
        def _interp_fit(self, y0: Tensor, y1: Tensor, slopes: Tensor | list[Tensor], dt: Tensor) -> list[Tensor]:
            return slopes if isinstance(slopes, list) else super()._interp_fit(y0, y1, slopes, dt)

    rules: Any = RKAdaptiveStepsizeODESolver._adaptive_step
    replaced = {"_runge_kutta_step": whole_step, "_compute_error_ratio": error_ratio}
    # The function's globals are replaced, not the module's: other users of torchdiffeq in this process see no change.
    Attempting._adaptive_step = types.FunctionType(rules.__code__, {**vars(rk_common), **replaced})
    return Attempting


def step_function(cls: type, options: Mapping[str, object], state: torch.Tensor | None = None) -> OneStep:
    """The map (f, t, h, y) -> y1 of a fixed-step class with the solver's own options.

    f is called as torchdiffeq calls it, f(t, y, perturb=...). Given a state like those to come, all steps are made by one
    solver object, so that a solver that keeps a history uses it.
    """
    own = {key: value for key, value in options.items() if key not in _OF_THE_LOOP}

    def made(y: torch.Tensor) -> FixedGridODESolver:
        return cls(func=None, y0=y, rtol=0.0, atol=0.0, **own)

    # Some classes copy their tableau to the state's dtype and device when they are made.
    solver = made(state) if state is not None else None if hasattr(cls, "tableau") else made(torch.empty(0))

    def step(f: Rhs, t: Scalar, h: Scalar, y: torch.Tensor) -> torch.Tensor:
        return y + (solver or made(y))._step_func(f, t, h, t + h, y)[0]

    return step


def ignoring_perturb(f: Rhs) -> Rhs:
    """f(t, y) as a function that also takes torchdiffeq's ``perturb``, the side of a jump to evaluate on, and ignores it."""

    def called(t: Scalar, y: torch.Tensor, perturb: Perturb = Perturb.NONE) -> torch.Tensor:
        return f(t, y)

    return called


def torchdiffeq_step(name: str, options: Mapping[str, object] | None = None) -> OneStep:
    """Like ``one_step``, for a function f that also takes torchdiffeq's ``perturb``."""
    return step_function(solver_class(name), options or {})


def one_step(name: str, options: Mapping[str, object] | None = None) -> OneStep:
    """The map (f, t, h, y) -> y1 of a fixed-step Runge-Kutta solver, by torchdiffeq's own step.

    Examples:
        >>> round(float(one_step("heun2")(lambda t, y: -y, 0.0, 0.1, torch.tensor(1.0))), 6)  # 1 - h + h^2 / 2
        0.905
    """
    step = torchdiffeq_step(name, options)
    return lambda f, t, h, y: step(ignoring_perturb(f), t, h, y)


def as_function(f: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], callbacks: object) -> torch.nn.Module:
    """f in the form that torchdiffeq's solvers call, with the callbacks of another object."""
    function = _PerturbFunc(f)
    for name in ("callback_step", "callback_accept_step", "callback_reject_step"):
        setattr(function, name, getattr(callbacks, name))
    return function


def cubic_interpolation(
    t0: float, y0: torch.Tensor, f0: torch.Tensor, t1: float, y1: torch.Tensor, f1: torch.Tensor, t: float
) -> torch.Tensor:
    """torchdiffeq's cubic Hermite interpolation between two grid points."""
    return FixedGridODESolver._cubic_hermite_interp(None, t0, y0, f0, t1, y1, f1, t)
