"""A small convolutional pair for 8x8 gray images (scikit-learn's digits), cheap enough for one CPU thread.

The architecture is our own. Initialization: see ``truncated_normal_``.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from odegan.nets.blocks import conv4, deconv4
from odegan.nets.network import Network
from odegan.utils.checks import check_int


class Generator(Network):
    """Latents (B, latent) -> images (B, 1, 8, 8) in [-1, 1]; 37,665 parameters with the defaults.

    Linear to 2c x 2 x 2, a 4x4 stride-2 transposed convolution to c x 4 x 4, another to 1 x 8 x 8, tanh. No normalization.

    Args:
        latent: width of the latent vector; its distribution is N(0, I).
        channels: c.
        activation: makes one activation layer; a smooth one gives a smooth vector field.

    Examples:
        >>> import torch
        >>> Generator()(torch.zeros(2, 16)).shape
        torch.Size([2, 1, 8, 8])
    """

    def __init__(self, latent: int = 16, channels: int = 32, activation: Callable[[], nn.Module] = nn.ReLU) -> None:
        check_int("latent", latent, low=1)
        check_int("channels", channels, low=1)
        super().__init__(
            nn.Linear(latent, 2 * channels * 2 * 2),
            nn.Unflatten(1, (2 * channels, 2, 2)),
            activation(),
            deconv4(2 * channels, channels),
            activation(),
            deconv4(channels, 1),
            nn.Tanh(),
        )


def _leaky_relu() -> nn.Module:

    return nn.LeakyReLU(0.1)


class Discriminator(Network):
    """Images (B, 1, 8, 8) -> logits (B, 1), positive for real; 33,633 parameters with the defaults.

    4x4 stride-2 convolutions to c x 4 x 4 and 2c x 2 x 2, then a linear layer. No normalization.

    Args:
        channels: c.
        activation: makes one activation layer, LeakyReLU of slope 0.1 by default.

    Examples:
        >>> import torch
        >>> Discriminator()(torch.zeros(2, 1, 8, 8)).shape
        torch.Size([2, 1])
    """

    def __init__(self, channels: int = 32, activation: Callable[[], nn.Module] = _leaky_relu) -> None:
        check_int("channels", channels, low=1)
        super().__init__(
            conv4(1, channels),
            activation(),
            conv4(channels, 2 * channels),
            activation(),
            nn.Flatten(),
            nn.Linear(2 * channels * 2 * 2, 1),
        )
