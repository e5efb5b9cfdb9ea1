"""Does the discretization drift explain how Euler's method trains? The mixture of 16 Gaussians with it added, or canceled.

Euler's method with step h follows, to second order, not the game's field but one with drift terms added. Classical RK4 on that
field, at the same h and on the same minibatches, has Euler's drift without its errors of higher order. If it trains like
Euler's method, the drift is the difference between the two solvers. The players' own drift and the interaction are also added
separately, and Euler's method is run with its drift canceled. All are compared over equal times, with and without the authors'
penalty.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

import torch

from experiments.drift import figures
from experiments.drift.modified import Drifting, of_game
from experiments.drift.options import FREE, KINDS, DriftOptions, reference
from experiments.drift.results import Trained
from experiments.framework import mixture, runner
from experiments.framework.endings import finished
from experiments.framework.folder import Folder, Row
from odegan import Batch, Game, gan, nets, odeint_gan


def run(options: DriftOptions, folder: Folder) -> list[Row]:
    """All settings, each beside Euler's method."""
    game = prepared(options)
    trained = {}
    for name in options.wanted:
        trained[name] = train(game, name, options, folder)
        log(name, trained[name], folder)
    for title, figure in figures.all_of(trained).items():
        folder.save(figure, title)
    for name in trained:
        folder.facts |= departures(name, trained)
    return [row(name, trained) for name in trained]


def prepared(options: DriftOptions) -> Game:
    """The mixture's game, which knows that its samples are not coupled."""
    game = gan(*nets.mog16())
    generator = torch.Generator().manual_seed(options.seed)
    # Any batch will do: it only shows the probe that no layer couples samples.
    batch = Batch(mixture.draw(16, generator), torch.randn(16, mixture.LATENT, generator=generator))
    return game.prepared(game.init(), batch)


def train(game: Game, name: str, options: DriftOptions, folder: Folder) -> Trained:
    """Train one setting, or take it from its checkpoint."""
    solver, drift, steps = KINDS[name.removesuffix(FREE)]
    penalties = [] if name.endswith(FREE) else options.chosen_penalties()
    times = torch.tensor(options.times, dtype=torch.float64)
    solution = finished(
        odeint_gan(
            game if drift is None else Drifting(game, options.step_size, drift),
            mixture.starting_points(game, options.seed, options.seeds).to(options.device),
            times,
            data=mixture.draw,
            latent=mixture.LATENT,
            batch_size=options.batch_size,
            solver=solver,
            step_size=options.step_size / steps,
            refresh=None if steps == 1 else options.step_size,
            # Penalties of the game itself: of the shifted one they would carry a drift that Euler's run does not have.
            penalties=[of_game(penalty, game) for penalty in penalties],
            placement="after_step",
            seed=options.seed,
            checkpoint=folder.checkpoint(name),
            on_nonfinite="stop",
            compile=options.compile,
            progress=name if options.progress else False,
        )
    )
    # Where all members have diverged the solution ends early.
    missing = solution.ys.new_full((len(times) - len(solution.ys), *solution.ys.shape[1:]), torch.nan)
    states = torch.cat([solution.ys, missing]).cpu()
    # The shifted field evaluates the game's twice, which the solver counts as once.
    factor = 1 if drift is None else 2
    return Trained(times, states, mixture.scored(game, states, options.samples), factor * solution.stats["nfe"])


def log(name: str, one: Trained, folder: Folder) -> None:
    """The scores at every reported time."""
    for step, (t, *scores) in enumerate(zip(one.times.tolist(), *one.scores, strict=True)):
        folder.log({"run": name, "step": step, "t": t, **dict(zip(one.scores._fields, scores, strict=True))})


def departures(name: str, trained: Mapping[str, Trained]) -> Row:
    """Distances from Euler's run on the same seeds and minibatches, at the early times, over those that Euler's has moved."""
    euler = trained[reference(name)]
    if trained[name] is euler:
        return {}
    found: Row = {}
    # Only early: trajectories of a chaotic training part whatever the solver.
    for t in euler.times[1:6].tolist():
        moved = (euler.at(t) - euler.states[0]).norm(dim=-1)
        away = (trained[name].at(t) - euler.at(t)).norm(dim=-1)
        found[f"distance from euler's run at t = {t:g}, {name}"] = mixture.spread(away / moved)
    return found


def row(name: str, trained: Mapping[str, Trained]) -> Row:
    """Means and deviations over the members at the end, and the differences from Euler's method, seed by seed."""
    one = trained[name]
    euler = trained[reference(name)]
    covered, quality, kl = (mixture.spread(score[-1]) for score in one.scores)
    return {
        "setting": name,
        "modes covered": covered,
        "quality": quality,
        "histogram KL": kl,
        "modes beyond euler": paired(one.scores.modes_covered, euler.scores.modes_covered),
        "quality beyond euler": paired(one.scores.quality, euler.scores.quality),
        "diverged": f"{int(one.diverged.sum())} of {len(one.diverged)}",
        "evaluations": one.evaluations,
        "time t": float(one.times[-1]),
    }


def paired(score: torch.Tensor, other: torch.Tensor) -> tuple[float, float]:
    """Mean of the differences at the end over the members, and its standard error."""
    # Member by member: runs of one seed share start and minibatches, and most of the scatter cancels.
    differences = (score[-1] - other[-1]).double()
    return float(differences.mean()), float(differences.std(correction=1) / len(differences) ** 0.5)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the experiment from the command line; return the exit code."""
    return runner.main(DriftOptions, run, argv)


if __name__ == "__main__":
    sys.exit(main())
