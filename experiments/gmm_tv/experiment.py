"""Optimal against first-order discriminators: a mixture of two or three normals on the line against as many intervals.

Success rates over a grid of starting means, with many random discriminators each, for the optimal discriminator, for
first-order steps, and for unrolled ones in every variant; then whether better integration or a penalty cures what happens to
first-order steps.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import torch

from experiments.framework import runner
from experiments.framework.endings import finished
from experiments.framework.folder import Folder, Row
from experiments.gmm_tv import figures
from experiments.gmm_tv.dynamics import Dynamics, truth
from experiments.gmm_tv.options import GmmTv
from experiments.gmm_tv.outcome import KINDS, Outcome, by_kind, fates, share
from odegan import games, odeint_gan
from odegan.utils import checkpoint

REPORTS = 100  # states that are kept after the first


def outcome(dynamics: Dynamics, options: GmmTv, folder: Folder) -> Outcome:
    """The outcome of one dynamics, computed, or read from an earlier part of the run."""
    file = folder.checkpoint(dynamics.label)
    if not file.exists():
        # Only the outcome is stored: the statistics of every step of every member are a hundred times as large.
        found = play(dynamics, options)
        checkpoint.save(file, {"outcome": (found.ts, found.path, found.end)})
    ts, path, end = checkpoint.load(file)["outcome"]
    return Outcome(ts, path, end, options.components)


def play(dynamics: Dynamics, options: GmmTv) -> Outcome:
    """One dynamics from every start."""
    optimal = dynamics.game.n_disc == 0
    steps = options.optimal_steps if optimal else options.steps
    counts = torch.linspace(0, steps, min(REPORTS, steps) + 1, dtype=torch.float64).round()
    adaptive = dynamics.arguments["solver"] == "dopri5"
    solution = finished(
        odeint_gan(
            dynamics.game,
            # An optimal discriminator has no parameters: the endpoints go.
            options.starts()[:, 2 * options.components :] if optimal else options.starts(),
            dynamics.step_size * counts,
            step_size=None if adaptive else dynamics.step_size,
            # An adaptive solver's projection acts once a refresh interval, here as often as after the others' steps.
            refresh=dynamics.step_size if adaptive else None,
            compile=options.compile and not optimal,
            progress=dynamics.label if options.progress else False,
            on_nonfinite="stop",
            **dynamics.arguments,
        )
    )
    path = solution.ys[:, options.shown()].double().cpu()
    return Outcome(solution.ts, path, solution.y.double().cpu(), options.components)


def row(dynamics: Dynamics, found: Outcome, off: torch.Tensor) -> Row:
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


def run(options: GmmTv, folder: Folder) -> list[Row]:
    """Every dynamics from every start; heat maps, trajectories, the table."""
    off = options.off_diagonal()
    outcomes: dict[Dynamics, Outcome] = {}
    rows: list[Row] = []
    for dynamics in options.dynamics():
        found = outcome(dynamics, options, folder)
        outcomes[dynamics] = found
        rows.append(row(dynamics, found, off))
        folder.log({"run": dynamics.label, **rows[-1], "success by cell": options.by_cell(found.success)})
    draw(outcomes, rows, options, folder)
    return rows


def draw(outcomes: dict[Dynamics, Outcome], rows: Sequence[Row], options: GmmTv, folder: Folder) -> None:
    """Heat maps of each group and step size, and one trajectory of each."""
    groups: dict[str, list[Dynamics]] = {}
    for dynamics in outcomes:
        groups.setdefault(f"{dynamics.group}_h{dynamics.step_size:g}", []).append(dynamics)
    rates = {dynamics: found["success"] for dynamics, found in zip(outcomes, rows, strict=True)}
    k = options.components
    game = games.gmm_tv(truth(k))
    for name, members in groups.items():
        maps = {d.name: (options.by_cell(outcomes[d].success), rates[d]) for d in members}
        folder.save(figures.heat_maps(maps, members[0].step_size, k), f"heat_{name}")
        shares = {d.name: fates(outcomes[d], options.off_diagonal()) for d in members if d.game.n_disc}
        if shares:
            folder.save(figures.fates(shares, k), f"fates_{name}")
        paths = {}
        for d in members:
            states = outcomes[d].path
            ends = game.optimal_discriminator(states) if d.game.n_disc == 0 else states[:, : 2 * k]
            paths[d.name] = (outcomes[d].ts, ends, states[:, -k:])
        folder.save(figures.trajectories(paths, truth(k)), f"paths_{name}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the experiment from the command line; return the exit code."""
    return runner.main(GmmTv, run, argv)


if __name__ == "__main__":
    sys.exit(main())
