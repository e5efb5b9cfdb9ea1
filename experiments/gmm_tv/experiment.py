"""Optimal against first-order discriminators: a mixture of two normals on the line, judged by two intervals.

Success rates over a grid of starting means, with many random discriminators each, for the optimal discriminator, for
first-order steps, and for unrolled ones in every variant; then whether better integration or a penalty cures what happens to
first-order steps.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch

from experiments.framework import runner
from experiments.framework.runner import Folder, Options, finished
from experiments.gmm_tv import figures as gmm_tv_figures
from experiments.gmm_tv.dynamics import Dynamics, ahead, cures, plain, truth
from odegan import games, odeint_gan
from odegan.games.closed_form.interval_union import cdf
from odegan.utils import checkpoint
from odegan.utils.checks import fail, number, whole

SUCCESS = 0.05  # of the total variation at the end
COLLAPSED = 0.01  # length of both intervals
BLIND = 0.01  # share of the data on which a constant discriminator may still differ
MERGED = 0.1  # distance of the generator's means
REPORTS = 100  # states that are kept after the first


@dataclass
class GmmTv(Options):
    """The grid of starts, and the steps."""

    grid: int = 10
    """Starting values of either mean, on [-1, 1]."""
    per_cell: int = 50
    """Random discriminators a start."""
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
        short = replace(self, grid=2, per_cell=2, steps=20, optimal_steps=20, step_sizes=sizes, unroll=2)
        return replace(short, compile=False, full=False)

    def check(self) -> None:
        """Refuse what is no grid and no steps."""
        whole("grid", self.grid, low=2)
        for name in ("per_cell", "steps", "optimal_steps", "unroll"):
            whole(name, getattr(self, name), low=1)
        for h in self.step_sizes:
            number("step_sizes", h, low=0.0, strict=True)
        whole("step_sizes, how many", len(self.step_sizes), low=1)
        if not chosen(self):
            fail("only", self.only, "a part of the name of one of the dynamics")


class Outcome(NamedTuple):
    """Of one dynamics: ts (T,), one member's path (T, P), and where all members end (E, P)."""

    ts: torch.Tensor
    path: torch.Tensor
    end: torch.Tensor

    @property
    def distance(self) -> torch.Tensor:
        """TV(G*, G) (E,)."""
        return games.gmm_tv(truth()).total_variation(self.end[:, -2:])

    @property
    def success(self) -> torch.Tensor:
        """Whether the generator is near the truth, (E,)."""
        return self.distance < SUCCESS

    @property
    def collapsed(self) -> torch.Tensor:
        """Whether both intervals are shorter than 0.01, (E,)."""
        return ((self.end[:, 1:4:2] - self.end[:, 0:4:2]).abs() < COLLAPSED).all(1)

    @property
    def constant(self) -> torch.Tensor:
        """Whether the discriminator is the same number, 0 or another, on all but a hundredth of the data, (E,)."""
        ends, order = self.end[:, :4].sort(dim=1)
        steps = torch.tensor([1, -1, 1, -1]).expand(len(ends), -1).gather(1, order)
        values = torch.cat([torch.zeros_like(steps[:, :1]), steps.cumsum(1)], dim=1)
        below = cdf(ends[..., None] - truth()).mean(-1)
        zero = torch.zeros_like(below[:, :1])
        pieces = torch.cat([zero, below, zero + 1], dim=1).diff(dim=1)
        shares = torch.stack([(pieces * (values == v)).sum(1) for v in range(-2, 3)])
        return shares.amax(0) > 1 - BLIND

    @property
    def merged(self) -> torch.Tensor:
        """Whether the generator's means are within a tenth of one another, (E,)."""
        return (self.end[:, -1] - self.end[:, -2]).abs() < MERGED


def chosen(options: GmmTv) -> list[Dynamics]:
    """The dynamics that are run."""
    first, unroll = options.step_sizes[0], options.unroll
    found = [*plain(first), *ahead(first, unroll)]
    for h in options.step_sizes[1:]:
        found += [*plain(h), *(ahead(h, unroll) if options.full else [])]
    return [dynamics for dynamics in [*found, *cures(first)] if options.only in dynamics.name]


def starts(options: GmmTv) -> torch.Tensor:
    """(grid^2 per_cell, 6): all pairs of means, the first running slowest, each with endpoints uniform on (-3, 3), sorted."""
    line = torch.linspace(-1, 1, options.grid, dtype=torch.float64)
    means = torch.cartesian_prod(line, line).repeat_interleave(options.per_cell, dim=0)
    source = torch.Generator().manual_seed(options.seed)
    ends = (6 * torch.rand(len(means), 4, generator=source, dtype=torch.float64) - 3).sort(dim=1).values
    return torch.cat([ends, means], dim=1).to(options.device, torch.float64 if options.double else torch.float32)


def off_diagonal(options: GmmTv) -> torch.Tensor:
    """(E,) where the means differ at the start."""
    return ~torch.eye(options.grid, dtype=torch.bool).flatten().repeat_interleave(options.per_cell)


def outcome(dynamics: Dynamics, options: GmmTv, folder: Folder) -> Outcome:
    """What came of one dynamics: played, or read from an earlier part of the run."""
    path = folder.checkpoint(dynamics.file)
    if not path.exists():
        # Only what came out is kept: the statistics of every step of every member are a hundred times as much.
        checkpoint.save(path, {"outcome": tuple(play(dynamics, options))})
    return Outcome(*checkpoint.load(path)["outcome"])


def play(dynamics: Dynamics, options: GmmTv) -> Outcome:
    """One dynamics from every start."""
    optimal = dynamics.game.n_disc == 0
    steps = options.optimal_steps if optimal else options.steps
    counts = torch.linspace(0, steps, min(REPORTS, steps) + 1, dtype=torch.float64).round()
    adaptive = dynamics.arguments["solver"] == "dopri5"
    solution = finished(
        odeint_gan(
            dynamics.game,
            starts(options)[:, 4:] if optimal else starts(options),
            dynamics.step_size * counts,
            step_size=None if adaptive else dynamics.step_size,
            refresh=dynamics.step_size if adaptive else None,
            compile=options.compile and not optimal,
            progress=dynamics.label if options.progress else False,
            on_nonfinite="stop",
            **dynamics.arguments,
        )
    )
    path = solution.ys[:, shown(options)].double().cpu()
    return Outcome(solution.ts, path, solution.y.double().cpu())


def shown(options: GmmTv) -> int:
    """The member whose path is drawn: the middle one of those off the diagonal."""
    members = off_diagonal(options).nonzero().flatten()
    return int(members[len(members) // 2])


def row(dynamics: Dynamics, found: Outcome, off: torch.Tensor) -> dict[str, Any]:
    """One line of the table: shares of the starts off the diagonal."""
    learns = dynamics.game.n_disc > 0
    failed = off & ~found.success
    return {
        "dynamics": dynamics.name,
        "h": dynamics.step_size,
        "success": share(found.success[off]),
        "collapsed": share(found.collapsed[off]) if learns else None,
        "constant": share(found.constant[off]) if learns else None,
        **(by_kind(found, off) if learns else dict.fromkeys(KINDS)),
        "of failures, constant": share(found.constant[failed]) if learns and failed.any() else None,
        "of failures, means merged": share(found.merged[failed]) if failed.any() else None,
        "mean TV": float(found.distance[off].mean()),
        "success on the diagonal": share(found.success[~off]),
    }


KINDS = ("constant, not empty", "success, alive", "success, empty", "success, constant not empty")


def by_kind(found: Outcome, off: torch.Tensor) -> dict[str, float | None]:
    """Of the discriminators that are constant without being empty, their share; and the success beside each kind."""
    full = found.constant & ~found.collapsed
    beside = [found.success[off & kind] for kind in (~found.constant, found.collapsed, full)]
    return dict(zip(KINDS, [share(full[off]), *(share(part) if len(part) else None for part in beside)], strict=True))


def fates(found: Outcome, off: torch.Tensor) -> list[float]:
    """Shares of success, and of failures with both intervals empty, with a discriminator otherwise constant, and others."""
    kinds = [found.success, found.collapsed, found.constant, torch.ones_like(off)]
    left, shares = off, []
    for kind in kinds:
        shares.append(share((left & kind)[off]))
        left = left & ~kind
    return shares


def share(which: torch.Tensor) -> float:
    """The share of true ones."""
    return float(which.double().mean())


def run(options: GmmTv, folder: Folder) -> list[dict[str, Any]]:
    """Every dynamics from every start; heat maps, trajectories, the table."""
    off = off_diagonal(options)
    outcomes: dict[Dynamics, Outcome] = {}
    rows = []
    for dynamics in chosen(options):
        found = outcomes[dynamics] = outcome(dynamics, options, folder)
        rows.append(row(dynamics, found, off))
        folder.log({"run": dynamics.label, **rows[-1], "success by cell": by_cell(found.success, options)})
    draw(outcomes, rows, options, folder)
    return rows


def by_cell(which: torch.Tensor, options: GmmTv) -> torch.Tensor:
    """(grid, grid) shares; rows by the first mean."""
    return which.double().reshape(options.grid, options.grid, -1).mean(-1)


def draw(outcomes: dict[Dynamics, Outcome], rows: Sequence[dict[str, Any]], options: GmmTv, folder: Folder) -> None:
    """Heat maps of each group and step size, and one trajectory of each."""
    groups: dict[str, list[Dynamics]] = {}
    for dynamics in outcomes:
        groups.setdefault(f"{dynamics.group}_h{dynamics.step_size:g}", []).append(dynamics)
    rates = {dynamics: found["success"] for dynamics, found in zip(outcomes, rows, strict=True)}
    game = games.gmm_tv(truth())
    for name, members in groups.items():
        maps = {d.name: (by_cell(outcomes[d].success, options), rates[d]) for d in members}
        folder.save(gmm_tv_figures.heat_maps(maps, members[0].step_size), f"heat_{name}")
        shares = {d.name: fates(outcomes[d], off_diagonal(options)) for d in members if d.game.n_disc}
        if shares:
            folder.save(gmm_tv_figures.fates(shares), f"fates_{name}")
        paths = {}
        for d in members:
            states = outcomes[d].path
            ends = game.optimal_discriminator(states) if d.game.n_disc == 0 else states[:, :4]
            paths[d.name] = (outcomes[d].ts, ends, states[:, -2:])
        folder.save(gmm_tv_figures.trajectories(paths, truth()), f"paths_{name}")


def main(argv: Sequence[str] | None = None) -> int:
    """The command line."""
    return runner.main(GmmTv, run, argv)


if __name__ == "__main__":
    sys.exit(main())
