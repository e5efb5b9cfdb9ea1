"""odegan: train GANs by solving ordinary differential equations."""

from odegan import callbacks, flows, games, penalties, solvers
from odegan.analysis.advisor import advise
from odegan.analysis.path_angle import path_angle
from odegan.analysis.spectrum import spectra, spectrum
from odegan.analysis.stable_step import max_stable_step
from odegan.field import schedules
from odegan.field.schedules import piecewise
from odegan.field.unrolling import unrolled
from odegan.field.vector_field import vector_field
from odegan.games import losses
from odegan.games.augmented import augmented
from odegan.games.batch import Batch
from odegan.games.game import Game
from odegan.games.network import gan
from odegan.games.with_labels import with_labels
from odegan.solvers.stability import stability_function, stability_region
from odegan.training.averages import ExponentialAverage, UniformAverage
from odegan.training.integrate import odeint_gan
from odegan.training.solution import NonFiniteError, Solution
from odegan.training.state import Info, State
from odegan.training.stepper import Stepper
from odegan.utils.checks import ArgumentError
from odegan.utils.distributed import LostRankError

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
    "augmented",
    "callbacks",
    "flows",
    "games",
    "gan",
    "losses",
    "max_stable_step",
    "odeint_gan",
    "path_angle",
    "penalties",
    "piecewise",
    "schedules",
    "solvers",
    "spectra",
    "spectrum",
    "stability_function",
    "stability_region",
    "unrolled",
    "vector_field",
    "with_labels",
]
