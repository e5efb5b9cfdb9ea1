"""ResNets in the manner of ODE-GAN's, for color images of 32 and 128 pixels: SN-GAN's topologies without spectral norm.

No public program has them; that the publication takes SN-GAN's topologies is recalled. Our choice: ODE-GAN's
initialization (see ``truncated_normal_``), and a mean over the pixels in the place of SN-GAN's sum. Spectral
normalization bounds what a sum adds up to; without it the discriminator's gradient starts with a norm of some
hundreds, and the first Runge-Kutta steps of 0.01 diverge.
"""

import odegan.nets.sngan as sngan
from odegan.nets.init import truncated_normal_


class Generator(sngan.Generator):
    """Latents (B, latent) -> images (B, 3, size, size) in [-1, 1]; SN-GAN's, initialized otherwise."""

    def reset_parameters(self) -> None:
        """Draw all parameters afresh from torch's global generator."""
        truncated_normal_(self)


class Discriminator(sngan.Discriminator):
    """Images (B, 3, size, size) -> logits (B, 1), positive for real; SN-GAN's with plain weights and a mean over pixels.

    Args:
        size: 32 or 128.
    """

    def __init__(self, size: int = 32) -> None:
        super().__init__(size, spectral_norm=False, pool="mean")

    def reset_parameters(self) -> None:
        """Draw all parameters afresh from torch's global generator."""
        truncated_normal_(self)
