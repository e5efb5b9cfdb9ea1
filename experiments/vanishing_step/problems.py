"""The games of the vanishing-step experiment, each with its noiseless form and independent minibatches of it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from odegan import Game, games, gan

Draw = Callable[[int, torch.Generator], torch.Tensor]
V = (0.0, 2.0)  # mean of the Gaussian
SIGMA = 0.7  # and its standard deviation


@dataclass(frozen=True)
class Problem:
    """A game twice: ``game`` with ``fixed`` as ``odeint_gan``'s data is the mean over all minibatches of ``sampled`` with
    ``data`` and ``latent``, whose samples are independent. ``batch`` is what a minimizing movement of ``game`` sees.
    """

    name: str
    game: Game
    y0: torch.Tensor
    sampled: Game
    data: Draw
    latent: Any
    fixed: dict[str, Any] = field(default_factory=dict)
    batch: Any = None


def gaussian(device: str) -> Problem:
    """The isotropic Gaussian with the minimax loss: expectations by quadrature, or minibatches of the true laws."""
    mean = torch.tensor(V, dtype=torch.float64)

    def draw(n: int, generator: torch.Generator) -> torch.Tensor:
        return mean + SIGMA * torch.randn(n, len(mean), generator=generator, dtype=torch.float64)

    return Problem(
        "Gaussian",
        games.gaussian(mean, SIGMA),
        torch.tensor([0.5, -0.5, 1.0, 1.0], dtype=torch.float64, device=device),
        games.gaussian(mean, SIGMA, expectation="sampling"),
        draw,
        len(mean),
    )


def network(device: str, seed: int, samples: int = 64, width: int = 8) -> Problem:
    """Two small smooth networks on a fixed set of points of a ring of 8 and a fixed set of latents.

    Minibatches take points and latents from them with replacement, so the whole set is their expectation.
    """
    source = torch.Generator().manual_seed(seed)
    angle = 2 * math.pi * torch.arange(samples, dtype=torch.float64) / 8
    ring = torch.stack([angle.cos(), angle.sin()], dim=1)
    points = ring + 0.1 * torch.randn(samples, 2, generator=source, dtype=torch.float64)
    latents = torch.randn(samples, 2, generator=source, dtype=torch.float64)
    # Smooth activations and float64: orders up to 4 are measured, which kinks and rounding would hide.
    generator = nn.Sequential(nn.Linear(2, width), nn.Tanh(), nn.Linear(width, 2)).double()
    discriminator = nn.Sequential(nn.Linear(2, width), nn.Softplus(), nn.Linear(width, 1)).double()
    game = gan(generator, discriminator)
    return Problem(
        "network",
        game,
        game.init(seed).to(device),
        game,
        _with_replacement(points),
        _with_replacement(latents),
        {"data": _all(points), "latent": _all(latents), "batch_size": samples, "refresh": math.inf},
        (points.to(device), latents.to(device)),
    )


def _with_replacement(rows: torch.Tensor) -> Draw:
    return lambda n, generator: rows[torch.randint(len(rows), (n,), generator=generator)]


def _all(rows: torch.Tensor) -> Draw:
    return lambda n, generator: rows
