"""odegan: train GANs by solving ordinary differential equations."""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from odegan import callbacks, data, export, flows, games, metrics, nets, penalties, solvers
    from odegan import plots as plots
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
    from odegan.training.module_stepper import ModuleStepper
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
    "ModuleStepper",
    "NonFiniteError",
    "Solution",
    "State",
    "Stepper",
    "UniformAverage",
    "__version__",
    "advise",
    "augmented",
    "callbacks",
    "data",
    "export",
    "flows",
    "games",
    "gan",
    "losses",
    "max_stable_step",
    "metrics",
    "nets",
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

# Each name is imported at its first use: torchdiffeq, with the half second of its scipy.integrate, only to integrate.
_NAMES_OF = {
    "analysis.advisor": "advise",
    "analysis.path_angle": "path_angle",
    "analysis.spectrum": "spectra spectrum",
    "analysis.stable_step": "max_stable_step",
    "field.schedules": "piecewise",
    "field.unrolling": "unrolled",
    "field.vector_field": "vector_field",
    "games.augmented": "augmented",
    "games.batch": "Batch",
    "games.game": "Game",
    "games.network": "gan",
    "games.with_labels": "with_labels",
    "solvers.stability": "stability_function stability_region",
    "training.averages": "ExponentialAverage UniformAverage",
    "training.integrate": "odeint_gan",
    "training.module_stepper": "ModuleStepper",
    "training.solution": "NonFiniteError Solution",
    "training.state": "Info State",
    "training.stepper": "Stepper",
    "utils.checks": "ArgumentError",
    "utils.distributed": "LostRankError",
}
_PACKAGES = (
    *("callbacks", "data", "export", "flows", "games", "metrics", "nets", "penalties", "plots", "solvers"),
    *("analysis", "field", "modules", "training", "utils"),  # reachable, but not in dir(odegan)
)
_MODULES = {name: name for name in _PACKAGES} | {"losses": "games.losses", "schedules": "field.schedules"}
_HOME_OF = {name: module for module, names in _NAMES_OF.items() for name in names.split()}

if not TYPE_CHECKING:  # a type checker would take any name for defined

    def __getattr__(name: str) -> object:
        if name in _MODULES:
            found = importlib.import_module(f"odegan.{_MODULES[name]}")
        elif name in _HOME_OF:
            found = getattr(importlib.import_module(f"odegan.{_HOME_OF[name]}"), name)
        else:
            raise AttributeError(f"module 'odegan' has no attribute {name!r}", name=name, obj=sys.modules[__name__])
        globals()[name] = found
        return found


def __dir__() -> list[str]:
    return [*__all__, "plots"]  # which import * leaves out, as it needs matplotlib
