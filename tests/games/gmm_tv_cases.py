"""Truths, draws and the game of a mixture."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import torch
from scipy.integrate import quad
from scipy.optimize import brentq


def double(*numbers: float) -> torch.Tensor:
    return torch.tensor(numbers, dtype=torch.float64)


def draw(*shape: int, low: float = -3.0, high: float = 3.0, seed: int = 0) -> torch.Tensor:
    source = torch.Generator().manual_seed(seed)
    return low + (high - low) * torch.rand(*shape, generator=source, dtype=torch.float64)


def difference(x: Any, truth: Any, mu: Any) -> Any:
    """F, the difference of the two densities."""
    return density(x, truth) - density(x, mu)


def density(x: Any, means: Any) -> Any:
    return np.exp(-((np.asarray(x)[..., None] - means) ** 2) / 2).mean(-1) / np.sqrt(2 * np.pi)


def total_variation(truth: Any, mu: Any) -> float:
    """1/2 int |F| by scipy's quadrature between the changes of sign that a fine grid shows."""
    grid = np.linspace(-14, 14.0137, 28001)  # on which no round number lies
    values = difference(grid, truth, mu)
    changes = (values[:-1] * values[1:] < 0) & (np.maximum(abs(values[:-1]), abs(values[1:])) > 1e-15)
    cuts = [
        brentq(difference, a, b, args=(truth, mu), xtol=1e-14)
        for a, b in zip(grid[:-1][changes], grid[1:][changes], strict=True)
    ]
    edges = [-14.0, *cuts, 14.0]
    parts = [
        quad(difference, a, b, args=(truth, mu), epsabs=1e-13, epsrel=1e-13, limit=200)[0]
        for a, b in itertools.pairwise(edges)
    ]
    return sum(map(abs, parts)) / 2
