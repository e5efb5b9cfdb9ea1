"""Means of functions of theta^T x, x ~ N(centre, sigma^2 I), that are smooth in theta, at theta = 0 too.

theta^T x ~ N(theta^T centre, sigma^2 |theta|^2), but |theta| has no derivative at 0, and automatic differentiation of a
formula in it loses the second-order terms there without a word. So |theta| is never differentiated: with e a fixed unit
vector along today's theta (any, where theta = 0), a = theta^T e and r = |theta - a e|^2,

    theta^T x = theta^T centre + sigma (a z + sqrt(r) w),    z, w ~ N(0, 1) independent.

At today's theta, a = |theta| and r = 0, and r is of second order in a change of theta. Hence

    E g(theta^T x) = E_z [ g(u) + sigma^2 r / 2 g''(u) ] + O(r^2),    u = theta^T centre + sigma a z,

has the exact value and the exact first, second and third derivatives in theta and centre, everywhere. The mean over z is the
trapezoidal rule, whose error for softplus with standard deviation s = sigma |theta| is about exp(-2 pi^2 / (s step)).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch.func import grad, vmap

REACH = 9.0  # standard deviations; what lies beyond weighs 2e-19
NODES, NODES_EACH_OF_TWO = 201, 61


class Line(NamedTuple):
    """The law of theta^T x: centre + along z + sqrt(rest) w, rest being zero in value; three scalars."""

    centre: torch.Tensor
    along: torch.Tensor
    rest: torch.Tensor

    @property
    def variance(self) -> torch.Tensor:
        """along^2 + rest."""
        return self.along**2 + self.rest

    def __neg__(self) -> Line:
        """The law of -theta^T x."""
        return Line(-self.centre, self.along, self.rest)

    def minus(self, other: Line) -> Line:
        """The law of the difference to an independent x' of the same spread."""
        return Line(self.centre - other.centre, math.sqrt(2.0) * self.along, 2 * self.rest)


def line(theta: torch.Tensor, centre: torch.Tensor, sigma: float) -> Line:
    """The law of theta^T x for theta (n,), x ~ N(centre (n,), sigma^2 I)."""
    fixed = theta.detach()
    norm = torch.linalg.vector_norm(fixed)
    first = torch.zeros_like(fixed)
    first[0] = 1.0
    direction = torch.where(norm > 0, fixed / torch.where(norm > 0, norm, 1.0), first)
    along = theta @ direction
    rest = theta - along * direction
    return Line(theta @ centre, sigma * along, sigma**2 * (rest @ rest))


def normal_rule(nodes: int, like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Nodes and weights (nodes,) of the trapezoidal rule for N(0, 1)."""
    z = torch.linspace(-REACH, REACH, nodes, dtype=torch.float64)
    weights = torch.exp(-(z**2) / 2)
    return z.to(like), (weights / weights.sum()).to(like)


def mean_softplus(law: Line) -> torch.Tensor:
    """E log(1 + e^u)."""
    z, weights = normal_rule(NODES, law.centre)
    u = law.centre + law.along * z
    slope = torch.sigmoid(u)
    return weights @ (F.softplus(u, threshold=40.0) + law.rest / 2 * slope * (1 - slope))


def mean_relu(law: Line) -> torch.Tensor:
    """E max(0, u) = m Phi(m / s) + s phi(m / s); beyond 40 standard deviations from the kink, max(0, m)."""
    m, variance = law.centre, law.variance
    near = m.detach() ** 2 < 1600 * variance.detach()
    s = torch.where(near, variance, 1.0).sqrt()
    ratio = torch.where(near, m / s, 0.0)
    density = torch.exp(-(ratio**2) / 2) / math.sqrt(2 * math.pi)
    return torch.where(near, m * torch.special.ndtr(ratio) + s * density, F.relu(m))


def mean_square(law: Line) -> torch.Tensor:
    """E u^2."""
    return law.centre**2 + law.variance


def mean_of_pair(
    function: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], real: Line, fake: Line
) -> torch.Tensor:
    """E h(u, u') over independent u and u', for any smooth h of two (1,) tensors: a rule in two dimensions."""
    z, weights = normal_rule(NODES_EACH_OF_TWO, real.centre)
    u = (real.centre + real.along * z).repeat_interleave(len(z))
    v = (fake.centre + fake.along * z).repeat(len(z))
    both = torch.outer(weights, weights).reshape(-1)

    def h(shift_u: torch.Tensor, shift_v: torch.Tensor) -> torch.Tensor:
        return vmap(lambda a, b: function(a[None], b[None]).reshape(()))(u + shift_u, v + shift_v)

    def curvature(along: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
        return grad(lambda x: grad(lambda w: along(w).sum())(x).sum())(still)

    still = torch.zeros_like(u)
    second_u, second_v = curvature(lambda x: h(x, still)), curvature(lambda x: h(still, x))
    return both @ (h(still, still) + real.rest / 2 * second_u + fake.rest / 2 * second_v)
