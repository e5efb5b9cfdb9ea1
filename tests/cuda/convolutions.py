"""Small pairs of convolutional networks, and a run on them written by hand."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

import odegan
from benchmarks.handwritten import HandWritten

SIZE = 4  # samples of a minibatch
WEIGHT = 0.1
STEP = 0.1


def pair(batch_norm: bool = False, spectral: bool = False) -> tuple[nn.Module, nn.Module]:
    """(generator, discriminator) for images (1, 8, 8). No layer's number of parameters is a multiple of 16, so that views of
    a flat state start anywhere.
    """

    def normalized(layer: nn.Module) -> nn.Module:
        return spectral_norm(layer) if spectral else layer

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        norm = [nn.BatchNorm2d(3)] if batch_norm else []
        generator = nn.Sequential(
            nn.Linear(3, 12),
            nn.Unflatten(1, (3, 2, 2)),
            nn.ConvTranspose2d(3, 3, 4, 2, 1),
            *norm,
            nn.ReLU(),
            nn.ConvTranspose2d(3, 1, 4, 2, 1),
            nn.Tanh(),
        )
        discriminator = nn.Sequential(
            normalized(nn.Conv2d(1, 3, 3, 1, 1)),
            nn.LeakyReLU(0.1),
            normalized(nn.Conv2d(3, 5, 4, 2, 1)),
            nn.LeakyReLU(0.1),
            nn.Conv2d(5, 3, 1),
            nn.Flatten(),
            nn.Linear(48, 1),
        )
    return generator, discriminator


def minibatch(device: torch.device, size: int = SIZE) -> tuple[torch.Tensor, torch.Tensor]:
    """(real, latent)."""
    source = torch.Generator().manual_seed(1)
    real = torch.randn(size, 1, 8, 8, generator=source)
    latent = torch.randn(size, 3, generator=source)
    return real.to(device), latent.to(device)


def run(game: odegan.Game, y0: torch.Tensor, steps: int = 3, **given: Any) -> odegan.Solution:
    """Heun's method with the penalty after the step, on one minibatch throughout unless ``given`` says otherwise."""
    real, latent = minibatch(y0.device)
    known: dict[str, Any] = {
        "data": lambda n, generator: real,
        "latent": lambda n, generator: latent,
        "batch_size": SIZE,
        "solver": "heun2",
        "step_size": STEP,
        "penalties": [odegan.penalties.generator_gradient(WEIGHT)],
        "placement": "after_step",
    }
    return odegan.odeint_gan(game, y0, torch.tensor([0.0, steps * STEP]), **known | given)


def by_hand(device: torch.device, steps: int = 3, **kinds: bool) -> torch.Tensor:
    """The same run by ``torch.autograd.grad`` on the plain modules: y at its end."""
    generator, discriminator = (module.to(device) for module in pair(**kinds))
    peer = HandWritten(generator, discriminator, "heun2", STEP, WEIGHT)
    for _ in range(steps):
        peer.step([minibatch(device)])
    return torch.nn.utils.parameters_to_vector([*peer.disc, *peer.gen]).detach()
