"""The training of one ensemble on a ring, with the experiment's options."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from experiments.framework import mixture
from experiments.framework.mixture import EnsembleRun
from experiments.framework.solver_options import evaluations_per_step
from experiments.ring8.options import Ring8
from experiments.ring8.rings import Ring
from odegan import Game


def train(
    options: Ring8,
    ring: Ring,
    game: Game,
    keywords: dict[str, Any],
    *,
    label: str,
    checkpoint: Path,
    batch_size: int,
    independent: bool = False,
) -> EnsembleRun:
    """Train one ensemble with these arguments of ``odeint_gan``, or take it from its checkpoint.

    independent: draw the mode of each sample independently, instead of giving every mode the same number of samples.
    """
    return mixture.train(
        game,
        mixture.starting_points(game, options.seed, options.seeds).to(options.device),
        keywords,
        evaluations=(options.steps or 1) * evaluations_per_step(keywords),
        reports=options.reports,
        samples=options.samples,
        checkpoint=checkpoint,
        target=ring.target,
        independent=independent or ring.independent,
        batch_size=batch_size,
        seed=options.seed,
        compile=options.compile,
        progress=label if options.progress else False,
    )
