"""Planar distributions for the particle flow: mixtures on a circle, and handwritten digits in two principal components."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from einops import rearrange

from odegan import flows
from odegan.data import load_digits

SPREAD = 0.1  # standard deviation of a mode, and of the initial cloud
EXTENT = 2.5  # pictures and the landmarks' grid cover [-EXTENT, EXTENT]^2
RADII = {2: 1.0, 8: 1.5}
SOFTENING = 0.05  # of the energy distance: half a mode's standard deviation


class Target(NamedTuple):
    """Data (M, 2) float64 with modes (K, 2), None if unknown; clouds start around ``origin`` (2,)."""

    name: str
    data: torch.Tensor
    modes: torch.Tensor | None
    origin: torch.Tensor

    def start(self, n: int, generator: torch.Generator) -> torch.Tensor:
        """A normal cloud (n, 2) around the origin, as wide as a mode and therefore within one."""
        return self.origin + SPREAD * torch.randn(n, 2, generator=generator, dtype=torch.float64)


def circle(modes: int, count: int, seed: int) -> Target:
    """Equal normal modes on a circle with equally many points: two at distance 2, or eight at distance 1.15 from their
    neighbors.

    >>> circle(2, 10, 0).modes.round().abs().tolist()
    [[1.0, 0.0], [1.0, 0.0]]
    """
    angles = 2 * math.pi * torch.arange(modes, dtype=torch.float64) / modes
    centers = RADII[modes] * torch.stack([angles.cos(), angles.sin()], 1)
    draw = torch.Generator().manual_seed(seed)
    noise = torch.randn(modes, count // modes, 2, generator=draw, dtype=torch.float64)
    data = rearrange(centers[:, None] + SPREAD * noise, "mode point xy -> (mode point) xy")
    return Target({2: "two modes", 8: "ring of 8"}[modes], data, centers, centers[0])


def digits() -> Target:
    """All 1,797 digits in their first two principal components, divided by the standard deviation of the first.

    Clouds start around the mean of the zeros.
    """
    images, labels = load_digits()
    pixels = rearrange(images, "n c h w -> n (c h w)").double()
    pixels = pixels - pixels.mean(0)
    # The right singular vectors of centered data are the principal directions.
    plane = pixels @ torch.linalg.svd(pixels, full_matrices=False).Vh[:2].T
    plane = plane / plane[:, 0].std()
    return Target("digits", plane, None, plane[labels == 0].mean(0))


def gaussian(bandwidth: float, count: int) -> Callable[[Target, int], flows.Features]:
    """(target, seed) -> random Fourier features of the Gaussian kernel."""
    return lambda target, seed: flows.fourier_features(2, count, bandwidth, seed)


def energy(target: Target, seed: int) -> flows.Features:
    """Features of the energy distance, with at most 128 data points and an 8 x 8 grid over the picture as landmarks."""
    chosen = torch.randperm(len(target.data), generator=torch.Generator().manual_seed(seed))[:128]
    # The grid covers the region between the data, which a cloud crosses on its way.
    line = torch.linspace(-EXTENT, EXTENT, 8, dtype=torch.float64)
    return flows.energy_features(torch.cat([target.data[chosen], torch.cartesian_prod(line, line)]), SOFTENING)
