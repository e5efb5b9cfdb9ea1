"""Power laws through measured points, and means with their standard errors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch


class Mean(NamedTuple):
    """A mean over independent draws and its standard error."""

    value: float
    error: float

    @classmethod
    def of(cls, values: torch.Tensor) -> Mean:
        """The mean of values (n,)."""
        return cls(float(values.mean()), float(values.std()) / math.sqrt(len(values)))


class PowerLaw(NamedTuple):
    """log y = slope log x + constant by least squares, with the slope's standard error from those of y."""

    slope: float
    error: float
    constant: float

    def curve(self, x: torch.Tensor) -> torch.Tensor:
        """The fitted power law at x."""
        return math.exp(self.constant) * x**self.slope


def fit_power_law(x: Sequence[float], y: Sequence[float] | Sequence[Mean]) -> PowerLaw:
    """The power law through the points (x, y), all positive.

    >>> law = fit_power_law([1.0, 2.0, 4.0], [3.0, 12.0, 48.0])
    >>> round(law.slope, 9), round(math.exp(law.constant), 9)
    (2.0, 3.0)
    """
    points = [point if isinstance(point, Mean) else Mean(point, 0.0) for point in y]
    u = torch.tensor(x, dtype=torch.float64).log()
    v = torch.tensor([point.value for point in points], dtype=torch.float64).log()
    weights = (u - u.mean()) / ((u - u.mean()) ** 2).sum()
    slope = float(weights @ v)
    # The error of log y is the relative error of y, to first order.
    relative = torch.tensor([point.error / point.value for point in points], dtype=torch.float64)
    return PowerLaw(slope, float((weights * relative).norm()), float(v.mean() - slope * u.mean()))


def mean_ratio(above: Sequence[Mean], below: Sequence[Mean]) -> Mean:
    """The geometric mean of the ratios, with its standard error if all numbers are independent.

    >>> mean_ratio([Mean(1.0, 0.0), Mean(4.0, 0.0)], [Mean(2.0, 0.0), Mean(2.0, 0.0)])
    Mean(value=1.0, error=0.0)
    """
    logs = [math.log(a.value / b.value) for a, b in zip(above, below, strict=True)]
    relative = math.hypot(*(one.error / one.value for one in [*above, *below])) / len(logs)
    value = math.exp(sum(logs) / len(logs))
    return Mean(value, value * relative)
