"""Unions of intervals on the line, their masses under mixtures of unit normals, and sign changes of such mixtures.

Endpoints are (..., 2 k): l_1, r_1, l_2, r_2, and so on, and may be infinite.
"""

from __future__ import annotations

from functools import reduce
from itertools import accumulate

import torch
from einops import rearrange

FAR = 40.0  # beyond it the normal density and its derivatives are zero in double precision
REACH = 10.0  # beyond this distance from every mean a mixture's mass is below rounding
HALVINGS = 18  # bisect the reach to 1e-4
NEWTON_STEPS = 3  # then converge to rounding


def cdf(x: torch.Tensor) -> torch.Tensor:
    """The standard normal distribution function, with derivatives 0 at +-inf, where the plain formula gives inf * 0."""
    return torch.special.ndtr(x.clamp(-FAR, FAR))


def density(x: torch.Tensor) -> torch.Tensor:
    """The standard normal density, with derivatives 0 at +-inf."""
    return torch.exp(x.clamp(-FAR, FAR) ** 2 / -2) * 0.3989422804014327


def mass(ends: torch.Tensor, means: torch.Tensor) -> torch.Tensor:
    """P(D) (...) under the mixture of N(means_j, 1), equal weights: ends (..., 2 k), means (..., n).

    Lengths are signed: an interval with r < l counts negatively, and overlaps count twice.
    """
    below = cdf(ends[..., None] - means[..., None, :]).mean(-1)
    left, right = rearrange(below, "... (interval end) -> end ... interval", end=2)
    return (right - left).sum(-1)


def isotonic(y: torch.Tensor) -> torch.Tensor:
    """The nearest point to y (..., n), finite, that satisfies y_1 <= ... <= y_n.

    By the minimax formula of isotonic regression, max_{i <= j} min_{k >= j} mean(y_i, ..., y_k). It needs O(n^2) means but no
    branch, so that it supports vmap and compilation, and it is differentiable almost everywhere.

    Examples:
        >>> isotonic(torch.tensor([0.0, 3.0, 1.0, 4.0]))
        tensor([0., 2., 2., 4.])
    """
    n = y.shape[-1]
    at = torch.arange(n, device=y.device)
    runs = ((at[:, None, None] <= at) & (at <= at[:, None])).to(y)  # (i, k, j): whether i <= j <= k
    # A product with 0-1 weights returns a mean over one number exactly; differences of cumulative sums would not.
    weights = runs / runs.sum(-1, keepdim=True).clamp(min=1)
    means = rearrange(y @ rearrange(weights, "i k j -> j (i k)"), "... (i k) -> ... i k", i=n)
    smallest = list(accumulate(reversed(means.unbind(-1)), torch.minimum))[::-1]
    return torch.stack([low[..., : j + 1].amax(-1) for j, low in enumerate(smallest)], dim=-1)


def sign_changes(means: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Points (..., N - 1), ascending, between which sum_j weights_j N(x - means_j) keeps its sign; both arguments (..., N).

    Such a sum is exp(-x^2 / 2) times a sum of N exponentials, which changes sign at most N - 1 times (Descartes' rule).
    Dividing by one exponential and differentiating leaves N - 1 exponentials, whose sign changes split the line into intervals
    on which the quotient is monotone. So all changes are found by bisection, recursively from two exponentials on. An interval
    without a change gives a point next to one of its ends, or +-inf. Nothing is divided by a difference of means, so that means
    may be arbitrarily close.
    """
    means, order = torch.sort(means, dim=-1)
    coefficients = [_merged(means, weights.gather(-1, order))]
    for first in means.unbind(-1)[:-2]:
        coefficients.append(coefficients[-1] * (means - first[..., None]))
    start = means[..., :1] - REACH
    end = means[..., -1:] + REACH
    points = means[..., :0]
    while coefficients:
        edges = torch.cat([start, points, end], dim=-1)
        points = _roots(means, coefficients.pop(), edges[..., :-1], edges[..., 1:])
    beyond = torch.where(points > end - 1e-3, torch.inf, points)
    return torch.where(points < start + 1e-3, -torch.inf, beyond)


def _merged(means: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """The weights (..., N), with those of equal means summed into the first, so that opposite weights cancel exactly."""
    same = (means[..., :, None] == means[..., None, :]).to(weights)
    first = same.tril(-1).sum(-1) == 0
    return (same * weights[..., None, :]).sum(-1) * first


def _roots(means: torch.Tensor, weights: torch.Tensor, low: torch.Tensor, high: torch.Tensor) -> torch.Tensor:
    """The sign change between low and high (..., n) in each of n intervals; one of the ends if there is none."""
    absent = torch.where(weights == 0, torch.inf, 0.0)
    terms = list(zip(*(x[..., None].unbind(-2) for x in (means, weights, absent)), strict=True))

    def parts(x: torch.Tensor) -> list[torch.Tensor]:
        # Relative to the largest term, so that underflow loses no sign; nan if there is no term.
        squares = [(x - mean) ** 2 / 2 + gone for mean, _, gone in terms]
        least = reduce(torch.minimum, squares)
        return [weight * torch.exp(least - square) for (_, weight, _), square in zip(terms, squares, strict=True)]

    side = reduce(torch.add, parts(low)).sign()
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        before = reduce(torch.add, parts(middle)) * side > 0
        low = torch.where(before, middle, low)
        high = torch.where(before, high, middle)
    x = high
    for _ in range(NEWTON_STEPS):
        values = parts(x)
        slope = reduce(torch.add, [value * (mean - x) for value, (mean, _, _) in zip(values, terms, strict=True)])
        step = torch.where(slope.abs() > 0, reduce(torch.add, values) / slope, 0.0)  # 0 / 0 if all weights are 0
        x = (x - step).clamp(low, high)
    return x


def positive_intervals(points: torch.Tensor, gains: torch.Tensor, k: int) -> torch.Tensor:
    """Endpoints (..., 2 k) of the union of the regions between points (..., N - 1) whose gains (..., N) are positive.

    Adjacent regions are merged; unused intervals are empty, at inf.
    """
    ends = torch.full_like(points[..., :1], torch.inf)
    left = torch.cat([-ends, points], dim=-1)
    right = torch.cat([points, ends], dim=-1)
    # Gains within rounding of zero, as between two nearly equal mixtures, would give spurious intervals.
    taken = gains > 8 * torch.finfo(gains.dtype).eps
    none = torch.zeros_like(taken[..., :1])
    starts = taken & ~torch.cat([none, taken[..., :-1]], dim=-1)
    stops = taken & ~torch.cat([taken[..., 1:], none], dim=-1)
    lower = torch.where(starts, left, torch.inf).sort(-1).values[..., :k]
    upper = torch.where(stops, right, torch.inf).sort(-1).values[..., :k]
    return rearrange([lower, upper], "end ... interval -> ... (interval end)")
