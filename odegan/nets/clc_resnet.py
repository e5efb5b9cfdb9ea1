"""CLC-GAN's residual pair for color images of 32, 64 or 128 pixels, without normalization.

A block is x_s + conv3(ReLU(conv3(ReLU x))), with as many hidden channels as the narrower of input and output, and x_s = x or,
where the width changes, a 1x1 convolution of x without bias. Upsampling doubles pixels, and comes after its block;
downsampling is an average over 3x3 pixels (the padding counts as zeros) at stride 2, before its block.
Initialization: torch's own.

The public code conditions the generator on a label. Without labels this adds a constant, learned unit vector to the latent,
which acts as a bias of the first layer; it is left out here.

Source: Xu et al. 2020, "Understanding and Stabilizing GANs' Training Dynamics Using Control Theory", the public code;
the blocks are those of Mescheder et al. 2018 with other activations.
"""

from __future__ import annotations

from itertools import pairwise

from torch import nn

from odegan.nets.blocks import Residual, conv3
from odegan.utils.checks import argument_error, check_int

START = 4  # pixels of the smallest image


def block(n_in: int, n_out: int) -> Residual:
    """One block, (B, n_in, H, W) -> (B, n_out, H, W)."""
    hidden = min(n_in, n_out)
    branch = nn.Sequential(nn.ReLU(), conv3(n_in, hidden), nn.ReLU(), conv3(hidden, n_out))
    return Residual(branch, None if n_in == n_out else nn.Conv2d(n_in, n_out, kernel_size=1, bias=False))


def widths(size: int, width: int, most: int) -> list[int]:
    """Channels at each resolution from ``size`` down to 4 pixels: doubling from ``width``, at most ``most``.

    Examples:
        >>> widths(64, 32, 256)
        [32, 64, 128, 256, 256]
    """
    check_int("width", width, low=1)
    check_int("most", most, low=1)
    # The floor of log2 in integers; math.log2 could round across a whole number.
    halvings = (check_int("size", size, low=START) // START).bit_length() - 1
    if size != START * 2**halvings:
        argument_error("size", size, "4 times a power of two")
    return [min(width * 2**i, most) for i in range(halvings + 1)]


class Generator(nn.Sequential):
    """Latents (B, latent) -> images (B, 3, size, size) in [-1, 1]; for 32 pixels 1,696,099 parameters.

    Linear to 4x4, a block and doubling for each resolution, a block at full size, ReLU, a 3x3 convolution, tanh.

    Args:
        latent: width of the latent vector, 256 in the paper; its distribution is N(0, I).
        size: height and width of the images.
        width: channels at full size.
        most: the largest number of channels.

    Examples:
        >>> import torch
        >>> Generator(8, size=64, width=4)(torch.zeros(2, 8)).shape
        torch.Size([2, 3, 64, 64])
    """

    def __init__(self, latent: int = 256, size: int = 32, width: int = 32, most: int = 256) -> None:
        check_int("latent", latent, low=1)
        channels = widths(size, width, most)[::-1]
        layers: list[nn.Module] = [
            nn.Linear(latent, channels[0] * START**2),
            nn.Unflatten(1, (channels[0], START, START)),
        ]
        for n_in, n_out in pairwise(channels):
            # Upsample's default is the nearest pixel, which is the public code's doubling.
            layers += [block(n_in, n_out), nn.Upsample(scale_factor=2)]
        # Blocks begin with ReLU and end without one, so the last convolution needs its own.
        super().__init__(*layers, block(width, width), nn.ReLU(), conv3(width, 3), nn.Tanh())


class Discriminator(nn.Sequential):
    """Images (B, 3, size, size) -> D (B, 1), high for real; for 32 pixels 647,777 parameters.

    A 3x3 convolution, a block, then an average pooling and a block for each resolution, ReLU, a linear layer.

    Args:
        size: height and width of the images.
        width: channels at full size.
        most: the largest number of channels.

    Examples:
        >>> import torch
        >>> Discriminator(size=64, width=4)(torch.zeros(2, 3, 64, 64)).shape
        torch.Size([2, 1])
    """

    def __init__(self, size: int = 32, width: int = 32, most: int = 256) -> None:
        channels = widths(size, width, most)
        layers: list[nn.Module] = [conv3(3, width), block(width, width)]
        for n_in, n_out in pairwise(channels):
            # By default torch counts the padding as zeros.
            layers += [nn.AvgPool2d(3, stride=2, padding=1), block(n_in, n_out)]
        super().__init__(*layers, nn.ReLU(), nn.Flatten(), nn.Linear(channels[-1] * START**2, 1))
