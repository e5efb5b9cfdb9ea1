"""A small convolutional pair for 8x8 gray images (scikit-learn's digits), cheap enough for one CPU thread."""

from collections.abc import Callable

from torch import Tensor, nn

from odegan.nets.init import truncated_normal_
from odegan.utils.checks import whole


class Generator(nn.Module):
    """Latents (B, latent) -> images (B, 1, 8, 8) in [-1, 1]; 37,665 parameters with the defaults.

    Linear to 2c x 2 x 2, a 4x4 stride-2 transposed convolution to c x 4 x 4, another to 1 x 8 x 8, tanh. No
    normalization.

    Args:
        latent: width of the latent vector; its distribution is N(0, I).
        channels: c.
        activation: makes one activation layer; a smooth one gives a smooth vector field.
    """

    def __init__(self, latent: int = 16, channels: int = 32, activation: Callable[[], nn.Module] = nn.ReLU) -> None:
        super().__init__()
        whole("latent", latent, low=1)
        whole("channels", channels, low=1)
        self.layers = nn.Sequential(
            nn.Linear(latent, 2 * channels * 2 * 2),
            nn.Unflatten(1, (2 * channels, 2, 2)),
            activation(),
            nn.ConvTranspose2d(2 * channels, channels, kernel_size=4, stride=2, padding=1),
            activation(),
            nn.ConvTranspose2d(channels, 1, kernel_size=4, stride=2, padding=1),
            nn.Tanh(),
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all parameters afresh from torch's global generator; see ``truncated_normal_``."""
        truncated_normal_(self)

    def forward(self, z: Tensor) -> Tensor:
        """(B, latent) -> (B, 1, 8, 8)."""
        images: Tensor = self.layers(z)
        return images


def _leaky_relu() -> nn.Module:
    return nn.LeakyReLU(0.1)


class Discriminator(nn.Module):
    """Images (B, 1, 8, 8) -> logits (B, 1), positive for real; 33,633 parameters with the defaults.

    4x4 stride-2 convolutions to c x 4 x 4 and 2c x 2 x 2, then a linear layer. No normalization.

    Args:
        channels: c.
        activation: makes one activation layer, LeakyReLU of slope 0.1 by default.
    """

    def __init__(self, channels: int = 32, activation: Callable[[], nn.Module] = _leaky_relu) -> None:
        super().__init__()
        whole("channels", channels, low=1)
        self.layers = nn.Sequential(
            nn.Conv2d(1, channels, kernel_size=4, stride=2, padding=1),
            activation(),
            nn.Conv2d(channels, 2 * channels, kernel_size=4, stride=2, padding=1),
            activation(),
            nn.Flatten(),
            nn.Linear(2 * channels * 2 * 2, 1),
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all parameters afresh from torch's global generator; see ``truncated_normal_``."""
        truncated_normal_(self)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 1, 8, 8) -> (B, 1)."""
        out: Tensor = self.layers(x)
        return out
