"""The table of solvers: every name that ``solver=`` accepts, the facts about it, and ``register`` for your own solvers."""

from __future__ import annotations

from collections.abc import Iterable

from odegan.solvers import baselines, torchdiffeq_backend
from odegan.solvers.facts import facts_of
from odegan.solvers.solver import Solver
from odegan.solvers.tableau import Numbers, Tableau, checked
from odegan.utils.checks import argument_error, choose

# What other libraries call a method.
_ELSEWHERE = {
    **dict.fromkeys(("sgd", "gd", "gda", "simgd"), "euler"),
    **dict.fromkeys(("heun", "rk2", "improved_euler"), "heun2"),
    # Not torchdiffeq's rk4, which is the 3/8 rule.
    **dict.fromkeys(("runge_kutta", "runge-kutta"), "rk4_classic"),
    **dict.fromkeys(("rk45", "dopri", "tsit5", "ode45"), "dopri5"),
    **dict.fromkeys(("altgd", "altgda"), "alternating"),
    **dict.fromkeys(("eg", "extra_gradient"), "extragradient"),
    **dict.fromkeys(("omd", "ogda"), "optimistic"),
    "adamw": "adam",
}

_REMARKS = {
    "euler": "simultaneous gradient steps",
    "midpoint": "two stages, the first with weight 0: no placement='first_stage'",
    "heun2": "Heun: ODE-GAN's RK2",
    "heun3": "Heun's third-order method",
    "rk4": "the 3/8 rule, not the classical tableau",
    "rk4_classic": "the classical tableau: ODE-GAN's RK4",
    "adaptive_heun": "reuses the stage at the predictor as the next first stage: not Heun; see heun2",
    "fehlberg2": "reuses the stage at the predictor as the next first stage",
    "bosh3": "Bogacki-Shampine 3(2)",
    "dopri5": "Dormand-Prince 5(4): the usual choice",
    "dopri8": "Dormand-Prince 8(7): tight tolerances, smooth fields",
    "explicit_adams": "unstable at its default max_order; 5 is usable, of order 4",
    "implicit_adams": "unstable at its default max_order; 5 is usable, of order 4",
    "fixed_adams": "another name of implicit_adams",
    "scipy_solver": "scipy's solve_ivp on the CPU; carries no gradient; may creep where the field jumps (ReLU penalties)",
}
_registered: dict[str, tuple[Tableau, str]] = {}


def names() -> list[str]:
    """The names that ``solver=`` accepts: torchdiffeq's, ``rk4_classic``, registered solvers, and baselines.

    Examples:
        >>> names()[:3]
        ['euler', 'midpoint', 'heun2']
    """
    theirs = torchdiffeq_backend.torchdiffeq_names()
    known = [name for name in _REMARKS if name in theirs or name in torchdiffeq_backend.OURS]
    return [*dict.fromkeys([*known, *theirs, *torchdiffeq_backend.OURS]), *baselines.FACTS]


def get(name: str) -> Solver:
    """The facts about the solver ``name``.

    Those of torchdiffeq's and of registered solvers are read off the class or measured, once.

    Raises:
        ArgumentError: no solver has this name.

    Examples:
        >>> get("heun2").order, get("heun2").stages
        (2, 2)
    """
    # The names are collected at each call, since a solver may be registered at any time.
    choose("solver", name, names(), _ELSEWHERE)
    if name in baselines.FACTS:
        return baselines.FACTS[name]
    remarks = _registered[name][1] if name in _registered else _REMARKS.get(name, "")
    return facts_of(name, torchdiffeq_backend.solver_class(name), remarks)


def describe() -> None:
    """Print the table: name, order, evaluations of the joint field per step, kind, remarks.

    Examples:
        >>> describe()
        solver ...
    """
    rows = [get(name) for name in names()]
    width = max(15, *(len(row.name) for row in rows))
    print(f"{'solver':<{width}} {'order':>5} {'evaluations':>11}  {'step':<9} remark")
    for row in rows:
        order, evaluations = ("-" if x is None else str(x) for x in (row.order, row.evaluations))
        print(f"{row.name:<{width}} {order:>5} {evaluations:>11}  {row.kind:<9} {row.remarks}".rstrip())


def register(
    name: str,
    *,
    a: Iterable[Numbers],
    b: Numbers,
    c: Numbers,
    order: int,
    b_error: Numbers | None = None,
    remarks: str = "",
) -> None:
    """Register an explicit Runge-Kutta method, whose name then works wherever a solver is named.

        k_i = f(t + c_i h, y + h sum_{j<i} a_ij k_j),   y1 = y + h sum_i b_i k_i.

    With ``b_error`` it is an embedded pair, and adaptive: the error estimate of a step is h sum_i (b_i - b_error_i) k_i.
    torchdiffeq reuses the last slope of each step as the first of the next, so a pair with s stages costs s - 1 evaluations per
    attempted step if its last stage is at (t + h, y1). Otherwise such a stage is added, and the pair costs s evaluations.
    States within a step are interpolated by the cubic Hermite polynomial of its ends.

    Args:
        name: a new name; registering the same tableau again under its name is allowed.
        a: s rows below the diagonal, row i with i numbers, so that the first is []; or a square matrix.
        b: weights (s,), with sum 1.
        c: nodes (s,), the row sums of a.
        order: order of y1. The order conditions must hold up to this order, and not for the next.
        b_error: weights (s,) of the embedded solution, with sum 1; None: a fixed-step solver.
        remarks: one line for ``describe``.

    Raises:
        ArgumentError: the name is taken, the tableau is not explicit or not consistent, or its order is not the given one.

    Source: Hairer, Nørsett and Wanner 1993, Solving Ordinary Differential Equations I: theorem II.2.13 (order conditions),
    section II.4 (embedded pairs), section II.6 (Hermite interpolation).

    Examples:
        >>> register("ralston", a=[[], [2 / 3]], b=[1 / 4, 3 / 4], c=[0, 2 / 3], order=2)
        >>> get("ralston").order, get("ralston").stages
        (2, 2)
    """
    if not isinstance(name, str) or not name.isidentifier():
        argument_error("name", name, "a name made of letters, digits and underscores")
    if not isinstance(remarks, str):
        argument_error("remarks", remarks, "a line of text")
    tableau = checked(a, b, c, order, b_error)
    # A notebook's cell is often run twice.
    if registered_tableau(name) == tableau:
        return
    if name in names():
        argument_error("name", name, "a new name: there is another solver of this one")
    made = torchdiffeq_backend.fixed_step_class if b_error is None else torchdiffeq_backend.embedded_pair_class
    # A class of torchdiffeq's own kind: one call, intervals, ensembles and the stability function then all work.
    torchdiffeq_backend.OURS[name] = made(tableau)
    _registered[name] = tableau, remarks


def registered_tableau(name: str) -> Tableau | None:
    """The tableau registered under a name, or None."""
    return _registered[name][0] if name in _registered else None


def embedded_pairs() -> list[str]:
    """The solvers whose tableau is an embedded pair.

    Examples:
        >>> "dopri5" in embedded_pairs()
        True
    """
    facts = (get(name) for name in names())
    return [solver.name for solver in facts if solver.adaptive and not solver.opaque]


def tableau(name: str) -> Tableau:
    """The tableau of an embedded pair, torchdiffeq's or a registered one.

    Examples:
        >>> tableau("adaptive_heun")
        Tableau(a=((), (1.0,)), b=(0.5, 0.5), c=(0.0, 1.0), error=(0.5, -0.5))
    """
    choose("solver", name, embedded_pairs())
    return registered_tableau(name) or torchdiffeq_backend.tableau_of(torchdiffeq_backend.solver_class(name))
