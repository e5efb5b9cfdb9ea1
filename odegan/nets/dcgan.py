"""ODE-GAN's DCGAN pair for 32x32 images, as in the authors' public program, which has color images (CIFAR-10) and width 64.

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
    """Latents (B, latent) -> images (B, channels, 32, 32) in [-1, 1]; 3,812,355 parameters with the defaults.

    Linear to 8w x 4 x 4 (no norm, no activation), three 4x4 stride-2 transposed convolutions to 4w, 2w and w channels, each
    with bias, BatchNorm and ReLU, then a 3x3 convolution to the image's channels and tanh.

    Args:
        latent: width of the latent vector; its distribution is N(0, I).
        batch_norm: False leaves out BatchNorm (eps 1e-3; TensorFlow's decay 0.999 is torch's momentum 0.001), for 3,811,459
            parameters.
        channels: number of image channels.
        width: w.

    Examples:
        >>> import torch
        >>> Generator()(torch.zeros(2, 128)).shape
        torch.Size([2, 3, 32, 32])
    """

    def __init__(self, latent: int = 128, batch_norm: bool = True, channels: int = 3, width: int = 64) -> None:
        for name, size in {"latent": latent, "channels": channels, "width": width}.items():
            check_int(name, size, low=1)
        most = 8 * width
        layers: list[nn.Module] = [nn.Linear(latent, most * 4 * 4), nn.Unflatten(1, (most, 4, 4))]
        for n_in, n_out in pairwise((most, 4 * width, 2 * width, width)):
            norm = [nn.BatchNorm2d(n_out, eps=1e-3, momentum=0.001)] if batch_norm else []
            layers += [deconv4(n_in, n_out), *norm, nn.ReLU()]
        super().__init__(*layers, conv3(width, channels), nn.Tanh())


class LogitDifference(nn.Module):
    """(B, 2) -> (B, 1), the first column minus the second.

    Softmax cross-entropy of two outputs (real, fake) is the logistic loss of this difference.
    """

    def forward(self, outputs: Tensor) -> Tensor:
        """(B, 2) -> (B, 1)."""
        return outputs[:, :1] - outputs[:, 1:]


class Discriminator(Network):
    """Images (B, channels, 32, 32) -> logits (B, 1), positive for real; 2,935,873 parameters with the defaults.

    Seven convolutions, 3x3 stride 1 and 4x4 stride 2 in turn, to w, w, 2w, 2w, 4w, 4w and 8w channels, each with LeakyReLU 0.1,
    then a linear layer. No normalization.

    Args:
        logits: 1, or 2 for the authors' parametrization by two outputs (real, fake), of which the difference is returned;
            2,944,066 parameters.
        channels: number of image channels.
        width: w.

    Examples:
        >>> import torch
        >>> Discriminator(width=4)(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 1])
    """

    def __init__(self, logits: int = 1, channels: int = 3, width: int = 64) -> None:
        if isinstance(logits, bool) or logits not in (1, 2):
            argument_error("logits", logits, "1 or 2")
        for name, size in {"channels": channels, "width": width}.items():
            check_int(name, size, low=1)
        widths = (channels, width, width, 2 * width, 2 * width, 4 * width, 4 * width, 8 * width)
        layers: list[nn.Module] = []
        for i, (n_in, n_out) in enumerate(pairwise(widths)):
            convolution = conv4 if i % 2 else conv3
            layers += [convolution(n_in, n_out), nn.LeakyReLU(0.1)]
        # The losses and penalties read one logit, so the pair of outputs is reduced within the network.
        difference = [LogitDifference()] if logits == 2 else []
        super().__init__(*layers, nn.Flatten(), nn.Linear(8 * width * 4 * 4, logits), *difference)
