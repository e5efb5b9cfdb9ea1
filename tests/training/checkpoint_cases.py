"""Runs that are saved and resumed."""

import torch
from torch import nn

import odegan

T = torch.tensor([0.0, 0.13, 0.4, 0.66, 0.8], dtype=torch.float64)
DATA = torch.randn(10, 2, generator=torch.Generator().manual_seed(0))


def network(norm=lambda layer: layer, **given):
    torch.manual_seed(0)
    generator = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2))
    discriminator = nn.Sequential(norm(nn.Linear(2, 5)), nn.Tanh(), nn.Linear(5, 1))
    return odegan.gan(generator, discriminator, **given)


GAME = network()


def run(game=GAME, y0=None, t=T, **given):
    known = {"data": DATA, "latent": 3, "batch_size": 4, "solver": "euler", "step_size": 0.1}
    return odegan.odeint_gan(game, game.init() if y0 is None else y0, t, **known | given)
