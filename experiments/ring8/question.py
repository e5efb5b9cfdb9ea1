"""Does JARE's penalty train differently when it is estimated without bias? Pairs of runs over batch sizes, on JARE's ring.

A pair has the same seed: start, data and latents. The biased penalty takes ||mean gradient||^2 of the minibatch, whose
expectation is ||g||^2 + trace(Cov) / B; the unbiased one takes the U-statistic of K chunks' gradients. Beside the scores
stands what could make a difference: trace(Cov) / (B ||g||^2) for both players along the biased runs, from many samples. Every
sample is independent here, modes included, so that the bias is trace(Cov) / B indeed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray
from scipy import stats

from experiments.framework.endings import finished
from experiments.framework.folder import Folder, Row
from experiments.framework.mixture import EnsembleRun
from experiments.ring8 import ensembles, figures
from experiments.ring8.options import Ring8
from experiments.ring8.results import Pair
from experiments.ring8.rings import RINGS, Ring
from odegan import Batch, Game, penalties
from odegan.data.minibatches import Minibatches
from odegan.games.players import BOTH

WEIGHT = 1000.0
MEASURED = 4096  # samples for the bias at one state
GROUP = 16  # samples whose mean gradient is one draw; trace(Cov) of a single sample is GROUP times theirs
SCORES = {"quality": "quality", "modes covered": "modes_covered", "histogram KL": "histogram_kl"}


def run(options: Ring8, folder: Folder) -> list[Row]:
    """Both penalties at every batch size."""
    ring = RINGS["jare"]
    game = ring.game(options.divisor)
    pairs = [train_pair(options, game, ring, size, folder) for size in options.batch_sizes]
    for title, figure in figures.question(pairs, differences(pairs)).items():
        folder.save(figure, title)
    return rows(pairs)


def train_pair(options: Ring8, game: Game, ring: Ring, size: int, folder: Folder) -> Pair:
    """Both penalties at one batch size, and the bias along the run with the biased one."""
    fair = penalties.jare(WEIGHT, chunks=options.chunks, unbiased=True)
    biased = train(options, game, ring, size, "biased", penalties.jare(WEIGHT), folder)
    unbiased = train(options, game, ring, size, "unbiased", fair, folder)
    # Along the biased runs only: there the bias acts.
    measured = [torch.stack([bias(game, y, ring, e) for e, y in enumerate(members)]) for members in biased.states]
    pair = Pair(size, biased, unbiased, torch.stack(measured) / size)
    for step, (evaluations, ratios) in enumerate(zip(biased.evaluations, pair.bias, strict=True)):
        folder.log({"run": f"bias, batch {size}", "step": step, "evaluations": int(evaluations), "ratio": ratios})
    return pair


def train(
    options: Ring8, game: Game, ring: Ring, size: int, name: str, penalty: penalties.Penalty, folder: Folder
) -> EnsembleRun:
    """One penalty at one batch size, or what its checkpoint holds, with its scores logged."""
    label = f"{name}, batch {size}"
    trained = ensembles.train(
        options,
        ring,
        game,
        options.keywords() | {"penalties": [penalty]},
        label=label,
        checkpoint=folder.checkpoint(f"{name}_{size}"),
        batch_size=size,
        independent=True,
    )
    for line in trained.lines():
        folder.log({"run": label} | line)
    finished(trained.solution)
    return trained


def bias(game: Game, y: torch.Tensor, ring: Ring, seed: int) -> torch.Tensor:
    """trace(Cov) / ||g||^2 of one sample's gradient, (2,) for D and G at y (P,); nan if ||g||^2 is not clearly positive."""
    draw = Minibatches(ring.target.draw_independent, ring.latent, MEASURED, seed, y)(0)
    real, latent = (rearrange(x, "(groups each) ... -> groups each ...", each=GROUP) for x in draw)
    groups = Batch(real, latent)
    return torch.stack([_ratio(partial(game.player_gradient, player), *game.split(y), groups) for player in BOTH])


def _ratio(gradient: Callable[..., torch.Tensor], d: torch.Tensor, g: torch.Tensor, groups: Batch) -> torch.Tensor:
    with torch.no_grad():
        each = torch.vmap(lambda batch: gradient(d, g, batch))(groups).double()
    trace = GROUP * each.var(0).sum()
    # The square of a mean of MEASURED samples is itself too large by trace(Cov) / MEASURED.
    squared = (each.mean(0) ** 2).sum() - trace / MEASURED
    # Near an equilibrium the difference may be negative by chance, and a ratio to it says nothing.
    return torch.where(squared > 0, trace / squared, torch.nan)


def late(trained: EnsembleRun, score: str) -> NDArray[np.float64]:
    """A score of each member (E,), averaged over the second half of the reports."""
    values = getattr(trained.scores, score).double()
    return values[len(values) // 2 :].mean(0).numpy()


def differences(pairs: list[Pair]) -> Mapping[str, Mapping[int, NDArray[np.float64]]]:
    """Score -> batch size -> unbiased minus biased, (E,)."""
    return {
        name: {pair.batch_size: late(pair.unbiased, score) - late(pair.biased, score) for pair in pairs}
        for name, score in SCORES.items()
    }


def rows(pairs: list[Pair]) -> list[Row]:
    """One row a batch size and score: means ± standard errors over the seeds, and the paired t test's p."""
    gaps = differences(pairs)
    return [_row(pair, name, score, gaps[name][pair.batch_size]) for pair in pairs for name, score in SCORES.items()]


def _row(pair: Pair, name: str, score: str, gap: NDArray[np.float64]) -> Row:
    ratio = rearrange(pair.bias, "report seed player -> (report seed) player").nanmedian(0).values.tolist()
    return {
        "score, mean of the second half": name,
        "batch size": pair.batch_size,
        "biased": _with_error(late(pair.biased, score)),
        "unbiased": _with_error(late(pair.unbiased, score)),
        "unbiased - biased": _with_error(gap),
        # Of paired differences: the two runs of a seed share start, data and latents.
        "p": float(stats.ttest_1samp(gap, 0.0).pvalue) if gap.std() > 0 else None,
        "bias / squared norm, D": ratio[0],
        "bias / squared norm, G": ratio[1],
        "diverged": f"{int(pair.biased.diverged.sum())} and {int(pair.unbiased.diverged.sum())} of {len(gap)}",
        "CPU seconds": round(pair.biased.cpu + pair.unbiased.cpu, 1),
    }


def _with_error(values: NDArray[np.float64]) -> tuple[float, float]:
    return float(values.mean()), float(stats.sem(values))
