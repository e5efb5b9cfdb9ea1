"""Figures of the digits experiment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from matplotlib.figure import Figure

from experiments.digits_scores import Judge
from experiments.digits_training import Trained
from odegan import Game, plots

DRAWN = 1000  # samples among which the figures that are ordered by digit find theirs
FRAME = 36  # images of each grid over time
BINS = 100  # points of the loss curves


def single_figures(game: Game, judge: Judge, trained: Trained) -> dict[str, Figure]:
    """Samples over time and at the end, scores and losses of one run."""
    return {
        "samples": samples(game, judge, trained),
        "over_time": over_time(game, trained),
        "fid": fid_curves({"averaged generator": [trained]}, judge),
        "coverage": coverage_curves(trained),
        "losses": losses(trained.solution.stats["losses"], trained.evaluations[-1]),
    }


def comparison_figures(game: Game, judge: Judge, trained: Mapping[str, Sequence[Trained]]) -> dict[str, Figure]:
    """FID of several settings, and samples of the first seed of each."""
    frames = []
    for name, runs in trained.items():
        gone = runs[0].solution.stats["stopped_at"] is not None
        title = f"{name}, before it diverged" if gone else name
        frames.append((title, judge.by_class(game.sample(runs[0].states[-1], DRAWN, seed=0), 10)))
    scores = fid_curves(trained, judge)
    scores.axes[0].legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    return {"fid": scores, "samples": plots.image_grid_over_time(frames)}


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


def fid_curves(trained: Mapping[str, Sequence[Trained]], judge: Judge) -> Figure:
    """FID of each setting, the mean over its seeds and their range, above the floor."""
    lines, bands = {}, {}
    for name, runs in trained.items():
        length = min(len(run.scores) for run in runs)
        values = torch.tensor([[score.fid for score in run.scores[:length]] for run in runs], dtype=torch.float64)
        lines[name] = (runs[0].evaluations[:length], values.mean(0))
        if len(runs) > 1:
            bands[name] = (values.amin(0), values.amax(0))
    ends = [0, max(x[-1] for x, _ in lines.values())]
    lines["real halves"] = (ends, torch.full((2,), judge.floor()))
    return plots.curves(lines, "field evaluations", "FID in the classifier's 32 features", log=True, band=bands)


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
