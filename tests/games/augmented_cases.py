"""Images and uniform numbers."""

from __future__ import annotations

import torch

D = torch.float64
B = 6
SIDE = 8
LATENT = 3
CLASSES = 3


def images(seed: int = 0, channels: int = 3, n: int = B) -> torch.Tensor:
    return torch.rand(n, channels, SIDE, SIDE + 2, generator=torch.Generator().manual_seed(seed), dtype=D) * 2 - 1


def uniform(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=D)
