"""odegan: train GANs by solving ordinary differential equations."""

from odegan import flows, games, losses, penalties, solvers
from odegan.advisor import advise
from odegan.averages import ExponentialAverage, UniformAverage
from odegan.batch import Batch
from odegan.checks import ArgumentError
from odegan.distributed import LostRankError
from odegan.field import vector_field
from odegan.game import Game
from odegan.integrate import odeint_gan
from odegan.network import gan
from odegan.path import path_angle
from odegan.schedules import piecewise
from odegan.solution import NonFiniteError, Solution
from odegan.spectrum import spectra, spectrum
from odegan.stability import stability_function, stability_region
from odegan.stable_step import max_stable_step
from odegan.state import Info, State
from odegan.stepper import Stepper
from odegan.unrolled import unrolled

__version__ = "0.1.0"

__all__ = [
    "ArgumentError",
    "Batch",
    "ExponentialAverage",
    "Game",
    "Info",
    "LostRankError",
    "NonFiniteError",
    "Solution",
    "State",
    "Stepper",
    "UniformAverage",
    "__version__",
    "advise",
    "flows",
    "games",
    "gan",
    "losses",
    "max_stable_step",
    "odeint_gan",
    "path_angle",
    "penalties",
    "piecewise",
    "solvers",
    "spectra",
    "spectrum",
    "stability_function",
    "stability_region",
    "unrolled",
    "vector_field",
]
