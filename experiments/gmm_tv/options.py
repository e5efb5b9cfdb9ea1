"""The command line of the mixture in total variation, and its grid of starting points."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from einops import rearrange, repeat

from experiments.framework.options import Options
from experiments.gmm_tv.dynamics import Dynamics, ahead, cures, plain
from odegan.utils.checks import argument_error, check_int, check_number


@dataclass
class GmmTv(Options):
    """The grid of starts, and the steps."""

    components: Literal[2, 3] = 2
    """Components k of both mixtures, and intervals of the discriminator."""
    grid: int = 10
    """Number of starting values of each mean, on [-k/2, k/2]."""
    per_cell: int = 50
    """Random discriminators per start."""
    steps: int = 3000
    """Steps of each dynamics."""
    optimal_steps: int = 1000
    """Steps of the optimal dynamics."""
    step_sizes: tuple[float, ...] = (0.1, 0.3)
    """Of the optimal and first-order dynamics; the unrolled ones and the possible cures have the first."""
    unroll: int = 5
    """Ascent steps of the unrolled dynamics."""
    only: str = ""
    """Run only dynamics whose name contains this."""
    compile: bool = True
    """Compile the steps: several times faster, after some seconds each. Needs a C++ compiler."""
    full: bool = False
    """Unrolled dynamics with every step size."""
    double: bool = False
    """Float64 instead of float32."""

    def name(self, experiment: str) -> str:
        """Three components have a folder and a page of results of their own."""
        return experiment if self.components == 2 else f"{experiment}_three"

    def quick_form(self) -> GmmTv:
        """Four cells, few steps, nothing compiled."""
        sizes = self.step_sizes[-1:]
        short = replace(self, grid=2, per_cell=2, steps=10, optimal_steps=10, step_sizes=sizes, unroll=2)
        return replace(short, compile=False, full=False)

    def check(self) -> None:
        """Refuse what is no grid and no steps."""
        check_int("grid", self.grid, low=2)
        for name in ("per_cell", "steps", "optimal_steps", "unroll"):
            check_int(name, getattr(self, name), low=1)
        for h in self.step_sizes:
            check_number("step_sizes", h, low=0.0, strict=True)
        check_int("step_sizes, how many", len(self.step_sizes), low=1)
        if not self.dynamics():
            argument_error("only", self.only, "a part of the name of one of the dynamics")

    def dynamics(self) -> list[Dynamics]:
        """The dynamics that are run."""
        first, *others = self.step_sizes
        k = self.components
        found = [*plain(first, k), *ahead(first, self.unroll, k)]
        for h in others:
            found += [*plain(h, k), *(ahead(h, self.unroll, k) if self.full else [])]
        return [dynamics for dynamics in [*found, *cures(first, k)] if self.only in dynamics.name]

    def starts(self) -> torch.Tensor:
        """(grid^k per_cell, 3 k): all means of the grid, the first running slowest, with sorted endpoints.

        The endpoints are uniform between the ends of the grid, two standard deviations further on both sides.
        """
        means = repeat(self._cells(), "cell mean -> (cell each) mean", each=self.per_cell)
        reach = self.components / 2 + 2
        source = torch.Generator().manual_seed(self.seed)
        draws = torch.rand(len(means), 2 * self.components, generator=source, dtype=torch.float64)
        ends = (2 * reach * draws - reach).sort(dim=1).values
        return torch.cat([ends, means], dim=1).to(self.device, torch.float64 if self.double else torch.float32)

    def _cells(self) -> torch.Tensor:
        """(grid^k, k): the means of every cell."""
        half = self.components / 2
        line = torch.linspace(-half, half, self.grid, dtype=torch.float64)
        return torch.cartesian_prod(*[line] * self.components)

    def off_diagonal(self) -> torch.Tensor:
        """(E,) where the means differ at the start."""
        differ = (self._cells().sort(dim=1).values.diff(dim=1) > 0).all(1)
        return repeat(differ, "cell -> (cell each)", each=self.per_cell)

    def by_cell(self, which: torch.Tensor) -> torch.Tensor:
        """(E,) -> (grid, grid) shares; rows by the first mean, columns by the second.

        The third mean takes all values that differ from both, where these differ.
        """
        cells = "(first second rest) -> first second rest"
        which = rearrange(which.double(), cells, first=self.grid, second=self.grid)
        off = rearrange(self.off_diagonal(), cells, first=self.grid, second=self.grid)
        counted = (off | ~off.any(-1, keepdim=True)).double()
        return (which * counted).sum(-1) / counted.sum(-1)

    def shown(self) -> int:
        """The member whose path is drawn: the middle one of those off the diagonal."""
        (members,) = self.off_diagonal().nonzero(as_tuple=True)
        return int(members[len(members) // 2])
