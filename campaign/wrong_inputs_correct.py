"""Correct calls of the library, from which the wrong ones differ; their names are those of the tables."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import torch
from torch import nn

import odegan
from odegan import data, flows, games, metrics, nets, penalties, plots, solvers
from odegan.data.minibatches import Minibatches
from odegan.games import sampling

# What a call in the tables may name.
__all__ = [
    "DATA",
    "FEATURES",
    "GAME",
    "IMAGES",
    "LABELS",
    "LATENT",
    "NAN",
    "Bare",
    "Counting",
    "Minibatches",
    "Noisy",
    "T",
    "Y",
    "data",
    "field",
    "flows",
    "games",
    "gan",
    "math",
    "metrics",
    "move",
    "net",
    "nets",
    "nn",
    "odegan",
    "penalties",
    "plots",
    "run",
    "sampler",
    "sampling",
    "scores",
    "shared",
    "solvers",
    "step",
    "torch",
    "train",
]

T = torch.tensor([0.0, 0.2])
START = torch.ones(2)
DATA = torch.linspace(-1.0, 1.0, 12).reshape(6, 2)
LATENT = torch.ones(6, 3)
IMAGES = torch.linspace(-1.0, 1.0, 64).reshape(4, 1, 4, 4)
LABELS = torch.tensor([0, 0, 1, 1])
FEATURES = flows.fourier_features(2, 4, 1.0)
NAN = math.nan


def net(*widths: int) -> nn.Sequential:
    """Linear layers with tanh between them."""
    layers = [layer for pair in pairwise(widths) for layer in (nn.Linear(*pair), nn.Tanh())]
    return nn.Sequential(*layers[:-1])


def gan(discriminator: Any = None, generator: Any = None, **given: Any) -> odegan.Game:
    """A correct game of networks, but for what is given."""
    return odegan.gan(net(3, 4, 2) if generator is None else generator, discriminator or net(2, 4, 1), **given)


GAME = gan()
Y = torch.linspace(-0.5, 0.5, GAME.n_params)


def run(y0: Any = START, t: Any = T, game: Any = None, **given: Any) -> odegan.Solution:
    """A correct run on the bilinear game, but for what is given; an adaptive solver's without step_size."""
    adaptive = isinstance(given.get("solver"), str) and solvers.get(given["solver"]).adaptive
    known = {} if adaptive else {"step_size": 0.1}
    return odegan.odeint_gan(games.bilinear() if game is None else game, y0, t, **known | given)


def train(y0: Any = Y, t: Any = T, game: Any = GAME, **given: Any) -> odegan.Solution:
    """A correct run on networks, but for what is given."""
    known = {"solver": "euler", "data": DATA, "latent": 3, "batch_size": 3}
    return run(y0, t, game, **known | given)


def field(penalty: Any, batch: Any = (DATA, LATENT)) -> torch.Tensor:
    """The field of the networks with one penalty."""
    return odegan.vector_field(GAME, [penalty])(0.0, Y, batch)


def step(batch: Any = (DATA, LATENT), **given: Any) -> Any:
    """One step of a Stepper on networks."""
    until = {"until": given.pop("until")} if "until" in given else {}
    stepper = odegan.Stepper(GAME, **{"solver": "euler", "step_size": 0.1} | given)
    return stepper.step(stepper.init(Y), batch, **until)


def move(**given: Any) -> odegan.Solution:
    """A correct minimizing movement, but for what is given."""
    known = {"game": games.bilinear(), "y0": torch.ones(2, dtype=torch.float64), "tau": 0.1, "steps": 1}
    return flows.minimizing_movement(**known | given)


def sampler(n: int, seed: int) -> torch.Tensor:
    """Generated images, n of them."""
    return IMAGES[torch.arange(n) % 4]


def scores(draw: Any = sampler, dataset: Any = IMAGES, names: Any = ("fid",), **given: Any) -> Any:
    """Correct scores of a few images, but for what is given."""
    known = {"extractor": nn.Flatten(), "n": 4, "batch_size": 4, "normalization": "none", "progress": False}
    return metrics.scores(draw, dataset, names, **known | given)


class Noisy(nn.Linear):
    """A layer that draws random numbers, which is refused."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """A different output every time."""
        return super().forward(x) + torch.randn_like(x[:, :1])


class Counting(nn.Linear):
    """A layer that writes to a buffer, which is refused."""

    def __init__(self, *sizes: int) -> None:
        super().__init__(*sizes)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Count the calls, and return x."""
        self.calls.add_(1)
        return super().forward(x)


class Bare(nn.Module):
    """Tells neither its input's width nor how it is initialized."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scale the input."""
        return x * self.scale


def shared() -> odegan.Game:
    """Two players with a layer in common."""
    layer = nn.Linear(2, 2)
    return gan(nn.Sequential(layer, nn.Linear(2, 1)), nn.Sequential(nn.Linear(3, 2), layer))
