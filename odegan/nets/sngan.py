"""SN-GAN's residual pairs for color images of 32 and 128 pixels, with optional spectral normalization.

A generator's block is conv3(ReLU(BN(conv3(up(ReLU(BN x)))))) + conv1(up x), where up doubles pixels; a discriminator's is
down(conv3(ReLU(conv3(ReLU x)))) + down(conv1 x), where down averages 2x2 pixels. The discriminator's first block lacks the
first ReLU and has the shortcut conv1(down x). If a block keeps size and width, the shortcut is x itself. Batch normalization
has scale and shift, eps 2e-5 and decay 0.9 (torch's momentum 0.1). Initialization: Glorot's uniform with gain sqrt(2) in the
branches' convolutions and 1 elsewhere, biases 0.

Source: Miyato et al. 2018, "Spectral Normalization for Generative Adversarial Networks"; all details from the authors'
public code for 32 and for 128 pixels.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import NamedTuple, TypeVar

import torch
from torch import nn

from odegan.nets.blocks import Residual, conv3, normalize_spectrally
from odegan.nets.init import glorot_uniform_
from odegan.nets.network import Network
from odegan.utils.checks import argument_error, check_int, choose

T = TypeVar("T")


class _Critic(NamedTuple):
    """A discriminator: channels from the image on, number of blocks that halve the size, whether the last layer has a bias."""

    channels: tuple[int, ...]
    halvings: int
    bias: bool


# Channels of the generator from 4x4 pixels on; each entry doubles the size.
_GENERATOR = {32: (256, 256, 256, 256), 128: (1024, 1024, 512, 256, 128, 64)}
_DISCRIMINATOR = {
    32: _Critic((128, 128, 128, 128), halvings=2, bias=False),
    128: _Critic((64, 128, 256, 512, 1024, 1024), halvings=5, bias=True),
}


def _of_size(table: dict[int, T], size: int) -> T:
    if size not in tuple(table):
        argument_error("size", size, "32 or 128")
    return table[size]


class Pool(nn.Module):
    """(B, C, H, W) -> (B, C), the sum or the mean over the pixels."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = choose("pool", kind, ("sum", "mean"))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) -> (B, C)."""
        return x.sum((2, 3)) if self.kind == "sum" else x.mean((2, 3))

    def extra_repr(self) -> str:
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
    # No ReLU first: images lie in [-1, 1], and it would discard their negative half.
    branch = nn.Sequential(conv3(3, n_out), nn.ReLU(), conv3(n_out, n_out), nn.AvgPool2d(2))
    # A 1x1 convolution commutes with the average: this is the later blocks' shortcut, at a quarter of its cost.
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


def glorot_uniform_with_gain_(network: nn.Module) -> nn.Module:
    """Glorot's uniform, with gain sqrt(2) in the branches of residual blocks; see ``glorot_uniform_``."""
    glorot_uniform_(network)
    for part in network.children():
        if isinstance(part, Residual):
            # Drawn a second time, over the first: the branches are few, and no layer must be left out of the first pass.
            glorot_uniform_(part.branch, gain=math.sqrt(2))
    return network


class Generator(Network):
    """Latents (B, latent) -> images (B, 3, size, size) in [-1, 1]; 4,276,739 parameters for 32 pixels, 32,150,787 for 128.

    Linear to 4x4, blocks that double the size, BN, ReLU, a 3x3 convolution, tanh.

    Args:
        latent: width of the latent vector; its distribution is N(0, I).
        size: 32 or 128.

    Examples:
        >>> import torch
        >>> Generator()(torch.zeros(2, 128)).shape
        torch.Size([2, 3, 32, 32])
    """

    initialize = staticmethod(glorot_uniform_with_gain_)

    def __init__(self, latent: int = 128, size: int = 32) -> None:
        check_int("latent", latent, low=1)
        channels = _of_size(_GENERATOR, size)
        blocks = [_up(n_in, n_out) for n_in, n_out in pairwise(channels)]
        start = [nn.Linear(latent, channels[0] * 4 * 4), nn.Unflatten(1, (channels[0], 4, 4))]
        super().__init__(*start, *blocks, _norm(channels[-1]), nn.ReLU(), conv3(channels[-1], 3), nn.Tanh())


class Discriminator(Network):
    """Images (B, 3, size, size) -> logits (B, 1), positive for real; 1,053,824 parameters for 32 pixels, 29,017,857 for 128.

    Blocks that halve the size, one or two that keep it, ReLU, the sum over the pixels, a linear layer.

    Args:
        size: 32 or 128.
        spectral_norm: whether every weight is divided by its largest singular value.
        pool: "sum", or "mean" over the pixels.

    Examples:
        >>> import torch
        >>> Discriminator()(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 1])
    """

    initialize = staticmethod(glorot_uniform_with_gain_)

    def __init__(self, size: int = 32, spectral_norm: bool = True, pool: str = "sum") -> None:
        channels, halvings, bias = _of_size(_DISCRIMINATOR, size)
        # The first block halves the size too.
        later = [_down(n_in, n_out, i < halvings) for i, (n_in, n_out) in enumerate(pairwise(channels), start=1)]
        # The published networks differ in this bias, and in how many blocks keep the size.
        last = nn.Linear(channels[-1], 1, bias=bias)
        super().__init__(_first(channels[0]), *later, nn.ReLU(), Pool(pool), last)
        # After the weights are drawn: spectral_norm starts its power iteration at construction, from what it finds.
        if spectral_norm:
            normalize_spectrally(self)
