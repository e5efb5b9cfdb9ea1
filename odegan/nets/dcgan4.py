"""JARE's dcgan4 pair for 32x32 color images: constant width, 5x5 kernels of stride 2, no normalization.

Initialization: Glorot's uniform, biases 0.

Source: Nie and Patel 2019, "Towards a Better Understanding and Regularization of GAN Training Dynamics", the public code.
"""

from __future__ import annotations

from torch import nn

from odegan.nets.blocks import conv5, deconv5
from odegan.nets.init import glorot_uniform_
from odegan.nets.network import Network
from odegan.utils.checks import check_int


class Generator(Network):
    """Latents (B, latent) -> images (B, 3, 32, 32) in [-1, 1]; 345,219 parameters.

    Linear to 64x2x2 and ReLU, three 5x5 stride-2 transposed convolutions to 64 channels with ReLU, one to 3 channels, tanh.

    Args:
        latent: width of the latent vector; its distribution is N(0, I).
        width: channels, 64.

    Examples:
        >>> import torch
        >>> Generator()(torch.zeros(2, 128)).shape
        torch.Size([2, 3, 32, 32])
    """

    initialize = staticmethod(glorot_uniform_)

    def __init__(self, latent: int = 128, width: int = 64) -> None:
        for name, size in {"latent": latent, "width": width}.items():
            check_int(name, size, low=1)
        layers: list[nn.Module] = [nn.Linear(latent, width * 2 * 2), nn.ReLU(), nn.Unflatten(1, (width, 2, 2))]
        for _ in range(3):
            layers += [deconv5(width, width), nn.ReLU()]
        super().__init__(*layers, deconv5(width, 3), nn.Tanh())


class Discriminator(Network):
    """Images (B, 3, 32, 32) -> logits (B, 1), positive for real; 312,513 parameters.

    Four 5x5 stride-2 convolutions to 64 channels with LeakyReLU 0.1, then a linear layer.

    Args:
        width: channels, 64.

    Examples:
        >>> import torch
        >>> Discriminator()(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 1])
    """

    initialize = staticmethod(glorot_uniform_)

    def __init__(self, width: int = 64) -> None:
        check_int("width", width, low=1)
        layers: list[nn.Module] = []
        # Four halvings take 32 pixels to 2.
        for n_in in (3, width, width, width):
            layers += [conv5(n_in, width), nn.LeakyReLU(0.1)]
        super().__init__(*layers, nn.Flatten(), nn.Linear(width * 2 * 2, 1))
