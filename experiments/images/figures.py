"""Figures of image trainings: scores, losses and samples."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from matplotlib.figure import Figure

from experiments.images.scores import Scorer, label
from experiments.images.training import TrainingRun
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
    lines: dict[str, Line] = {}
    bands = {}
    for weights in dict.fromkeys(report.weights(run.preset) for report in run.reports):
        reports = [report for report in run.reports if report.weights(run.preset) == weights]
        found = [report.scores[metric] for report in reports]
        lines[weights] = ([report.evaluations for report in reports], [score["value"] for score in found])
        if all("per_class" in score for score in found):
            classes = torch.tensor([score["per_class"] for score in found])
            bands[weights] = (classes.amin(1), classes.amax(1))
    lines |= _floor(floor, run.reports[-1].evaluations)
    ylabel = label(metric) + (" (band: the classes)" if bands else "")
    figure = plots.curves(lines, EVALUATIONS, ylabel, log=metric == "fid", band=bands)
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


def _floor(floor: float | None, end: float) -> dict[str, Line]:
    return {} if floor is None else {"real halves": ([0, end], [floor, floor])}
