"""Flows in metric spaces: minimising movements in parameters, and the particle flow in a space of laws."""

from odegan.flows.kernels import Features, energy_features, energy_kernel, fourier_features, gaussian_kernel
from odegan.flows.minimizing import InnerProblemError, minimising_movement
from odegan.flows.particles import ParticleGame, particle_game

__all__ = [
    "Features",
    "InnerProblemError",
    "ParticleGame",
    "energy_features",
    "energy_kernel",
    "fourier_features",
    "gaussian_kernel",
    "minimising_movement",
    "particle_game",
]
