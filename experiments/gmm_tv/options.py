"""The command line of the mixture in total variation, and its grid of starting points."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from einops import reduce, repeat

from experiments.framework.options import Options
from experiments.gmm_tv.dynamics import Dynamics, ahead, cures, plain
from odegan.utils.checks import argument_error, check_int, check_number


@dataclass
class GmmTv(Options):
    """The grid of starts, and the steps."""

    grid: int = 10
    """Number of starting values of each mean, on [-1, 1]."""
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
        found = [*plain(first), *ahead(first, self.unroll)]
        for h in others:
            found += [*plain(h), *(ahead(h, self.unroll) if self.full else [])]
        return [dynamics for dynamics in [*found, *cures(first)] if self.only in dynamics.name]

    def starts(self) -> torch.Tensor:
        """(grid^2 per_cell, 6): all pairs of means, the first running slowest, with sorted endpoints, uniform on (-3, 3)."""
        line = torch.linspace(-1, 1, self.grid, dtype=torch.float64)
        means = repeat(torch.cartesian_prod(line, line), "cell mean -> (cell each) mean", each=self.per_cell)
        source = torch.Generator().manual_seed(self.seed)
        ends = (6 * torch.rand(len(means), 4, generator=source, dtype=torch.float64) - 3).sort(dim=1).values
        return torch.cat([ends, means], dim=1).to(self.device, torch.float64 if self.double else torch.float32)

    def off_diagonal(self) -> torch.Tensor:
        """(E,) where the means differ at the start."""
        differ = ~torch.eye(self.grid, dtype=torch.bool)
        return repeat(differ, "first second -> (first second each)", each=self.per_cell)

    def by_cell(self, which: torch.Tensor) -> torch.Tensor:
        """(E,) -> (grid, grid) shares; rows by the first mean."""
        return reduce(which.double(), "(first second each) -> first second", "mean", first=self.grid, second=self.grid)

    def shown(self) -> int:
        """The member whose path is drawn: the middle one of those off the diagonal."""
        (members,) = self.off_diagonal().nonzero(as_tuple=True)
        return int(members[len(members) // 2])
