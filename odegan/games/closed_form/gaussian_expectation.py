"""Expectations E g(theta^T x), x ~ N(center, sigma^2 I), that are smooth in theta, also at theta = 0.

theta^T x ~ N(theta^T center, sigma^2 |theta|^2), but |theta| has no derivative at 0, and automatic differentiation of a
formula in |theta| silently loses the second-order terms there. So |theta| is never differentiated. Let e be a constant unit
vector along the current theta (any unit vector if theta = 0), a = theta^T e and r = |theta - a e|^2. Then

    theta^T x = theta^T center + sigma (a z + sqrt(r) w),    z, w ~ N(0, 1) independent.

At the current theta a = |theta| and r = 0, and r is of second order in a change of theta. Hence

    E g(theta^T x) = E_z [ g(u) + sigma^2 r / 2 g''(u) ] + O(r^2),    u = theta^T center + sigma a z,

has the exact value and the exact first, second and third derivatives in theta and center, everywhere. The expectation over z is
the trapezoidal rule, whose error for softplus with standard deviation s = sigma |theta| is about exp(-2 pi^2 / (s step)).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from torch.func import grad, vmap

REACH = 9.0  # standard deviations; the mass beyond is 2e-19
NODES = 201
NODES_EACH_OF_TWO = 61


class Projected(NamedTuple):
    """The distribution of theta^T x = center + along z + sqrt(rest) w: three scalars, of which rest is zero in value."""

    center: torch.Tensor
    along: torch.Tensor
    rest: torch.Tensor

    @property
    def variance(self) -> torch.Tensor:
        """The variance, along^2 + rest."""
        return self.along**2 + self.rest

    def __neg__(self) -> Projected:
        """The distribution of -theta^T x."""
        return Projected(-self.center, self.along, self.rest)

    def minus(self, other: Projected) -> Projected:
        """The distribution of the difference from an independent theta^T x' of the same variance."""
        return Projected(self.center - other.center, math.sqrt(2.0) * self.along, 2 * self.rest)


def project(theta: torch.Tensor, center: torch.Tensor, sigma: float) -> Projected:
    """The distribution of theta^T x for theta (n,), x ~ N(center (n,), sigma^2 I)."""
    constant = theta.detach()
    norm = torch.linalg.vector_norm(constant)
    first = torch.zeros_like(constant)
    first[0] = 1.0
    # Both wheres: the unselected 0 / 0 would give NaN in the backward pass.
    direction = torch.where(norm > 0, constant / torch.where(norm > 0, norm, 1.0), first)
    along = theta @ direction
    rest = theta - along * direction
    return Projected(theta @ center, sigma * along, sigma**2 * (rest @ rest))


def normal_rule(nodes: int, like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Nodes and weights (nodes,) of the trapezoidal rule for N(0, 1)."""
    z = torch.linspace(-REACH, REACH, nodes, dtype=torch.float64)
    weights = torch.exp(-(z**2) / 2)
    # Normalized, so that the mean of a constant is that constant to the last bit.
    return z.to(like), (weights / weights.sum()).to(like)


def mean_softplus(law: Projected) -> torch.Tensor:
    """The expectation of log(1 + e^u)."""
    z, weights = normal_rule(NODES, law.center)
    u = law.center + law.along * z
    slope = torch.sigmoid(u)
    return weights @ (F.softplus(u, threshold=40.0) + law.rest / 2 * slope * (1 - slope))


def mean_relu(law: Projected) -> torch.Tensor:
    """E max(0, u) = m Phi(m / s) + s phi(m / s); beyond 40 standard deviations from the kink, max(0, m)."""
    m = law.center
    near = m.detach() ** 2 < 1600 * law.variance.detach()
    # Far from the kink s = 1 keeps the unselected branch and its derivatives finite.
    s = torch.where(near, law.variance, 1.0).sqrt()
    ratio = torch.where(near, m / s, 0.0)
    density = torch.exp(-(ratio**2) / 2) / math.sqrt(2 * math.pi)
    return torch.where(near, m * torch.special.ndtr(ratio) + s * density, F.relu(m))


def mean_square(law: Projected) -> torch.Tensor:
    """The expectation of u^2."""
    return law.center**2 + law.variance


def mean_of_pair(
    function: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], real: Projected, fake: Projected
) -> torch.Tensor:
    """E h(u, u') over independent u and u' for a smooth h of two (1,) tensors, by a two-dimensional rule."""
    # Fewer nodes, since the rule of two variables has their square.
    z, weights = normal_rule(NODES_EACH_OF_TWO, real.center)
    u = repeat(real.center + real.along * z, "i -> (i j)", j=len(z))
    v = repeat(fake.center + fake.along * z, "j -> (i j)", i=len(z))
    both = rearrange(torch.outer(weights, weights), "i j -> (i j)")

    def h(shift_u: torch.Tensor, shift_v: torch.Tensor) -> torch.Tensor:
        return vmap(lambda a, b: function(a[None], b[None]).reshape(()))(u + shift_u, v + shift_v)

    def curvature(along: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
        return grad(lambda x: grad(lambda w: along(w).sum())(x).sum())(still)

    still = torch.zeros_like(u)
    second_u = curvature(lambda x: h(x, still))
    second_v = curvature(lambda x: h(still, x))
    return both @ (h(still, still) + real.rest / 2 * second_u + fake.rest / 2 * second_v)
