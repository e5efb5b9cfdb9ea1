"""Games, networks and lists of solvers that several test files share; nothing here is taken from the library's inside."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

import odegan

torch.set_num_threads(1)

# A solver from outside the library stands in every table of the tests.
odegan.solvers.register("ralston", a=[[], [2 / 3]], b=[1 / 4, 3 / 4], c=[0, 2 / 3], order=2)
FIXED = ["euler", "midpoint", "heun2", "heun3", "rk4", "rk4_classic", "ralston"]
ADAPTIVE = ["adaptive_heun", "fehlberg2", "bosh3", "dopri5", "dopri8"]
ADAMS = ["explicit_adams", "implicit_adams", "fixed_adams"]
BASELINES = ["alternating", "extragradient", "optimistic", "adam", "rmsprop"]
FIRST_WEIGHT = {"euler": 1, "midpoint": 0, "heun2": 1 / 2, "heun3": 1 / 4, "rk4": 1 / 8, "rk4_classic": 1 / 6}
FIRST_WEIGHT |= {"ralston": 1 / 4}
TIGHT = {"rtol": 1e-10, "atol": 1e-12}
compiles = pytest.mark.skipif(
    torch.__version__.startswith("2.6."),
    reason="torch 2.6 traces no tuple of a class of its own: compile= runs eagerly there",
)
# Both trace as inductor does; the second also traces backward passes, and takes twice the time.
BACKENDS = ["eager", pytest.param("aot_eager", marks=pytest.mark.slow)]
START = torch.tensor([0.7, -0.4, 0.3, 0.9], dtype=torch.float64)


def smooth_game(**extra: Any) -> odegan.Game:
    """Two parameters a player, sines and quartics: nonlinear, smooth, no symmetry that could hide an error."""

    def disc(d: torch.Tensor, g: torch.Tensor, batch: Any) -> torch.Tensor:
        return torch.sin(d[0] * g[0] + d[1] * g[1]) + torch.cos(d[0] - g[1]) + 0.1 * (d**4).sum()

    def gen(d: torch.Tensor, g: torch.Tensor, batch: Any) -> torch.Tensor:
        return -torch.sin(d[0] * g[0] + d[1] * g[1]) + 0.5 * torch.cos(g[0] + 2 * d[1]) + 0.1 * (g**4).sum()

    return odegan.Game(disc, gen, 2, 2, **extra)


def forced(function: Callable[[Any], Any]) -> Callable[[odegan.Game], Any]:
    """A "penalty" that adds -function(t) to the discriminator's part of the field: fields that depend on time."""
    return lambda game: (lambda d, g, batch, t: function(t) * d.sum(), None)


def networks(dtype: torch.dtype = torch.float64, seed: int = 0, width: int = 4) -> tuple[nn.Module, nn.Module]:
    """A small smooth pair (generator, discriminator): latent (B, 3) -> (B, 2) -> (B, 1)."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        generator = nn.Sequential(nn.Linear(3, width), nn.Tanh(), nn.Linear(width, 2))
        discriminator = nn.Sequential(nn.Linear(2, width), nn.Softplus(), nn.Linear(width, 1))
    return generator.to(dtype), discriminator.to(dtype)


def draw(n: int = 8, dtype: torch.dtype = torch.float64, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """One (real (n, 2), latent (n, 3))."""
    source = torch.Generator().manual_seed(seed)
    real = torch.randn(n, 2, generator=source, dtype=torch.float64) + 1
    return real.to(dtype), torch.randn(n, 3, generator=source, dtype=torch.float64).to(dtype)


def always(batch: tuple[torch.Tensor, torch.Tensor]) -> dict[str, Any]:
    """The arguments of a run that sees this minibatch at every draw."""
    return {
        "data": lambda n, generator: batch[0],
        "latent": lambda n, generator: batch[1],
        "batch_size": len(batch[0]),
    }
