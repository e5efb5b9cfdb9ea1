"""Does JARE's penalty train differently when it is estimated without bias? Pairs of runs over batch sizes, on JARE's ring.

A pair has the same seed: start, data and latents. The biased penalty takes ||mean gradient||^2 of the minibatch, whose
expectation is ||g||^2 + trace(Cov) / B; the unbiased one takes the U-statistic of K chunks' gradients. Beside the scores
stands what could make a difference: trace(Cov) / (B ||g||^2) for both players along the biased runs, from many samples. Every
sample is independent here, modes included, so that the bias is trace(Cov) / B indeed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from scipy import stats

from experiments.framework import mixture, runner, solver_options
from experiments.framework.folder import Folder
from experiments.framework.mixture import Trained
from experiments.ring8 import figures as ring8_figures
from experiments.ring8.settings import SETTINGS, Setting
from odegan import Batch, Game, penalties
from odegan.data.minibatches import Minibatches
from odegan.utils.checks import fail, whole

if TYPE_CHECKING:
    from experiments.ring8.experiment import Ring8

WEIGHT = 1000.0
MEASURED = 4096  # samples for the bias at one state
GROUP = 16  # samples whose mean gradient is one draw; trace(Cov) of a single sample is GROUP times theirs
SCORES = {"quality": "quality", "modes covered": "modes_covered", "histogram KL": "histogram_kl"}


class Pair(NamedTuple):
    """The two runs at one batch size; bias: (R, E, 2) trace(Cov) / (B ||g||^2) of D and of G along the biased ones."""

    batch_size: int
    biased: Trained
    unbiased: Trained
    bias: torch.Tensor


def check(options: Ring8) -> None:
    """Refuse what the question cannot vary."""
    if options.penalty:
        fail("penalty", options.penalty, "left out with --question, which compares JARE's two penalties")
    if options.methods:
        fail("methods", options.methods, "left out with --question")
    if options.seeds < 2:
        fail("seeds", options.seeds, "at least 2 with --question, for a standard error")
    whole("chunks", options.chunks, low=2)
    if not options.batch_sizes or len(set(options.batch_sizes)) < len(options.batch_sizes):
        fail("batch_sizes", options.batch_sizes, "at least one number, each once")
    for size in options.batch_sizes:
        if size < 1 or size % options.chunks:
            fail("batch_sizes", size, f"a multiple of {options.chunks} chunks")


def run(options: Ring8, folder: Folder) -> list[dict[str, Any]]:
    """Both penalties at every batch size."""
    print(f"{options.steps:,} steps of {options.step_size:g}, hidden widths 1/{options.shrink}, {options.seeds} seeds")
    setting = SETTINGS["jare"]
    game = setting.game(options.shrink)
    pairs = []
    for size in options.batch_sizes:
        biased = train(options, game, setting, size, "biased", penalties.jare(WEIGHT), folder)
        fair = penalties.jare(WEIGHT, chunks=options.chunks, unbiased=True)
        unbiased = train(options, game, setting, size, "unbiased", fair, folder)
        moments = torch.stack(
            [torch.stack([bias(game, y, setting, e) for e, y in enumerate(ys)]) for ys in biased.states]
        )
        pairs.append(Pair(size, biased, unbiased, moments / size))
        for step, (evaluations, ratios) in enumerate(zip(biased.evaluations, pairs[-1].bias, strict=True)):
            folder.log({"run": f"bias, batch {size}", "step": step, "evaluations": int(evaluations), "ratio": ratios})
    for title, figure in ring8_figures.question(pairs, differences(pairs)).items():
        folder.save(figure, title)
    return rows(pairs)


def train(
    options: Ring8, game: Game, setting: Setting, size: int, name: str, penalty: penalties.Penalty, folder: Folder
) -> Trained:
    """One penalty at one batch size, or what its checkpoint holds, with its scores logged."""
    keywords = options.keywords() | {"penalties": [penalty]}
    trained = mixture.train(
        game,
        torch.stack([game.init(seed=options.seed + e) for e in range(options.seeds)]).to(options.device),
        keywords,
        evaluations=(options.steps or 1) * solver_options.evaluations_per_step(keywords),
        reports=options.reports,
        samples=options.samples,
        checkpoint=folder.checkpoint(f"{name}_{size}"),
        target=setting.target,
        independent=True,
        batch_size=size,
        seed=options.seed,
        progress=f"{name}, batch {size}" if options.progress else False,
    )
    for step, (evaluations, *scores) in enumerate(zip(trained.evaluations, *trained.scores, strict=True)):
        named = dict(zip(trained.scores._fields, scores, strict=True))
        folder.log({"run": f"{name}, batch {size}", "step": step, "evaluations": int(evaluations), **named})
    runner.finished(trained.solution)
    return trained


def bias(game: Game, y: torch.Tensor, setting: Setting, seed: int) -> torch.Tensor:
    """trace(Cov) / ||g||^2 of one sample's gradient, (2,) for D and G at y (P,); nan where ||g||^2 is not told from 0."""
    draw = Minibatches(setting.target.draw_independent, setting.latent, MEASURED, seed, y)(0)
    groups = Batch(*(part.reshape(-1, GROUP, *part.shape[1:]) for part in (draw.real, draw.latent)))
    return torch.stack(
        [_ratio(gradient, *game.split(y), groups) for gradient in (game.disc_gradient, game.gen_gradient)]
    )


def _ratio(gradient: Callable[..., torch.Tensor], d: torch.Tensor, g: torch.Tensor, groups: Batch) -> torch.Tensor:
    with torch.no_grad():
        each = torch.vmap(lambda batch: gradient(d, g, batch))(groups).double()
    trace = GROUP * each.var(0).sum()
    squared = (each.mean(0) ** 2).sum() - trace / MEASURED
    return torch.where(squared > 0, trace / squared, torch.nan)


def late(trained: Trained, score: str) -> np.ndarray[Any, Any]:
    """A score of each member (E,), averaged over the second half of the reports."""
    values = getattr(trained.scores, score).double()
    return values[len(values) // 2 :].mean(0).numpy()


def differences(pairs: list[Pair]) -> Mapping[str, Mapping[int, np.ndarray[Any, Any]]]:
    """Score -> batch size -> unbiased minus biased, (E,)."""
    return {
        name: {pair.batch_size: late(pair.unbiased, score) - late(pair.biased, score) for pair in pairs}
        for name, score in SCORES.items()
    }


def rows(pairs: list[Pair]) -> list[dict[str, Any]]:
    """One row a batch size and score: means ± standard errors over the seeds, and the paired t test's p."""
    gaps = differences(pairs)
    return [_row(pair, name, score, gaps[name][pair.batch_size]) for pair in pairs for name, score in SCORES.items()]


def _row(pair: Pair, name: str, score: str, gap: np.ndarray[Any, Any]) -> dict[str, Any]:
    ratio = pair.bias.flatten(0, 1).nanmedian(0).values.tolist()
    return {
        "score, mean of the second half": name,
        "batch size": pair.batch_size,
        "biased": _with_error(late(pair.biased, score)),
        "unbiased": _with_error(late(pair.unbiased, score)),
        "unbiased - biased": _with_error(gap),
        "p": float(stats.ttest_1samp(gap, 0.0).pvalue) if gap.std() > 0 else None,
        "bias / squared norm, D": ratio[0],
        "bias / squared norm, G": ratio[1],
        "diverged": f"{int(pair.biased.diverged.sum())} and {int(pair.unbiased.diverged.sum())} of {len(gap)}",
        "CPU seconds": round(pair.biased.cpu + pair.unbiased.cpu, 1),
    }


def _with_error(values: np.ndarray[Any, Any]) -> tuple[float, float]:
    return float(values.mean()), float(stats.sem(values))
