"""Unions of intervals on the line, their masses under mixtures of unit normals, and where such a mixture changes sign.

Endpoints are (..., 2 k): l_1, r_1, l_2, r_2, and so on. l = -inf and r = inf are allowed.
"""

from __future__ import annotations

from functools import reduce
from itertools import accumulate

import torch
from einops import rearrange

FAR = 40.0  # from here on the normal density and its derivatives are zero in double precision
REACH = 10.0  # beyond this distance from every mean a mixture has less mass than rounding
HALVINGS = 18  # of that reach: to 1e-4
NEWTON_STEPS = 3  # from there to rounding


def cdf(x: torch.Tensor) -> torch.Tensor:
    """The standard normal distribution function. Its derivatives at +-inf are 0, where the bare formula has inf * 0."""
    return torch.special.ndtr(x.clamp(-FAR, FAR))


def density(x: torch.Tensor) -> torch.Tensor:
    """The standard normal density. Its derivatives at +-inf are 0, too."""
    return torch.exp(x.clamp(-FAR, FAR) ** 2 / -2) * 0.3989422804014327


def mass(ends: torch.Tensor, means: torch.Tensor) -> torch.Tensor:
    """P(D) (...) under the mixture of N(means_j, 1), equal weights: ends (..., 2 k), means (..., n).

    Lengths are signed: an interval with r < l counts negatively, and what two intervals share counts twice.
    """
    below = cdf(ends[..., None] - means[..., None, :]).mean(-1)
    left, right = rearrange(below, "... (interval end) -> end ... interval", end=2)
    return (right - left).sum(-1)


def isotonic(y: torch.Tensor) -> torch.Tensor:
    """The point nearest to y (..., n) with y_1 <= ... <= y_n, for finite y.

    The minimax formula of isotonic regression, max_{i <= j} min_{k >= j} mean(y_i, ..., y_k): violating neighbors are
    pooled to their mean. O(n^2) means, no branch: it maps over ensembles, compiles, and is differentiable almost everywhere.

    Examples:
        >>> isotonic(torch.tensor([0.0, 3.0, 1.0, 4.0]))
        tensor([0., 2., 2., 4.])
    """
    n = y.shape[-1]
    at = torch.arange(n, device=y.device)
    runs = ((at[:, None, None] <= at) & (at <= at[:, None])).to(y)  # (i, k, j): whether i <= j <= k
    # One product makes all means, and leaves a single number what it is, which differences of sums would not.
    weights = runs / runs.sum(-1, keepdim=True).clamp(min=1)
    means = rearrange(y @ rearrange(weights, "i k j -> j (i k)"), "... (i k) -> ... i k", i=n)
    smallest = list(accumulate(reversed(means.unbind(-1)), torch.minimum))[::-1]
    return torch.stack([low[..., : j + 1].amax(-1) for j, low in enumerate(smallest)], dim=-1)


def sign_changes(means: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Points (..., N - 1), ascending, between which sum_j weights_j N(x - means_j) keeps its sign; both arguments (..., N).

    Such a sum is exp(-x^2 / 2) times a sum of N exponentials, which changes sign at most N - 1 times (Descartes' rule).
    Dividing by one exponential and differentiating leaves N - 1 of them, whose sign changes cut the line into pieces on which
    the quotient is monotone; so every change is found by bisection, from two exponentials upwards. A piece without a change
    gives a point next to one of its ends, or +-inf. No difference of means is divided by, so that they may be as near to one
    another as they like.
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
    """The weights (..., N) with those of equal means added up in the first of them: what cancels is an exact zero."""
    same = (means[..., :, None] == means[..., None, :]).to(weights)
    first = same.tril(-1).sum(-1) == 0
    return (same * weights[..., None, :]).sum(-1) * first


def _roots(means: torch.Tensor, weights: torch.Tensor, low: torch.Tensor, high: torch.Tensor) -> torch.Tensor:
    """Where the sum changes sign between low and high (..., n), for each of n pieces; at one end where it does not."""
    absent = torch.where(weights == 0, torch.inf, 0.0)
    terms = list(zip(*(x[..., None].unbind(-2) for x in (means, weights, absent)), strict=True))

    def parts(x: torch.Tensor) -> list[torch.Tensor]:
        # In units of the largest term, so that no sign is lost in underflow; nan where there is no term.
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
        step = torch.where(slope.abs() > 0, reduce(torch.add, values) / slope, 0.0)  # not where all weights are 0
        x = (x - step).clamp(low, high)
    return x


def positive_intervals(points: torch.Tensor, gains: torch.Tensor, k: int) -> torch.Tensor:
    """Endpoints (..., 2 k) of the union of the regions between points (..., N - 1) whose gains (..., N) are positive.

    Neighboring regions become one interval; intervals that are not needed are empty, at inf.
    """
    ends = torch.full_like(points[..., :1], torch.inf)
    left = torch.cat([-ends, points], dim=-1)
    right = torch.cat([points, ends], dim=-1)
    taken = gains > 8 * torch.finfo(gains.dtype).eps
    none = torch.zeros_like(taken[..., :1])
    starts = taken & ~torch.cat([none, taken[..., :-1]], dim=-1)
    stops = taken & ~torch.cat([taken[..., 1:], none], dim=-1)
    lower = torch.where(starts, left, torch.inf).sort(-1).values[..., :k]
    upper = torch.where(stops, right, torch.inf).sort(-1).values[..., :k]
    return rearrange([lower, upper], "end ... interval -> ... (interval end)")
