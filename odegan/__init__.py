"""odegan: train GANs by solving ordinary differential equations."""

from odegan import games, losses, penalties, solvers
from odegan.averages import ExponentialAverage, UniformAverage
from odegan.batch import Batch
from odegan.checks import ArgumentError
from odegan.field import vector_field
from odegan.game import Game
from odegan.integrate import odeint_gan
from odegan.network import gan
from odegan.schedules import piecewise
from odegan.solution import NonFiniteError, Solution
from odegan.stepper import Info, State, Stepper

__version__ = "0.1.0"

__all__ = [
    "ArgumentError",
    "Batch",
    "ExponentialAverage",
    "Game",
    "Info",
    "NonFiniteError",
    "Solution",
    "State",
    "Stepper",
    "UniformAverage",
    "__version__",
    "games",
    "gan",
    "losses",
    "odeint_gan",
    "penalties",
    "piecewise",
    "solvers",
    "vector_field",
]
