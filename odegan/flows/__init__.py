"""Flows in metric spaces: minimizing movements in parameters, and the particle flow in a space of distributions."""

from odegan.flows.kernels import Features, energy_features, energy_kernel, fourier_features, gaussian_kernel
from odegan.flows.minimizing import InnerProblemError, minimizing_movement
from odegan.flows.particles import ParticleGame, particle_game

__all__ = [
    "Features",
    "InnerProblemError",
    "ParticleGame",
    "energy_features",
    "energy_kernel",
    "fourier_features",
    "gaussian_kernel",
    "minimizing_movement",
    "particle_game",
]


def __dir__() -> list[str]:
    return __all__
