"""What every peer starts from, in numpy alone: the mixture of 16 Gaussians and ODE-GAN's networks for it, flat."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

DISC = (2, 25, 25, 1)
GEN = (32, 25, 25, 2)
STEP_SIZE = 0.1
WEIGHT = 0.07
LATENT = 32
BATCH = 512


class Mog16(NamedTuple):
    """y0 (..., P) = [theta_D, theta_G] as torch lays it out; data (N, 2); a minibatch real (..., B, 2), latent."""

    y0: Any
    data: Any
    real: Any
    latent: Any


def mog16(members: int = 0, batch: int = BATCH) -> Mog16:
    """The problem of a single run (members 0), or of an ensemble with a start and a minibatch of its own for each member."""
    rng = np.random.default_rng(0)
    shape = (members,) if members else ()
    starts = [np.concatenate([parameters(rng, DISC), parameters(rng, GEN)]) for _ in range(max(members, 1))]
    grid = np.stack(np.meshgrid(*[[-1.5, -0.5, 0.5, 1.5]] * 2), -1).reshape(-1, 2)
    data = grid[np.arange(2048) % 16] + 0.02 * rng.normal(size=(2048, 2))
    real = data[rng.integers(2048, size=(*shape, batch))]
    arrays = np.stack(starts) if members else starts[0], data, real, rng.normal(size=(*shape, batch, LATENT))
    return Mog16(*(a.astype(np.float32) for a in arrays))


def parameters(rng: np.random.Generator, sizes: Sequence[int]) -> np.ndarray:
    """Weights (out, in) ~ N(0, 1 / in) and small biases of each layer in turn, flat."""
    pieces = []
    for n_in, n_out in pairwise(sizes):
        pieces += [rng.normal(size=n_out * n_in) / n_in**0.5, 0.1 * rng.normal(size=n_out)]
    return np.concatenate(pieces)
