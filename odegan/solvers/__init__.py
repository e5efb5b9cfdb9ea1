"""Solvers by name: torchdiffeq's Runge-Kutta and Adams methods, your own tableaus, and the usual optimizers of GANs."""

from odegan.solvers import stability as stability
from odegan.solvers.adaptive import AdaptiveResult, adaptive_integrate, adaptive_solve, explain_failure
from odegan.solvers.attempts import Attempt, make_attempt
from odegan.solvers.baselines import BASELINES
from odegan.solvers.facts import first_stage_weight
from odegan.solvers.solver import Solver
from odegan.solvers.table import describe, embedded_pairs, get, names, register, tableau
from odegan.solvers.tableau import Tableau
from odegan.solvers.torchdiffeq_backend import (
    AttemptResult,
    OneAttempt,
    cubic_interpolation,
    one_step,
    registered,
    torchdiffeq_step,
)

__all__ = [
    "BASELINES",
    "AdaptiveResult",
    "Attempt",
    "AttemptResult",
    "OneAttempt",
    "Solver",
    "Tableau",
    "adaptive_integrate",
    "adaptive_solve",
    "cubic_interpolation",
    "describe",
    "embedded_pairs",
    "explain_failure",
    "first_stage_weight",
    "get",
    "make_attempt",
    "names",
    "one_step",
    "register",
    "registered",
    "tableau",
    "torchdiffeq_step",
]


def __dir__() -> list[str]:
    return __all__
