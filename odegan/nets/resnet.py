"""JARE's resnet_v1 and resnet_v2 for 32x32 color images: constant width 64, no normalization.

The public code applies ReLU (``slim``'s default) after every layer but the last, also after the first linear one and after both
convolutions of a residual branch. The branch narrows to 32 channels, except in the discriminator's first block.
Initialization: Glorot's uniform, biases 0.

Source: Nie and Patel 2019, "Towards a Better Understanding and Regularization of GAN Training Dynamics", the public code.
"""

from __future__ import annotations

from torch import nn

from odegan.nets.blocks import Residual, conv3, conv4, deconv4
from odegan.nets.init import glorot_uniform_
from odegan.nets.network import Network
from odegan.utils.checks import argument_error, check_int

WIDTH = 64


def residual(hidden: int) -> Residual:
    """x + 0.1 ReLU(conv3(ReLU(conv3(x)))), 64 channels to ``hidden`` and back."""
    return Residual(nn.Sequential(conv3(WIDTH, hidden), nn.ReLU(), conv3(hidden, WIDTH), nn.ReLU()), scale=0.1)


class Generator(Network):
    """Latents (B, latent) -> images (B, 3, 32, 32) in [-1, 1]; 343,779 (version 1) and 441,507 (version 2) parameters.

    Linear to 64 channels and ReLU; three times a 4x4 stride-2 transposed convolution, ReLU and a residual block; tanh.
    Version 1 starts at 2x2 and ends in a 4x4 stride-2 transposed convolution to 3 channels, version 2 starts at 4x4 and ends
    in a 3x3 convolution.

    Args:
        latent: width of the latent vector; its distribution is N(0, I).
        version: 1 or 2.

    Examples:
        >>> import torch
        >>> Generator(version=2)(torch.zeros(2, 128)).shape
        torch.Size([2, 3, 32, 32])
    """

    initialize = staticmethod(glorot_uniform_)

    def __init__(self, latent: int = 128, version: int = 1) -> None:
        check_int("latent", latent, low=1)
        if version not in (1, 2):
            argument_error("version", version, "1 or 2")
        start = {1: 2, 2: 4}[version]
        last = {1: deconv4, 2: conv3}[version](WIDTH, 3)
        layers: list[nn.Module] = [
            nn.Linear(latent, WIDTH * start**2),
            nn.ReLU(),
            nn.Unflatten(1, (WIDTH, start, start)),
        ]
        # Three doublings reach 32 pixels from 4. Version 1 starts at 2, and its last layer is the fourth.
        for _ in range(3):
            layers += [deconv4(WIDTH, WIDTH), nn.ReLU(), residual(WIDTH // 2)]
        super().__init__(*layers, last, nn.Tanh())


class Discriminator(Network):
    """Images (B, 3, 32, 32) -> logits (B, 1), positive for real; 384,929 parameters, in both versions.

    Four times a 4x4 stride-2 convolution to 64 channels, ReLU and a residual block; then a linear layer.

    Examples:
        >>> import torch
        >>> Discriminator()(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 1])
    """

    initialize = staticmethod(glorot_uniform_)

    def __init__(self) -> None:
        layers: list[nn.Module] = []
        # The published first block does not narrow.
        for n_in, hidden in ((3, WIDTH), *[(WIDTH, WIDTH // 2)] * 3):
            layers += [conv4(n_in, WIDTH), nn.ReLU(), residual(hidden)]
        super().__init__(*layers, nn.Flatten(), nn.Linear(WIDTH * 2 * 2, 1))
