"""Truths, draws and the game of a mixture."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import torch
from scipy.integrate import quad
from scipy.optimize import brentq
from scipy.stats import norm


def double(*numbers: float) -> torch.Tensor:
    return torch.tensor(numbers, dtype=torch.float64)


def draw(*shape: int, low: float = -3.0, high: float = 3.0, seed: int = 0) -> torch.Tensor:
    source = torch.Generator().manual_seed(seed)
    return low + (high - low) * torch.rand(*shape, generator=source, dtype=torch.float64)


def difference(x: Any, truth: Any, mu: Any) -> Any:
    """F by scipy's normal density."""
    return np.mean([norm.pdf(x, m) for m in truth], axis=0) - np.mean([norm.pdf(x, m) for m in mu], axis=0)


def total_variation(truth: Any, mu: Any) -> float:
    """1/2 int |F| by scipy's quadrature between the changes of sign that a fine grid shows."""
    grid = np.linspace(-14, 14.0137, 28001)  # on which no round number lies
    values = difference(grid, truth, mu)
    cuts = [
        brentq(difference, a, b, args=(truth, mu), xtol=1e-14)
        for a, b, u, v in zip(grid, grid[1:], values, values[1:], strict=False)
        if u * v < 0 and max(abs(u), abs(v)) > 1e-15
    ]
    edges = [-14.0, *cuts, 14.0]
    parts = [
        quad(difference, a, b, args=(truth, mu), epsabs=1e-13, epsrel=1e-13, limit=200)[0]
        for a, b in itertools.pairwise(edges)
    ]
    return sum(map(abs, parts)) / 2
