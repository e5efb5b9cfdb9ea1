"""Generated images, in pieces of a size that fits the device."""

from __future__ import annotations

import torch
from torch.nn.modules.batchnorm import _NormBase

from experiments.presets import Preset
from odegan.network import NetworkGame

ESTIMATED = 100  # minibatches over which BatchNorm's statistics are averaged for an export
STATISTICS_SEED = 7  # of their latents: other ones than any score's
PIECE = 256  # images at once where no layer couples them


class Sampler:
    """Images of the generator in y, as ``sampler(n, seed)`` or from latents of one's own.

    Batch normalisation uses statistics estimated for this y over 100 minibatches of latents; with the preset's
    ``batch_statistics``, those of each minibatch of the training's size. ``normalisation`` says which, for scores.

    Args:
        game: of the preset's networks.
        y: (P,) parameters; images come from their device.
        preset: the run's.
    """

    def __init__(self, game: NetworkGame, y: torch.Tensor, preset: Preset) -> None:
        self.latent, self.like = preset.latent, y
        normalised = any(isinstance(part, _NormBase) for part in game.generator.template.modules())
        self.piece = preset.batch_size if normalised else PIECE
        batches = None
        if normalised and not preset.batch_statistics:
            latents = self.latents(ESTIMATED * preset.batch_size, STATISTICS_SEED).split(preset.batch_size)
            batches = [(z.new_empty(0), z) for z in latents]
        self.generator = game.modules(y, batches)[0].eval()
        self.normalisation = "none" if not normalised else "running" if batches else "batch"

    def __call__(self, n: int, seed: int) -> torch.Tensor:
        """n images (n, C, H, W), the same ones whenever seed and y are the same."""
        pieces = -(-n // self.piece) * self.piece if self.normalisation == "batch" else n
        return self.images(self.latents(pieces, seed))[:n]

    def latents(self, n: int, seed: int) -> torch.Tensor:
        """n latents (n, latent) from N(0, I), drawn on the CPU so that they are the same for any device."""
        return torch.randn(n, self.latent, generator=torch.Generator().manual_seed(seed)).to(self.like)

    @torch.no_grad()
    def images(self, latents: torch.Tensor) -> torch.Tensor:
        """Latents (n, latent) -> images (n, C, H, W)."""
        return torch.cat([self.generator(z) for z in latents.split(self.piece)])


def interpolations(starts: torch.Tensor, ends: torch.Tensor, count: int) -> torch.Tensor:
    """(n, d), (n, d) -> (n, count, d): on the great circle from each start to its end, both included.

    Points between two Gaussian latents keep their typical length this way; a straight line passes too near 0.

    >>> interpolations(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]]), 3)[0, 1]
    tensor([0.7071, 0.7071])
    """
    unit = torch.nn.functional.normalize
    angle = (unit(starts, dim=1) * unit(ends, dim=1)).sum(1).clamp(-1, 1).acos()[:, None, None]
    share = torch.linspace(0, 1, count).to(starts)[None, :, None]
    weights = ((1 - share) * angle).sin() / angle.sin(), (share * angle).sin() / angle.sin()
    return weights[0] * starts[:, None] + weights[1] * ends[:, None]
