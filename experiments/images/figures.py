"""Figures of image trainings: scores, losses and samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from matplotlib.figure import Figure

from experiments.images.sampling import sampler
from experiments.images.scores import Scorer, label
from experiments.images.training import GRID_SEED, TrainingRun
from odegan import plots

BINS = 100  # points of the loss curves
EVALUATIONS = "field evaluations"

Line = tuple[Sequence[float], Sequence[float] | torch.Tensor]


def of_run(run: TrainingRun, scorer: Scorer) -> dict[str, Figure]:
    """Losses, and every score over time, by name; none of a run that diverged before its first report."""
    if not run.reports:
        return {}
    curves = {metric: scores(run, metric, scorer.floor(metric)) for metric in scorer.names}
    return {"losses": losses(run.solution.stats["losses"], run.reports[-1].evaluations)} | curves


def scores(run: TrainingRun, metric: str, floor: float | None) -> Figure:
    """One score over field evaluations; a band over the classes where it has them; and what real halves score."""
    evaluations = [report.evaluations for report in run.reports]
    found = [report.scores[metric] for report in run.reports]
    lines: dict[str, Line] = {run.preset.scored: (evaluations, [score["value"] for score in found])}
    bands = {}
    ylabel = label(metric)
    if all("per_class" in score for score in found):
        classes = torch.tensor([score["per_class"] for score in found])
        bands[run.preset.scored] = (classes.amin(1), classes.amax(1))
        ylabel += " (band: the classes)"
    figure = plots.curves(lines | _floor(floor, evaluations[-1]), EVALUATIONS, ylabel, log=metric == "fid", band=bands)
    if bands:
        figure.axes[0].set_ylim(0, 1)
    return figure


def losses(values: torch.Tensor, evaluations: int) -> Figure:
    """Both players' losses (steps, 2): means over equal parts of the run, and the middle 80 % of each part."""
    intervals = values.tensor_split(min(BINS, len(values)))
    x = evaluations * (torch.arange(len(intervals)) + 0.5) / len(intervals)
    levels = torch.tensor([0.1, 0.9])
    lines = {}
    bands = {}
    for player, name in enumerate(("discriminator", "generator")):
        columns = [interval[:, player] for interval in intervals]
        lines[name] = (x, torch.stack([column.mean() for column in columns]))
        low, high = torch.stack([column.quantile(levels.to(column)) for column in columns], dim=1)
        bands[name] = (low, high)
    return plots.curves(lines, EVALUATIONS, "loss (band: middle 80 % of the minibatches)", band=bands)


def compared(runs: Mapping[str, Sequence[TrainingRun]], metric: str, floor: float | None) -> Figure:
    """A score of each solver over field evaluations: the mean over the seeds, and their range."""
    lines: dict[str, Line] = {}
    bands = {}
    for text, seeds in runs.items():
        length = min(len(run.reports) for run in seeds)
        values = torch.tensor([[report.scores[metric]["value"] for report in run.reports[:length]] for run in seeds])
        lines[text] = ([report.evaluations for report in seeds[0].reports[:length]], values.mean(0))
        if len(seeds) > 1:
            bands[text] = (values.amin(0), values.amax(0))
    end = max((max(x, default=0) for x, _ in lines.values()), default=1)
    figure = plots.curves(lines | _floor(floor, end), EVALUATIONS, label(metric), log=metric == "fid", band=bands)
    figure.axes[0].legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    return figure


def samples(runs: Mapping[str, Sequence[TrainingRun]], count: int) -> Figure:
    """Images of the first seed of each solver, from the same latents."""
    shown = []
    for text, (first, *_) in runs.items():
        title = f"{text} (diverged)" if first.diverged else text
        shown.append((title, sampler(first.game, first.y, first.preset)(count, GRID_SEED).cpu()))
    return plots.image_grid_over_time(shown)


def _floor(floor: float | None, end: float) -> dict[str, Line]:
    return {} if floor is None else {"real halves": ([0, end], [floor, floor])}
