"""The ring of 8 Gaussians in JARE's and CLC-GAN's settings: which method covers all modes, on how many seeds?

Every method of the two papers is trained as one ensemble over seeds, by RMSProp. The default is a short form: 2,000 steps of
0.001 in place of the papers' 20,000 of 0.0001, hidden layers a quarter as wide, and minibatches of 128; weights are the
papers'. --full is their length, learning rate, minibatches and, unless --shrink says otherwise, widths. With --weights every
penalty is trained at several weights. --rings also offers JARE's narrower and wider modes and CLC-GAN's grid of 25 modes. With
--penalty one run of each setting, by any solver. With --question another experiment: does JARE's penalty train differently
when its squared norms are estimated without bias? (1,500 steps.)

Scores: covered (a mode that holds at least 1 % of the samples within 5 sigma), which a shapeless cloud over the ring attains
too; resolved (at least half of its fair share, 1/16 of the samples on a ring, within 3 sigma), which it does not; and quality,
the share of samples within 5 sigma of a mode.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from experiments.framework import mixture, runner
from experiments.framework.endings import finished
from experiments.framework.folder import Folder, Row
from experiments.ring8 import ensembles, figures, question, weight_figures
from experiments.ring8.options import Ring8, split
from experiments.ring8.results import MethodRun
from experiments.ring8.rings import RINGS, Method, Ring
from odegan import solvers


def run(options: Ring8, folder: Folder) -> list[Row]:
    """The comparison, one penalty, or the question."""
    torch.set_num_threads(options.threads)
    print(f"{options.steps:,} steps of {options.step_size:g}, hidden widths 1/{options.shrink}, {options.seeds} seeds")
    if options.question:
        return question.run(options, folder)
    runs = [
        train(options, name, method, how, folder)
        for name in options.rings
        for method, how in chosen(options, RINGS[name]).items()
    ]
    drawn = weight_figures.comparison(runs) if options.weights else figures.comparison(runs)
    for title, figure in drawn.items():
        folder.save(figure, title)
    return [row(one) for one in runs]


def chosen(options: Ring8, ring: Ring) -> dict[str, Method]:
    """The methods to train on one ring, by name: the penalty of the command line alone, or the paper's methods.

    >>> list(chosen(Ring8(methods=("none", "JARE"), weights=(0.1, 1)), RINGS["jare"]))
    ['none', 'JARE@0.1', 'JARE@1']
    """
    if options.penalty:
        return {" + ".join(options.penalty): Method(options.penalty)}
    found = {}
    for text in options.methods or ring.methods:
        method, given = split(text)
        if method in ring.methods:
            how = ring.methods[method]
            for weight in (options.weights if how.penalty else ()) or (given,):
                found[method if weight is None else f"{method}@{weight:.12g}"] = (
                    how if weight is None else how.weighted(weight)
                )
    return found


def keywords(options: Ring8, ring: Ring, how: Method) -> dict[str, Any]:
    """The solver's arguments under one method; D moves before G where the paper's does and the solver has turns."""
    # Solvers without that option move both players at once, also where the paper does not.
    turns = (ring.in_turn or how.in_turn) and "alternating" in solvers.get(options.solver).options
    given = replace(options, penalty=how.penalty).keywords()
    return given | {"options": ({"alternating": True} if turns else {}) | given["options"]}


def train(options: Ring8, name: str, method: str, how: Method, folder: Folder) -> MethodRun:
    """Train one method, or take it from its checkpoint, and log its scores."""
    ring = RINGS[name]
    game = ring.game(options.divisor)
    given = keywords(options, ring, how)
    label = f"{name}, {method}"
    trained = ensembles.train(
        options,
        ring,
        game,
        given,
        label=label,
        checkpoint=folder.checkpoint(label),
        batch_size=ring.batch_size if options.full else options.batch_size,
    )
    # Scored again with the stricter threshold: ``trained`` holds the scores with the usual one.
    resolved = mixture.scored(game, trained.states, options.samples, ring.target, **ring.resolved).modes_covered
    for line, modes in zip(trained.lines(), resolved, strict=True):
        folder.log({"run": label} | line | {"modes_resolved": modes})
    # Only after the scores are logged, since an interrupted run raises here.
    finished(trained.solution)
    return MethodRun(name, ring, method, how.weight, game, trained, resolved)


def row(one: MethodRun) -> Row:
    """Seeds that cover and resolve all modes at the end; means and standard deviations over the seeds."""
    trained = one.trained
    modes = len(one.ring.target.modes)
    covered, quality, kl = (score[-1] for score in trained.scores)
    seeds = len(covered)
    return {
        "setting": one.ring.title,
        "method": one.method.partition("@")[0],
        "weight": one.weight,
        "all modes covered": f"{int((covered == modes).sum())} of {seeds}",
        "all resolved": f"{int((one.resolved[-1] == modes).sum())} of {seeds}",
        "modes covered": mixture.spread(covered),
        "modes resolved": mixture.spread(one.resolved[-1]),
        "quality": mixture.spread(quality),
        "histogram KL": mixture.spread(kl),
        "diverged": f"{int(trained.diverged.sum())} of {seeds}",
        "evaluations": int(trained.evaluations[-1]),
        "seconds": round(trained.seconds, 1),
        "CPU seconds": round(trained.cpu, 1),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Run the experiment from the command line; return the exit code."""
    return runner.main(Ring8, run, argv)


if __name__ == "__main__":
    sys.exit(main())
