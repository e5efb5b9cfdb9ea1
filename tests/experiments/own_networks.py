"""Networks of a user's own, for ``--networks tests.experiments.own_networks:NAME``, on images of 8 x 8 pixels."""

from __future__ import annotations

import torch
from torch import nn

from odegan.nets import Pair

CONSTANT = 0.123


def generator(latent):
    return nn.Sequential(nn.Linear(latent, 64), nn.Tanh(), nn.Unflatten(1, (1, 8, 8)))


def discriminator(logits=1):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, logits))


def filled(latent):
    """A generator with weights of its own."""
    module = generator(latent)
    for parameter in module.parameters():
        nn.init.constant_(parameter, CONSTANT)
    return module


def normal():
    """A discriminator with an initialization of its own."""

    def initialize(module):
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, 5.0, 0.01)

    return discriminator().apply(initialize)


class LabeledGenerator(nn.Module):
    """G(z, label), with batch normalization."""

    def __init__(self, latent, classes=10):
        super().__init__()
        self.label = nn.Embedding(classes, 4)
        self.out = nn.Linear(latent + 4, 64)
        self.norm = nn.BatchNorm1d(64)

    def forward(self, z, label):
        return torch.tanh(self.norm(self.out(torch.cat([z, self.label(label)], 1)))).reshape(-1, 1, 8, 8)


class LabeledDiscriminator(nn.Module):
    """D(x, label), a projection."""

    def __init__(self, classes=10):
        super().__init__()
        self.label = nn.Embedding(classes, 64)
        self.out = nn.Linear(64, 1)

    def forward(self, x, label):
        return self.out(x.flatten(1)) + (x.flatten(1) * self.label(label)).sum(1, keepdim=True)


def boom(latent):
    raise RuntimeError("out of ideas")


def raises():
    raise RuntimeError("out of pairs")


PAIR = Pair(generator, discriminator, size=8, channels=1)
FILLED = Pair(filled, normal, size=8, channels=1)
RAISES = Pair(boom, discriminator, size=8, channels=1)
NOTHING = Pair(lambda latent: None, discriminator, size=8, channels=1)
TWO_LOGITS = Pair(generator, lambda: discriminator(2), size=8, channels=1)
COLORS = Pair(generator, discriminator, size=8, channels=3)
LARGE = Pair(generator, discriminator, size=16, channels=1)
CLASSES = Pair(LabeledGenerator, LabeledDiscriminator, size=8, channels=1, classes=10)
FEW_CLASSES = Pair(lambda z: LabeledGenerator(z, 3), lambda: LabeledDiscriminator(3), size=8, channels=1, classes=3)
