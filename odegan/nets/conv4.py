"""JARE's conv4 pair for 32x32 color images, with and without batch normalization.

Batch normalization is as in the public code (TensorFlow's ``slim`` with its defaults): a shift but no scale, eps 1e-3, no bias
in the layer before, and batch statistics also at test time. After the linear layer it acts on the flat vector, so that each of
the 8,192 features has its own statistics and shift. Shifts replace as many biases, so that both generators have 3,811,459
trainable parameters.

Initialization: Glorot's uniform, biases 0. The discriminator's architecture is that of ODE-GAN's pair.

Source: Nie and Patel 2019, "Towards a Better Understanding and Regularization of GAN Training Dynamics", the public code.
"""

from __future__ import annotations

from itertools import pairwise

from torch import nn

import odegan.nets.dcgan as dcgan
from odegan.nets.blocks import conv3, deconv4
from odegan.nets.init import glorot_uniform_
from odegan.nets.network import Network
from odegan.utils.checks import check_int


def shift_norm(kind: type[nn.BatchNorm1d] | type[nn.BatchNorm2d], features: int) -> nn.BatchNorm1d | nn.BatchNorm2d:
    """Batch normalization whose scale stays 1: a constant, not a parameter to train."""
    # TensorFlow's defaults: its decay 0.999 is torch's momentum 0.001.
    norm = kind(features, eps=1e-3, momentum=0.001)
    norm.weight.requires_grad_(False)
    return norm


class Generator(Network):
    """Latents (B, latent) -> images (B, 3, 32, 32) in [-1, 1]; 3,811,459 trainable parameters.

    Linear to 512x4x4, 4x4 stride-2 transposed convolutions to 256, 128 and 64 channels, each of these four with batch
    normalization and ReLU, then a 3x3 convolution to 3 channels with batch normalization, and tanh.

    Args:
        latent: width of the latent vector; its distribution is N(0, I).
        batch_norm: False: use biases instead.

    Examples:
        >>> import torch
        >>> Generator()(torch.zeros(2, 128)).shape
        torch.Size([2, 3, 32, 32])
    """

    initialize = staticmethod(glorot_uniform_)

    def __init__(self, latent: int = 128, batch_norm: bool = True) -> None:
        def norm(kind: type[nn.BatchNorm1d] | type[nn.BatchNorm2d], features: int) -> list[nn.Module]:
            return [shift_norm(kind, features)] if batch_norm else []

        check_int("latent", latent, low=1)
        biased = not batch_norm
        layers: list[nn.Module] = [nn.Linear(latent, 512 * 4 * 4, bias=biased), *norm(nn.BatchNorm1d, 512 * 4 * 4)]
        # Unflattened after the norm, which has statistics for each of the 8,192 features, as in the public code.
        layers += [nn.ReLU(), nn.Unflatten(1, (512, 4, 4))]
        for n_in, n_out in pairwise((512, 256, 128, 64)):
            layers += [deconv4(n_in, n_out, bias=biased), *norm(nn.BatchNorm2d, n_out), nn.ReLU()]
        super().__init__(*layers, conv3(64, 3, bias=biased), *norm(nn.BatchNorm2d, 3), nn.Tanh())


class Discriminator(dcgan.Discriminator):
    """Images (B, 3, 32, 32) -> logits (B, 1), positive for real; 2,935,873 parameters.

    Examples:
        >>> import torch
        >>> Discriminator()(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 1])
    """

    initialize = staticmethod(glorot_uniform_)

    def __init__(self) -> None:
        super().__init__(logits=1)
