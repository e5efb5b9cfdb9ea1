"""A small convolutional GAN on scikit-learn's 1,797 handwritten digits of 8x8 pixels, trained by an ODE solver.

Trains the preset ``digits`` of ``experiments.images`` for a number of field evaluations. An exponential average of the
generator is scored during training: FID and per-class coverage in the 32 features of a small classifier trained on the same
digits. Such an FID is not comparable with the literature's; the table has that between two halves of the real digits for
reference. To compare several solvers, use ``python -m experiments.images compare --preset digits``.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence

import torch

from experiments.digits import figures
from experiments.digits.options import Digits
from experiments.framework import runner
from experiments.framework.endings import Diverged
from experiments.framework.folder import Folder, Row
from experiments.images.equipment import Equipment
from experiments.images.ingredients import open_data
from experiments.images.integration import refuse
from experiments.images.monitor import Limits
from experiments.images.scores import Scorer
from experiments.images.training import TrainingRun, train

GRID = 36  # images of each grid over time


def run(options: Digits, folder: Folder) -> list[Row]:
    """Train, compute the scores and draw the figures."""
    torch.set_num_threads(options.threads)
    preset = options.preset()
    data = open_data(preset)
    scorer = Scorer(preset, data, options.cache, options.device, quick=options.quick)
    equipment = Equipment(data, scorer, options.device, GRID, options.progress, quick=options.quick)
    # Before anything of an earlier run in the folder is replaced.
    refuse(preset, equipment, options.seed)
    found = train(
        preset,
        equipment,
        folder,
        name=f"seed{options.seed}",
        seed=options.seed,
        save_every=options.save_every,
        limits=Limits(evaluations=options.evaluations),
    )
    for name, figure in figures.of_run(found, scorer, folder).items():
        folder.save(figure, name)
    assert scorer.classifier is not None
    folder.facts["classifier, right on held-out digits"] = scorer.classifier.accuracy
    rows = [row(found, scorer)]
    # Raised last: what the run reached has been drawn and written.
    if found.diverged:
        raise Diverged(found.ending, rows)
    return rows


def row(run: TrainingRun, scorer: Scorer) -> Row:
    """Scores at the end; nan of a run that diverged, whatever it scored before."""
    scores = scorer.nothing() if run.diverged else run.reports[-1].scores
    return {
        "solver": run.preset.solver,
        "field evaluations": run.solution.stats["nfe"],
        "FID": scores["fid"]["value"],
        "FID of real halves": scorer.floor("fid"),
        "coverage": scores["coverage"]["value"],
        "worst class": min(scores["coverage"].get("per_class", [math.nan])),
        "seconds": run.monitor.seconds,
        "diverged": int(run.diverged),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Run the experiment from the command line; return the exit code."""
    return runner.main(Digits, run, argv)


if __name__ == "__main__":
    sys.exit(main())
