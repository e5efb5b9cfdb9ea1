"""Particle games on twelve points in the plane, for the tests of the game and of its scheme."""

from __future__ import annotations

import math

import pytest
import torch

from odegan.flows import (
    energy_features,
    fourier_features,
    particle_game,
)

LAMBDA = 0.7


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


DATA = torch.cat([normal(6, 2), normal(6, 2, seed=1) + torch.tensor([3.0, 0.0])])
FEATURES = {
    "fourier": fourier_features(2, 20, 0.8, seed=3),
    "energy": energy_features(torch.cat([DATA, 4 * normal(8, 2, seed=2)]), softening=0.3),
}


def game_of(name: str, n: int = 5):
    return particle_game(DATA, FEATURES[name], n, decay=LAMBDA, start=lambda n, draw: 0.5 * normal(n, 2, seed=4))


def state(game, seed: int = 5) -> torch.Tensor:
    return torch.cat([normal(game.n_disc, seed=seed), normal(game.n_gen, seed=seed + 1)])


both = pytest.mark.parametrize("name", FEATURES)


def closed_form(name: str, w: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """grad D at the points x (n, d), without automatic differentiation."""
    phi = FEATURES[name]
    if name == "fourier":
        angles = x @ phi.frequencies.T
        a, b = w.chunk(2)
        return (b * angles.cos() - a * angles.sin()) @ phi.frequencies / math.sqrt(len(phi.frequencies))
    weights = phi.inverse.T @ w

    def unit(u: torch.Tensor) -> torch.Tensor:
        return u / (u.square().sum(-1, keepdim=True) + phi.softening**2).sqrt()

    pulls = unit(x[:, None] - phi.anchor) - unit(x[:, None] - phi.landmarks)
    return (weights[:, None] * pulls).sum(1) / 2
