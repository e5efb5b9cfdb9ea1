"""Figures of a comparison: scores against evaluations, time and seconds, against the step size, and samples."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, LogLocator, NullLocator

from experiments.images.figures import EVALUATIONS
from experiments.images.monitor import Report, counted
from experiments.images.sampling import grid, sampler
from experiments.images.scores import label, loss
from experiments.images.solvers import OPTIMIZERS
from experiments.images.training import GRID_SEED, TrainingRun
from odegan import plots
from odegan.plots.style import PALETTE, panels

Runs = Mapping[str, Sequence[TrainingRun]]
MANY = 10  # settings from which on each solver and penalty is shown with its best step size only
# Axes: name of the figure -> name of the axis, and its value in a report.
AXES: dict[str, tuple[str, Callable[[Report], float]]] = {
    "evaluations": (EVALUATIONS, lambda report: report.evaluations),
    "time": ("time t", lambda report: report.t),
    "seconds": ("seconds of training", lambda report: report.seconds),
}


def over(runs: Runs, metric: str, floor: float | None) -> dict[str, Figure]:
    """A score of each setting over each axis: the mean over the seeds, and their range."""
    shown = runs if len(runs) <= MANY else best_steps(runs, metric)
    return {name: _curves(shown, metric, floor, name) for name in AXES}


def best_steps(runs: Runs, metric: str) -> Runs:
    """Of the settings with one solver and one penalty the one with the best mean score at the end."""
    chosen: dict[tuple[str, tuple[str, ...]], tuple[float, str]] = {}
    for title, seeds in runs.items():
        # A setting with a diverged seed loses to every other one, however good its other seeds.
        ends = [math.inf if run.diverged else loss(metric, run.reports[-1].scores[metric]["value"]) for run in seeds]
        kind = (seeds[0].preset.solver, seeds[0].preset.penalty)
        chosen[kind] = min(chosen.get(kind, (math.inf, title)), (sum(ends) / len(ends), title))
    return {title: runs[title] for _, title in chosen.values()}


def _curves(runs: Runs, metric: str, floor: float | None, axis: str) -> Figure:
    name, value = AXES[axis]
    lines: dict[str, tuple[Sequence[float], Sequence[float] | torch.Tensor]] = {}
    bands = {}
    for title, seeds in runs.items():
        # A diverged seed has fewer reports; a mean over the others alone would look like a recovery.
        reports = [counted(run.reports) for run in seeds]
        length = min(map(len, reports))
        values = torch.tensor([[report.scores[metric]["value"] for report in own[:length]] for own in reports])
        lines[title] = ([value(report) for report in reports[0][:length]], values.mean(0))
        if len(seeds) > 1:
            bands[title] = (values.amin(0), values.amax(0))
    end = max((max(x, default=0) for x, _ in lines.values()), default=1)
    if floor is not None:
        lines["real halves"] = ([0, end], [floor, floor])
    figure = plots.curves(lines, name, label(metric), log=metric == "fid", band=bands)
    (axes,) = figure.axes
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize="small")
    figure.set_size_inches(8.4, 3.8 + 0.12 * max(0, len(lines) - 12))
    return figure


def over_step_size(runs: Runs, metric: str) -> Figure:
    """A score at the end against the step size: a panel a penalty, a line a solver; gaps where a seed diverged.

    Optimizers have panels of their own, against the learning rate. Points are means over the seeds, bars run from the lowest to
    the highest.
    """
    penalties = list(dict.fromkeys(seeds[0].preset.penalty for seeds in runs.values()))
    solvers = list(dict.fromkeys(seeds[0].preset.solver for seeds in runs.values()))
    colors = {solver: PALETTE[i % len(PALETTE)] for i, solver in enumerate(solvers)}
    kinds = {
        "step size": [solver for solver in solvers if solver not in OPTIMIZERS],
        "learning rate": [solver for solver in solvers if solver in OPTIMIZERS],
    }
    drawn = [(penalty, kind) for kind, names in kinds.items() if names for penalty in penalties]
    with plots.style():
        columns = len(penalties) if len(penalties) > 1 else None
        figure, axes = panels(len(drawn), columns, share="y", size=3.2)
        for panel, (penalty, kind) in zip(axes, drawn, strict=True):
            for solver in kinds[kind]:
                here = [s for s in runs.values() if s[0].preset.penalty == penalty and s[0].preset.solver == solver]
                sizes = [max(s[0].preset.step_size) for s in here]
                means, *bars = np.array([_ends(s, metric) for s in here]).T
                panel.errorbar(sizes, means, np.abs(bars - means), fmt="o-", color=colors[solver], label=solver, ms=4)
            tried = {h for s in runs.values() if s[0].preset.solver in kinds[kind] for h in s[0].preset.step_size}
            panel.set(xscale="log", yscale="log" if metric == "fid" else "linear", xlabel=kind)
            panel.xaxis.set_major_locator(FixedLocator(sorted(tried)))
            panel.xaxis.set_major_formatter("{x:g}")
            panel.xaxis.set_minor_locator(NullLocator())
            panel.tick_params(axis="x", labelrotation=45 if kind == "learning rate" else 0)
            if metric == "fid":
                panel.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
                panel.yaxis.set_major_formatter("{x:g}")
                panel.yaxis.set_minor_locator(NullLocator())
            panel.set_title("no penalty" if penalty in ((), ("none",)) else " ".join(penalty))
            panel.grid(axis="y")
        axes[0].set_ylabel(f"{label(metric)} at the end")
        handles = [Line2D([], [], color=color, marker="o", ms=4, label=solver) for solver, color in colors.items()]
        figure.legend(handles=handles, loc="outside right center")
    return figure


def _ends(runs: Sequence[TrainingRun], metric: str) -> tuple[float, float, float]:
    """Mean, lowest and highest of the last scores of all seeds; nan where one diverged."""
    ends = [math.nan if run.diverged else float(run.reports[-1].scores[metric]["value"]) for run in runs]
    if any(math.isnan(value) for value in ends):
        return math.nan, math.nan, math.nan
    return sum(ends) / len(ends), min(ends), max(ends)


def samples(runs: Runs, count: int) -> Figure:
    """Images of the first seed of each setting, from the same latents."""
    shown = []
    for title, (first, *_) in runs.items():
        images = grid(sampler(first.game, first.y, first.preset), first.preset, count, GRID_SEED).images
        # Solver and penalty on a line each: beside each other, they would run into the next grid's.
        title = title.replace(", none", ", no penalty").replace(", ", "\n")
        shown.append((f"{title} (diverged)" if first.diverged else title, images.cpu()))
    return plots.image_grid_over_time(shown)
