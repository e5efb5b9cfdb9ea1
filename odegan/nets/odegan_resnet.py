"""ResNets similar to ODE-GAN's, for color images of 32 and 128 pixels: SN-GAN's architectures without spectral norm.

No public code exists for these networks. That the paper uses SN-GAN's architectures is recalled, not checked. Two choices are
ours: ODE-GAN's initialization (see ``truncated_normal_``), and a mean over the pixels instead of SN-GAN's sum. Spectral
normalization bounds that sum; without it the discriminator's gradient has an initial norm of several hundred, and the first
Runge-Kutta steps of size 0.01 diverge.

Source: Qin et al. 2020 (ODE-GAN); Miyato et al. 2018 (SN-GAN), see ``odegan.nets.sngan``.
"""

from __future__ import annotations

import odegan.nets.sngan as sngan
from odegan.nets.init import truncated_normal_


class Generator(sngan.Generator):
    """Latents (B, latent) -> images (B, 3, size, size) in [-1, 1]; SN-GAN's generator with ODE-GAN's initialization.

    Examples:
        >>> import torch
        >>> Generator()(torch.zeros(2, 128)).shape
        torch.Size([2, 3, 32, 32])
    """

    initialize = staticmethod(truncated_normal_)


class Discriminator(sngan.Discriminator):
    """Images (B, 3, size, size) -> logits (B, 1), positive for real; SN-GAN's with plain weights and a mean over pixels.

    Args:
        size: 32 or 128.

    Examples:
        >>> import torch
        >>> Discriminator()(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 1])
    """

    initialize = staticmethod(truncated_normal_)

    def __init__(self, size: int = 32) -> None:
        # The sum diverges without spectral normalization; see the head of this file.
        super().__init__(size, spectral_norm=False, pool="mean")
