"""SN-GAN's residual pairs for color images of 32 and 128 pixels, with spectral normalization as a switch.

A generator's block is conv3(ReLU(BN(conv3(up(ReLU(BN x)))))) beside conv1(up x), where up doubles pixels; a
discriminator's is down(conv3(ReLU(conv3(ReLU x)))) beside down(conv1 x), where down averages 2x2 pixels; its first
one lacks the first ReLU and has conv1(down x) beside it. Where a block keeps size and width the shortcut is x itself.
Batch normalization has scale and shift, eps 2e-5 and decay 0.9 (torch's momentum 0.1). Initialization: Glorot's
uniform with gain sqrt(2) in the branches' convolutions and 1 elsewhere, biases 0.

Source: Miyato et al. 2018, "Spectral Normalization for Generative Adversarial Networks"; all details from the authors'
public code for 32 and for 128 pixels.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import torch
from torch import nn

from odegan.nets.blocks import Residual, conv3, normalize_spectrally
from odegan.nets.init import glorot_uniform_
from odegan.utils.checks import choose, fail, whole

# Channels of the generator from 4x4 pixels on, one doubling from each to the next; of the discriminator from the image on, and
# how many of its blocks halve the size; whether its last layer has a bias.
_GENERATOR = {32: (256, 256, 256, 256), 128: (1024, 1024, 512, 256, 128, 64)}
_DISCRIMINATOR = {32: ((128, 128, 128, 128), 2, False), 128: ((64, 128, 256, 512, 1024, 1024), 5, True)}


def _of_size(table: dict[int, Any], size: Any) -> Any:
    if size not in tuple(table):
        fail("size", size, "32 or 128")
    return table[size]


class Pool(nn.Module):
    """(B, C, H, W) -> (B, C), the sum or the mean over the pixels."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = choose("pool", kind, ("sum", "mean"))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Sum or average."""
        return x.sum((2, 3)) if self.kind == "sum" else x.mean((2, 3))

    def extra_repr(self) -> str:
        """Which of the two."""
        return self.kind


def _norm(features: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(features, eps=2e-5, momentum=0.1)


def _up(n_in: int, n_out: int) -> Residual:
    """A generator's block, (B, n_in, H, W) -> (B, n_out, 2 H, 2 W)."""
    branch = nn.Sequential(
        _norm(n_in),
        nn.ReLU(),
        nn.Upsample(scale_factor=2),
        conv3(n_in, n_out),
        _norm(n_out),
        nn.ReLU(),
        conv3(n_out, n_out),
    )
    return Residual(branch, nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(n_in, n_out, kernel_size=1)))


def _first(n_out: int) -> Residual:
    """A discriminator's first block, (B, 3, H, W) -> (B, n_out, H/2, W/2)."""
    branch = nn.Sequential(conv3(3, n_out), nn.ReLU(), conv3(n_out, n_out), nn.AvgPool2d(2))
    return Residual(branch, nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(3, n_out, kernel_size=1)))


def _down(n_in: int, n_out: int, halve: bool) -> Residual:
    """A later block, (B, n_in, H, W) -> (B, n_out, H/2, W/2), or of the same size."""
    branch = nn.Sequential(nn.ReLU(), conv3(n_in, n_in), nn.ReLU(), conv3(n_in, n_out))
    if not halve and n_in == n_out:
        return Residual(branch)
    shortcut = nn.Sequential(nn.Conv2d(n_in, n_out, kernel_size=1))
    if halve:
        branch.append(nn.AvgPool2d(2))
        shortcut.append(nn.AvgPool2d(2))
    return Residual(branch, shortcut)


class _Network(nn.Sequential):
    def __init__(self, *layers: nn.Module) -> None:
        super().__init__(*layers)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all parameters afresh from torch's global generator."""
        glorot_uniform_(self)
        for part in self:
            if isinstance(part, Residual):
                glorot_uniform_(part.branch, gain=math.sqrt(2))


class Generator(_Network):
    """Latents (B, latent) -> images (B, 3, size, size) in [-1, 1]; 4,276,739 parameters for 32 pixels, 32,150,787 for 128.

    Linear to 4x4, blocks that double the size, BN, ReLU, a 3x3 convolution, tanh.

    Args:
        latent: width of the latent vector; its distribution is N(0, I).
        size: 32 or 128.
    """

    def __init__(self, latent: int = 128, size: int = 32) -> None:
        whole("latent", latent, low=1)
        channels = _of_size(_GENERATOR, size)
        blocks = [_up(n_in, n_out) for n_in, n_out in pairwise(channels)]
        start = [nn.Linear(latent, channels[0] * 4 * 4), nn.Unflatten(1, (channels[0], 4, 4))]
        super().__init__(*start, *blocks, _norm(channels[-1]), nn.ReLU(), conv3(channels[-1], 3), nn.Tanh())


class Discriminator(_Network):
    """Images (B, 3, size, size) -> logits (B, 1), positive for real; 1,053,824 parameters for 32 pixels, 29,017,857 for 128.

    Blocks that halve the size, one or two that keep it, ReLU, the sum over the pixels, a linear layer.

    Args:
        size: 32 or 128.
        spectral_norm: whether every weight is divided by its largest singular value.
        pool: "sum", or "mean" over the pixels.
    """

    def __init__(self, size: int = 32, spectral_norm: bool = True, pool: str = "sum") -> None:
        channels, halvings, bias = _of_size(_DISCRIMINATOR, size)
        later = [_down(n_in, n_out, i + 1 < halvings) for i, (n_in, n_out) in enumerate(pairwise(channels))]
        last = nn.Linear(channels[-1], 1, bias=bias)
        super().__init__(_first(channels[0]), *later, nn.ReLU(), Pool(pool), last)
        if spectral_norm:
            normalize_spectrally(self)
