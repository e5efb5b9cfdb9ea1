"""Solvers by name: Runge-Kutta and Adams methods of torchdiffeq, and the optimizers that GANs are usually trained with."""

from odegan.solvers.table import (
    BASELINES,
    AdaptiveResult,
    Solver,
    Tableau,
    adaptive_solve,
    cubic_interpolation,
    describe,
    explain_failure,
    first_stage_weight,
    get,
    names,
    one_step,
    registered,
    tableau,
)

__all__ = [
    "BASELINES",
    "AdaptiveResult",
    "Solver",
    "Tableau",
    "adaptive_solve",
    "cubic_interpolation",
    "describe",
    "explain_failure",
    "first_stage_weight",
    "get",
    "names",
    "one_step",
    "registered",
    "tableau",
]
