"""ODE-GAN's DCGAN pair for 32x32 color images (CIFAR-10), as in the authors' public program.

TensorFlow's SAME padding is 1 here for all kernels, both 3x3 stride 1 and 4x4 stride 2. Initialization: see
``truncated_normal_``.

Source: Qin et al. 2020, "Training Generative Adversarial Networks by Solving Ordinary Differential Equations".
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from odegan.nets.blocks import conv3, conv4, deconv4
from odegan.nets.network import Network
from odegan.utils.checks import argument_error, check_int


class Generator(Network):
    """Latents (B, latent) -> images (B, 3, 32, 32) in [-1, 1]; 3,812,355 parameters.

    Linear to 512x4x4 (no norm, no activation), three 4x4 stride-2 transposed convolutions to 256, 128 and 64 channels, each
    with bias, BatchNorm and ReLU, then a 3x3 convolution to 3 channels and tanh.

    Args:
        latent: width of the latent vector; its distribution is N(0, I).
        batch_norm: False leaves out BatchNorm (eps 1e-3; TensorFlow's decay 0.999 is torch's momentum 0.001), for 3,811,459
            parameters.

    Examples:
        >>> import torch
        >>> Generator()(torch.zeros(2, 128)).shape
        torch.Size([2, 3, 32, 32])
    """

    def __init__(self, latent: int = 128, batch_norm: bool = True) -> None:
        check_int("latent", latent, low=1)
        layers: list[nn.Module] = [nn.Linear(latent, 512 * 4 * 4), nn.Unflatten(1, (512, 4, 4))]
        for n_in, n_out in pairwise((512, 256, 128, 64)):
            norm = [nn.BatchNorm2d(n_out, eps=1e-3, momentum=0.001)] if batch_norm else []
            layers += [deconv4(n_in, n_out), *norm, nn.ReLU()]
        super().__init__(*layers, conv3(64, 3), nn.Tanh())


class LogitDifference(nn.Module):
    """(B, 2) -> (B, 1), the first column minus the second.

    Softmax cross-entropy of two outputs (real, fake) is the logistic loss of this difference.
    """

    def forward(self, outputs: Tensor) -> Tensor:
        """(B, 2) -> (B, 1)."""
        return outputs[:, :1] - outputs[:, 1:]


class Discriminator(Network):
    """Images (B, 3, 32, 32) -> logits (B, 1), positive for real; 2,935,873 parameters.

    Seven convolutions, 3x3 stride 1 and 4x4 stride 2 in turn, to 64, 64, 128, 128, 256, 256 and 512 channels, each with
    LeakyReLU 0.1, then a linear layer. No normalization.

    Args:
        logits: 1, or 2 for the authors' parametrization by two outputs (real, fake), of which the difference is returned;
            2,944,066 parameters.
    """

    def __init__(self, logits: int = 1) -> None:
        if logits not in (1, 2):
            argument_error("logits", logits, "1 or 2")
        layers: list[nn.Module] = []
        for i, (n_in, n_out) in enumerate(pairwise((3, 64, 64, 128, 128, 256, 256, 512))):
            convolution = conv4 if i % 2 else conv3
            layers += [convolution(n_in, n_out), nn.LeakyReLU(0.1)]
        difference = [LogitDifference()] if logits == 2 else []
        super().__init__(*layers, nn.Flatten(), nn.Linear(512 * 4 * 4, logits), *difference)
