"""Figures of the digits experiment."""

from __future__ import annotations

import torch
from matplotlib.figure import Figure

from experiments.digits.scores import Judge
from experiments.digits.training import Trained
from odegan import Game, plots

DRAWN = 1000  # samples among which the figures that are ordered by digit find theirs
FRAME = 36  # images of each grid over time
BINS = 100  # points of the loss curves


def figures(game: Game, judge: Judge, trained: Trained) -> dict[str, Figure]:
    """Samples over time and at the end, scores and losses of one run."""
    return {
        "samples": samples(game, judge, trained),
        "over_time": over_time(game, trained),
        "fid": fid_curve(trained, judge),
        "coverage": coverage_curves(trained),
        "losses": losses(trained.solution.stats["losses"], trained.evaluations[-1]),
    }


def samples(game: Game, judge: Judge, trained: Trained) -> Figure:
    """Ten generated and ten real images of every digit, a row each: the first that the classifier takes for it."""
    generated = game.sample(trained.states[-1], DRAWN, seed=0)
    frames = [("generated", judge.by_class(generated, 10)), ("real", judge.by_class(judge.images, 10))]
    figure = plots.image_grid_over_time(frames, columns=2)
    figure.set_size_inches(9.6, 5.0)
    return figure


def over_time(game: Game, trained: Trained) -> Figure:
    """Samples from the same latents at every report."""
    frames = [
        (f"{evaluations:,} evaluations", game.sample(y, FRAME, seed=0))
        for evaluations, y in zip(trained.evaluations, trained.states, strict=True)
    ]
    return plots.image_grid_over_time(frames[:1] + frames[1:][-9:])


def fid_curve(trained: Trained, judge: Judge) -> Figure:
    """FID above the floor."""
    lines = {
        "averaged generator": (trained.evaluations, [score.fid for score in trained.scores]),
        "real halves": ([0, trained.evaluations[-1]], [judge.floor()] * 2),
    }
    return plots.curves(lines, "field evaluations", "FID in the classifier's 32 features", log=True)


def coverage_curves(trained: Trained) -> Figure:
    """Coverage over all digits, and the range of the ten classes."""
    classes = torch.tensor([score.coverage_per_class for score in trained.scores])
    lines = {"all": (trained.evaluations, [score.coverage for score in trained.scores])}
    label = "real digits covered (band: the ten classes)"
    figure = plots.curves(lines, "field evaluations", label, band={"all": (classes.amin(1), classes.amax(1))})
    figure.axes[0].set_ylim(0, 1)
    return figure


def losses(values: torch.Tensor, evaluations: int) -> Figure:
    """Both players' losses (steps, 2): means over equal parts of the run, and the middle 80 % of each part."""
    parts = values.tensor_split(min(BINS, len(values)))
    x = evaluations * (torch.arange(len(parts)) + 0.5) / len(parts)
    lines, bands = {}, {}
    for player, name in enumerate(("discriminator", "generator")):
        columns = [part[:, player] for part in parts]
        lines[name] = (x, torch.stack([column.mean() for column in columns]))
        low, high = (torch.stack([column.quantile(q) for column in columns]) for q in (0.1, 0.9))
        bands[name] = (low, high)
    return plots.curves(lines, "field evaluations", "loss (band: middle 80 % of the minibatches)", band=bands)
