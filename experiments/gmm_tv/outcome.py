"""The outcome of one dynamics from all starts, and the kinds of discriminators at the end."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch

from experiments.gmm_tv.dynamics import truth
from odegan import games
from odegan.games.closed_form.interval_union import cdf

# Of the total variation at the end, by the number of components: below 0.0581 and 0.0328, the least with two equal means.
SUCCESS = {2: 0.05, 3: 0.028}
COLLAPSED = 0.01  # length of all intervals
BLIND = 0.01  # share of the data on which a constant discriminator may still differ
MERGED = 0.1  # distance of two of the generator's means
KINDS = ("constant, not empty", "success, alive", "success, empty", "success, constant not empty")


@dataclass(frozen=True)
class Outcome:
    """Of one dynamics of k components: ts (T,), one member's path (T, P), and where all members end (E, P)."""

    ts: torch.Tensor
    path: torch.Tensor
    end: torch.Tensor
    k: int

    @property
    def intervals(self) -> torch.Tensor:
        """The endpoints of all members, (E, 2 k)."""
        return self.end[:, : 2 * self.k]

    @cached_property
    def distance(self) -> torch.Tensor:
        """The total variation TV(G*, G) of each member, (E,)."""
        return games.gmm_tv(truth(self.k)).total_variation(self.end[:, -self.k :])

    @property
    def success(self) -> torch.Tensor:
        """Whether the generator is near the truth, (E,)."""
        return self.distance < SUCCESS[self.k]

    @property
    def collapsed(self) -> torch.Tensor:
        """Whether all intervals are shorter than 0.01, (E,)."""
        return ((self.intervals[:, 1::2] - self.intervals[:, ::2]).abs() < COLLAPSED).all(1)

    @property
    def constant(self) -> torch.Tensor:
        """Whether the discriminator is the same number, 0 or another, on all but a hundredth of the data, (E,)."""
        # Signed lengths may make intervals overlap or count negatively: D is the sum of the steps at its endpoints.
        ends, order = self.intervals.sort(dim=1)
        steps = 1 - 2 * (order % 2)  # up at a left endpoint, down at a right one
        values = torch.cat([torch.zeros_like(steps[:, :1]), steps.cumsum(1)], dim=1)
        below = cdf(ends[..., None] - truth(self.k)).mean(-1)
        zero = torch.zeros_like(below[:, :1])
        pieces = torch.cat([zero, below, zero + 1], dim=1).diff(dim=1)
        # k intervals of either sign: D lies between -k and k.
        shares = torch.stack([(pieces * (values == v)).sum(1) for v in range(-self.k, self.k + 1)])
        return shares.amax(0) > 1 - BLIND

    @property
    def merged(self) -> torch.Tensor:
        """Whether two of the generator's means are within a tenth of one another, (E,)."""
        return (self.end[:, -self.k :].sort(dim=1).values.diff(dim=1) < MERGED).any(1)


def share(which: torch.Tensor) -> float:
    """The share of true ones."""
    return float(which.double().mean())


def by_kind(found: Outcome, off: torch.Tensor) -> dict[str, float | None]:
    """Of the discriminators that are constant without being empty, their share; and the success beside each kind."""
    full = found.constant & ~found.collapsed
    beside = [found.success[off & kind] for kind in (~found.constant, found.collapsed, full)]
    return dict(zip(KINDS, [share(full[off]), *(share(part) if len(part) else None for part in beside)], strict=True))


def fates(found: Outcome, off: torch.Tensor) -> list[float]:
    """Shares of success, and of failures with all intervals empty, with a discriminator otherwise constant, and others."""
    kinds = [found.success, found.collapsed, found.constant, torch.ones_like(off)]
    left = off
    shares = []
    for kind in kinds:
        shares.append(share((left & kind)[off]))
        # Every run counts once, under the first kind that fits.
        left = left & ~kind
    return shares
