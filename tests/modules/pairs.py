"""Pairs of modules."""

import torch
from torch import nn

REAL = torch.randn(8, 2, generator=torch.Generator().manual_seed(1))
LATENT = torch.randn(8, 3)


def plain():
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))


def critic(norm=lambda layer: layer):
    return nn.Sequential(norm(nn.Linear(2, 4)), nn.Tanh(), nn.Linear(4, 1))


def normed():
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 2))


def lived_in(module):
    """With running statistics that are not those of construction."""
    for part in module.modules():
        if getattr(part, "running_mean", None) is not None:
            part.running_mean += torch.linspace(-0.5, 0.5, len(part.running_mean))
            part.running_var *= 2.0
    return module


def half_eval():
    module = lived_in(
        nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
    )
    module[1].eval()
    return module


class Square(torch.autograd.Function):
    """x^2 as a function that torch.autograd alone can differentiate."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**2

    @staticmethod
    def backward(ctx, g):
        return 2 * ctx.saved_tensors[0] * g
