"""ODE-GAN's mixture of 16 Gaussians, in the authors' setting, with every choice on the command line.

An ensemble of seeds is trained at once for a given number of field evaluations of each member, so that solvers are
compared at equal work; penalties are not counted. With --compare a table of settings is trained in turn; with --step-sizes and
--weights as well, each setting at every pair of a step size and a weight of the penalty, which makes a map. Scores: modes
covered (a mode that holds at least 1 % of the samples within 5 sigma), quality (the share of samples within 5 sigma of a
mode), and the divergence of the mode histogram from uniform in nats. The relative error of the steps, by step doubling along
the run, shows how closely the run follows the flow of the field.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

import torch

from experiments.framework import mixture, runner
from experiments.framework.endings import finished
from experiments.framework.folder import Folder, Row
from experiments.framework.mixture import EnsembleRun
from experiments.mog16.figures import comparison_figures, single_figures
from experiments.mog16.map import mapped
from experiments.mog16.options import Mog16
from experiments.mog16.step_error import step_errors
from odegan import Game, gan, nets


def run(options: Mog16, folder: Folder) -> list[Row]:
    """One setting, the table of settings, or the map."""
    game = gan(*nets.mog16(), loss=options.loss)
    if options.compare:
        changed = options.compared()
        trained = {name: train(one, game, folder, name) for name, one in changed.items()}
        errors = {name: step_errors(game, changed[name], one.states) for name, one in trained.items()}
        if options.places():
            return mapped(options.places(), trained, errors, row, folder)
        figures = comparison_figures(game, trained, errors)
        folder.facts.update(at_equal_time(trained) | at_the_start(errors))
    else:
        trained = {options.solver: train(options, game, folder, options.solver)}
        errors = {options.solver: step_errors(game, options, trained[options.solver].states)}
        figures = single_figures(game, trained[options.solver])
    for name, figure in figures.items():
        folder.save(figure, name)
    return [row(name, one, errors[name]) for name, one in trained.items()]


def train(options: Mog16, game: Game, folder: Folder, name: str) -> EnsembleRun:
    """Train one setting, or take it from its checkpoint, and log its scores."""
    trained = mixture.train(
        game,
        mixture.starting_points(game, options.seed, options.seeds).to(options.device),
        options.keywords(),
        evaluations=options.length(),
        reports=options.reports,
        samples=options.samples,
        checkpoint=folder.checkpoint(name),
        batch_size=options.batch_size,
        seed=options.seed,
        compile=options.compile,
        progress=name if options.progress else False,
    )
    for line in trained.lines():
        folder.log({"run": name} | line)
    # Only after the scores are logged, since an interrupted run raises here.
    finished(trained.solution)
    return trained


def at_equal_time(trained: Mapping[str, EnsembleRun]) -> Row:
    """The scores of the first setting, and those of longer settings at the same time."""
    first = next(iter(trained.values())).solution
    found: Row = {}
    for name, one in trained.items():
        # Compared only where that time is reported: scores are not interpolated.
        at = int((one.solution.ts - first.t).abs().argmin())
        if abs(float(one.solution.ts[at]) - first.t) < 1e-6 and (one.solution is first or one.solution.t > first.t):
            found[f"modes covered at t = {first.t:g}, {name}"] = mixture.spread(one.scores.modes_covered[at])
            found[f"quality at t = {first.t:g}, {name}"] = mixture.spread(one.scores.quality[at])
    return found


def at_the_start(errors: Mapping[str, torch.Tensor]) -> Row:
    """The step errors at the start, of settings that have them."""
    known = {name: of_steps[0] for name, of_steps in errors.items() if of_steps[0].isfinite().all()}
    return {f"step error at the start, {name}": mixture.spread(first) for name, first in known.items()}


def row(name: str, trained: EnsembleRun, errors: torch.Tensor) -> Row:
    """Means and standard deviations over the members at the end; a diverged member covers no mode.

    errors: step errors (R, E); the row shows each member's median over the second half of the run.
    """
    covered, quality, kl = (mixture.spread(score[-1]) for score in trained.scores)
    of_members = errors[len(errors) // 2 :].nanmedian(0).values
    known = of_members[~of_members.isnan()]
    return {
        "setting": name,
        "modes covered": covered,
        "quality": quality,
        "histogram KL": kl,
        "diverged": f"{int(trained.diverged.sum())} of {len(trained.diverged)}",
        "evaluations": int(trained.evaluations[-1]),
        "time t": trained.solution.t,
        "step error": mixture.spread(known) if len(known) else None,
        "seconds": round(trained.seconds, 1),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Run the experiment from the command line; return the exit code."""
    return runner.main(Mog16, run, argv)


if __name__ == "__main__":
    sys.exit(main())
