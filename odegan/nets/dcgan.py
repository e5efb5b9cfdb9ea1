"""ODE-GAN's DCGAN pair for 32x32 color images (CIFAR-10), as in the authors' public program.

TensorFlow's SAME padding is 1 here for every kernel: 3x3 stride 1 and 4x4 stride 2 alike.

Source: Qin et al. 2020, "Training Generative Adversarial Networks by Solving Ordinary Differential
Equations".
"""

from itertools import pairwise

from torch import Tensor, nn

from odegan.nets.init import truncated_normal_
from odegan.utils.checks import fail, whole


class Generator(nn.Module):
    """Latents (B, latent) -> images (B, 3, 32, 32) in [-1, 1]; 3,812,355 parameters.

    Linear to 512x4x4 (no norm, no activation), three 4x4 stride-2 transposed convolutions to 256, 128 and 64
    channels, each with bias, BatchNorm and ReLU, then a 3x3 convolution to 3 channels and tanh.

    Args:
        latent: width of the latent vector; its distribution is N(0, I).
        batch_norm: False leaves out BatchNorm (eps 1e-3; TensorFlow's decay 0.999 is torch's momentum 0.001),
            for 3,811,459 parameters.
    """

    def __init__(self, latent: int = 128, batch_norm: bool = True) -> None:
        super().__init__()
        whole("latent", latent, low=1)
        layers: list[nn.Module] = [nn.Linear(latent, 512 * 4 * 4), nn.Unflatten(1, (512, 4, 4))]
        for n_in, n_out in ((512, 256), (256, 128), (128, 64)):
            layers.append(nn.ConvTranspose2d(n_in, n_out, kernel_size=4, stride=2, padding=1))
            if batch_norm:
                layers.append(nn.BatchNorm2d(n_out, eps=1e-3, momentum=0.001))
            layers.append(nn.ReLU())
        layers += [nn.Conv2d(64, 3, kernel_size=3, padding=1), nn.Tanh()]
        self.layers = nn.Sequential(*layers)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all parameters afresh from torch's global generator; see ``truncated_normal_``."""
        truncated_normal_(self)

    def forward(self, z: Tensor) -> Tensor:
        """(B, latent) -> (B, 3, 32, 32)."""
        images: Tensor = self.layers(z)
        return images


class Discriminator(nn.Module):
    """Images (B, 3, 32, 32) -> logits (B, 1), positive for real; 2,935,873 parameters.

    Seven convolutions, 3x3 stride 1 and 4x4 stride 2 in turn, to 64, 64, 128, 128, 256, 256 and 512 channels,
    each with LeakyReLU 0.1, then a linear layer. No normalization.

    Args:
        logits: 1, or 2 for the authors' parametrization with 2,944,066 parameters: two outputs (real, fake)
            under softmax cross-entropy. That is the logistic loss of their difference, which is what
            ``forward`` returns.
    """

    def __init__(self, logits: int = 1) -> None:
        super().__init__()
        if logits not in (1, 2):
            fail("logits", logits, "1 or 2")
        layers: list[nn.Module] = []
        channels = (3, 64, 64, 128, 128, 256, 256, 512)
        for i, (n_in, n_out) in enumerate(pairwise(channels)):
            kernel, stride = ((3, 1), (4, 2))[i % 2]
            layers += [nn.Conv2d(n_in, n_out, kernel, stride, padding=1), nn.LeakyReLU(0.1)]
        self.layers = nn.Sequential(*layers, nn.Flatten(), nn.Linear(512 * 4 * 4, logits))
        self.logits = logits
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all parameters afresh from torch's global generator; see ``truncated_normal_``."""
        truncated_normal_(self)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, 32, 32) -> (B, 1)."""
        out: Tensor = self.layers(x)
        return out if self.logits == 1 else out[:, :1] - out[:, 1:]
