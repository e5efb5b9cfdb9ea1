"""Solvers by name: torchdiffeq's Runge-Kutta and Adams methods, your own tableaus, and the usual optimizers of GANs."""

from odegan.solvers.adaptive import AdaptiveResult, adaptive_solve, explain_failure
from odegan.solvers.baselines import BASELINES
from odegan.solvers.facts import first_stage_weight
from odegan.solvers.solver import Solver
from odegan.solvers.table import describe, embedded_pairs, get, names, register, tableau
from odegan.solvers.tableau import Tableau
from odegan.solvers.torchdiffeq_backend import cubic_interpolation, one_step, registered, torchdiffeq_step

__all__ = [
    "BASELINES",
    "AdaptiveResult",
    "Solver",
    "Tableau",
    "adaptive_solve",
    "cubic_interpolation",
    "describe",
    "embedded_pairs",
    "explain_failure",
    "first_stage_weight",
    "get",
    "names",
    "one_step",
    "register",
    "registered",
    "tableau",
    "torchdiffeq_step",
]
