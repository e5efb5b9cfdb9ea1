"""A class-conditional pair: conditional batch normalization in the generator, a projection discriminator.

The convolutions are those of ODE-GAN's DCGAN pair, of any width and number of channels; the published networks with
projection are residual. Initialization: Glorot's uniform, biases 0, conditional gains 1 and shifts 0.

Source: Miyato and Koyama 2018, "cGANs with Projection Discriminator"; conditional batch normalization is Dumoulin, Shlens and
Kudlur 2017, "A Learned Representation for Artistic Style", eq. 5.
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from odegan.nets.blocks import conv3, conv4, deconv4, normalize_spectrally
from odegan.nets.init import glorot_uniform_
from odegan.utils.checks import check_bool, check_int


class ConditionalBatchNorm2d(nn.Module):
    """gain[label] * (x - mean) / sqrt(variance + eps) + shift[label], with the moments of all classes together.

    Args:
        features: C.
        classes: number of classes.

    Examples:
        >>> import torch
        >>> ConditionalBatchNorm2d(3, 10)(torch.randn(4, 3, 8, 8), torch.arange(4)).shape
        torch.Size([4, 3, 8, 8])
    """

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        # Without a gain and a shift of its own: those of the classes take their place. eps and momentum are the DCGAN pair's.
        self.norm = nn.BatchNorm2d(features, eps=1e-3, momentum=0.001, affine=False)
        self.gain = nn.Embedding(classes, features)
        self.shift = nn.Embedding(classes, features)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set the gains to 1 and the shifts to 0."""
        nn.init.ones_(self.gain.weight)
        nn.init.zeros_(self.shift.weight)

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        """x (B, C, H, W) and label (B,) -> (B, C, H, W)."""
        out: Tensor = self.gain(label)[:, :, None, None] * self.norm(x) + self.shift(label)[:, :, None, None]
        return out


class Generator(nn.Module):
    """Latents (B, latent) and labels (B,) -> images (B, channels, 32, 32) in [-1, 1].

    Linear to 8w x 4 x 4, three 4x4 stride-2 transposed convolutions to 4w, 2w and w channels, each with conditional batch
    normalization and ReLU, then a 3x3 convolution and tanh. 3,818,817 parameters with the defaults.

    Args:
        latent: width of the latent vector; its distribution is N(0, I).
        classes: number of classes.
        channels: number of image channels.
        width: w; 64 is DCGAN's.

    Examples:
        >>> import torch
        >>> Generator(width=4)(torch.zeros(2, 128), torch.tensor([0, 9])).shape
        torch.Size([2, 1, 32, 32])
    """

    def __init__(self, latent: int = 128, classes: int = 10, channels: int = 1, width: int = 64) -> None:
        super().__init__()
        sizes = {"latent": latent, "classes": classes, "channels": channels, "width": width}
        for name, size in sizes.items():
            check_int(name, size, low=1)
        widths = (8 * width, 4 * width, 2 * width, width)
        self.first = nn.Sequential(nn.Linear(latent, widths[0] * 4 * 4), nn.Unflatten(1, (widths[0], 4, 4)))
        # No biases: the norm after each convolution subtracts them.
        # Two lists and no nn.Sequential, which would pass a single argument on: the norms also need the label.
        self.convolutions = nn.ModuleList(deconv4(n_in, n_out, bias=False) for n_in, n_out in pairwise(widths))
        self.norms = nn.ModuleList(ConditionalBatchNorm2d(n, classes) for n in widths[1:])
        self.last = nn.Sequential(conv3(width, channels), nn.Tanh())
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all parameters again from torch's global generator."""
        glorot_uniform_(self)
        for norm in self.norms:
            # ``glorot_uniform_`` has drawn the gains and shifts as well, since they are embeddings.
            norm.reset_parameters()  # type: ignore[operator]

    def forward(self, z: Tensor, label: Tensor) -> Tensor:
        """(B, latent), (B,) -> (B, channels, 32, 32)."""
        x: Tensor = self.first(z)
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            x = norm(convolution(x), label).relu()
        out: Tensor = self.last(x)
        return out


class Discriminator(nn.Module):
    """Images (B, channels, 32, 32) and labels (B,) -> logits (B,), positive for real: ``psi(h) + <embedding[label], h>``.

    h (B, 8w) is the sum over the image of the features of seven convolutions, 3x3 stride 1 and 4x4 stride 2 in turn, to w, w,
    2w, 2w, 4w, 4w and 8w channels, each with LeakyReLU 0.1; psi is linear. 2,932,161 parameters with the defaults.

    Args:
        classes: number of classes.
        channels: number of image channels.
        width: w; 64 is DCGAN's.
        spectral_norm: divide the weights by their largest singular values, the embedding's too, as in the paper.

    Examples:
        >>> import torch
        >>> Discriminator(width=4)(torch.zeros(2, 1, 32, 32), torch.tensor([0, 9])).shape
        torch.Size([2])
    """

    def __init__(self, classes: int = 10, channels: int = 1, width: int = 64, spectral_norm: bool = False) -> None:
        super().__init__()
        for name, size in {"classes": classes, "channels": channels, "width": width}.items():
            check_int(name, size, low=1)
        widths = (channels, width, width, 2 * width, 2 * width, 4 * width, 4 * width, 8 * width)
        layers: list[nn.Module] = []
        for i, (n_in, n_out) in enumerate(pairwise(widths)):
            convolution = conv4 if i % 2 else conv3
            layers += [convolution(n_in, n_out), nn.LeakyReLU(0.1)]
        self.features = nn.Sequential(*layers)
        self.psi = nn.Linear(widths[-1], 1)
        self.embedding = nn.Embedding(classes, widths[-1])
        self.reset_parameters()
        # After the draw: spectral_norm starts its power iteration at construction, from the weights it finds.
        if check_bool("spectral_norm", spectral_norm):
            normalize_spectrally(self)

    def reset_parameters(self) -> None:
        """Draw all parameters again from torch's global generator."""
        glorot_uniform_(self)

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        """(B, channels, 32, 32), (B,) -> (B,)."""
        # A sum, as in SN-GAN; spectral normalization bounds it. See ``odegan_resnet`` for what happens without.
        h: Tensor = self.features(x).sum((2, 3))
        out: Tensor = self.psi(h)[:, 0] + (self.embedding(label) * h).sum(1)
        return out
