"""Figures of the ring of 8 Gaussians."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from experiments.framework.mixture_figures import density_frame, mean_and_range
from experiments.ring8.results import MethodRun, Pair
from odegan import plots

COLUMNS = 4
ARMS = {"biased": plots.PALETTE[0], "unbiased": plots.PALETTE[1]}
PLAYERS = ("discriminator", "generator")


def comparison(runs: Sequence[MethodRun]) -> dict[str, Figure]:
    """Seeds that cover all modes; of each ring the scores over time, and one member's samples at the end."""
    figures = {"all_modes": all_modes(runs)}
    for name in dict.fromkeys(run.name for run in runs):
        own = [run for run in runs if run.name == name]
        figures[f"{name}_over_time"] = over_time(own)
        figures[f"{name}_samples"] = samples(own)
    return figures


def all_modes(runs: Sequence[MethodRun]) -> Figure:
    """Bars: on how many seeds all modes are covered at the end, and on how many they are resolved."""
    names = [f"{run.ring.title}: {run.method}" for run in runs]
    modes = [len(run.ring.target.modes) for run in runs]
    seeds = runs[0].resolved.shape[1]
    counts = {
        "covered: 1 % of the samples within 5 sigma of every mode": [
            run.trained.scores.modes_covered[-1] for run in runs
        ],
        "resolved: half a fair share of the samples within 3 sigma of every mode": [run.resolved[-1] for run in runs],
    }
    with plots.style():
        figure = Figure(figsize=(7.2, 1.3 + 0.36 * len(runs)), layout="constrained")
        axes = figure.subplots()
        for i, (label, counted) in enumerate(counts.items()):
            widths = [int((one == n).sum()) for one, n in zip(counted, modes, strict=True)]
            at = np.arange(len(runs)) + 0.4 * i - 0.2
            axes.barh(at, widths, height=0.38, color=plots.PALETTE[(5, 0)[i]], label=label)
            for y, width in zip(at, widths, strict=True):
                axes.text(width + 0.01 * seeds, y, str(width), va="center", fontsize="small")
        axes.set(xlim=(0, 1.06 * seeds), xlabel=f"seeds with all modes, of {seeds}", yticks=range(len(runs)))
        axes.set_yticklabels(names)
        # Descending: barh counts from the bottom, and the first run belongs on top.
        axes.set_ylim(len(runs) - 0.4, -0.6)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.tick_params(axis="y", length=0)
        figure.legend(loc="outside upper center", fontsize="small")
    return figure


def over_time(runs: Sequence[MethodRun]) -> Figure:
    """Of each method modes covered and resolved above, quality below; means over the seeds with their ranges."""
    columns = min(COLUMNS, len(runs))
    rows = math.ceil(len(runs) / columns)
    with plots.style():
        figure = Figure(figsize=(2.1 * columns + 0.8, 3.1 * rows + 0.8), layout="constrained")
        grid = figure.subplots(2 * rows, columns, sharex=True, squeeze=False)
        for i, run in enumerate(runs):
            row, column = divmod(i, columns)
            _method_over_time(run, grid[2 * row, column], grid[2 * row + 1, column], first=column == 0)
        for unused in grid[-2:, (len(runs) - 1) % columns + 1 :].flat:
            unused.remove()
        figure.supxlabel("field evaluations", fontsize="medium")
        figure.legend(handles=[*grid[0, 0].lines, *grid[1, 0].lines], loc="outside upper center", ncols=3)
    return figure


def _method_over_time(run: MethodRun, above: Axes, below: Axes, first: bool) -> None:
    at = run.trained.evaluations
    modes = len(run.ring.target.modes)
    mean_and_range(above, at, run.trained.scores.modes_covered, color=plots.PALETTE[5], label="modes covered")
    mean_and_range(above, at, run.resolved, color=plots.PALETTE[0], label="modes resolved")
    mean_and_range(below, at, run.trained.scores.quality, color=plots.PALETTE[1], label="quality")
    above.set(title=run.method, ylim=(-0.2, modes + 0.2), yticks=range(0, modes + 1, 5 if modes % 5 == 0 else 2))
    below.set(ylim=(-0.02, 1.02))
    below.tick_params(labelbottom=True)
    for axes, name in ((above, "modes"), (below, "quality")):
        axes.grid(axis="y")
        axes.xaxis.set_major_locator(MaxNLocator(3, steps=[1, 2, 5, 10]))
        axes.tick_params(labelleft=first)
        if first:
            axes.set_ylabel(name)


def samples(runs: Sequence[MethodRun]) -> Figure:
    """The first member's samples and discriminator at the end, a panel a method."""
    ring = runs[0].ring
    frames = [density_frame(run.game, run.method, run.trained.states[-1, 0], ring.extent) for run in runs]
    return plots.density_frames(frames, ring.extent, ring.target.modes)


def question(pairs: Sequence[Pair], differences: Mapping[str, Mapping[int, NDArray[np.float64]]]) -> dict[str, Figure]:
    """Both penalties over time, their paired differences, and the size of the bias."""
    return {"over_time": arms(pairs), "differences": gaps(differences), "bias": ratios(pairs)}


def arms(pairs: Sequence[Pair]) -> Figure:
    """A column a batch size: quality and modes covered under both penalties, means with standard errors."""
    with plots.style():
        figure = Figure(figsize=(2.7 * len(pairs) + 0.6, 4.6), layout="constrained")
        panels = figure.subplots(2, len(pairs), sharex=True, sharey="row", squeeze=False)
        for column, pair in zip(panels.T, pairs, strict=True):
            for axes, score in zip(column, ("quality", "modes_covered"), strict=True):
                for name, color in ARMS.items():
                    trained = getattr(pair, name)
                    values = getattr(trained.scores, score).double()
                    mean = values.mean(1)
                    # Of the mean, not of one seed: the question is whether the means differ.
                    error = values.std(1) / values.shape[1] ** 0.5
                    axes.plot(trained.evaluations, mean, color=color, label=name)
                    axes.fill_between(
                        trained.evaluations, mean - error, mean + error, color=color, alpha=0.2, linewidth=0
                    )
                axes.grid(axis="y")
            column[0].set_title(f"batch size {pair.batch_size}")
        panels[0, 0].set_ylabel("quality")
        panels[1, 0].set_ylabel("modes covered")
        figure.supxlabel("field evaluations", fontsize="medium")
        figure.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return figure


def gaps(differences: Mapping[str, Mapping[int, NDArray[np.float64]]]) -> Figure:
    """Unbiased minus biased: a dot a pair of seeds, the mean and twice its standard error."""
    with plots.style():
        figure = Figure(figsize=(3.1 * len(differences), 3.4), layout="constrained")
        for axes, (name, by_size) in zip(figure.subplots(1, len(differences)), differences.items(), strict=True):
            for i, gap in enumerate(by_size.values()):
                # Spread sideways in the order of the seeds, since equal differences would hide each other.
                spots = i + np.linspace(-0.12, 0.12, len(gap))
                axes.plot(spots, gap, "o", color=plots.PALETTE[5], markersize=3.5)
                error = 2 * gap.std(ddof=1) / len(gap) ** 0.5
                axes.errorbar(i + 0.25, gap.mean(), error, fmt="o", color=plots.PALETTE[1], capsize=4)
            axes.axhline(0, color="#888888", linewidth=0.8)
            axes.set(title=name, xlabel="batch size", xticks=range(len(by_size)), xlim=(-0.4, len(by_size) - 0.4))
            axes.set_xticklabels(map(str, by_size))
        figure.axes[0].set_ylabel("unbiased - biased")
    return figure


def ratios(pairs: Sequence[Pair]) -> Figure:
    """trace(Cov) / (B ||g||^2) of each player along the biased runs: the median over seeds, and the middle half."""
    with plots.style():
        figure = Figure(figsize=(8.4, 3.6), layout="constrained")
        for player, axes in enumerate(figure.subplots(1, 2, sharey=True)):
            for pair, color in zip(pairs, plots.PALETTE, strict=False):
                low, middle, high = pair.bias[..., player].nanquantile(torch.tensor([0.25, 0.5, 0.75]).double(), dim=1)
                axes.plot(pair.biased.evaluations, middle, color=color, label=f"batch size {pair.batch_size}")
                axes.fill_between(pair.biased.evaluations, low, high, color=color, alpha=0.2, linewidth=0)
            axes.axhline(1, color="#888888", linewidth=0.8)
            axes.set(title=f"gradient of the {PLAYERS[player]}", yscale="log", xlabel="field evaluations")
            axes.grid(axis="y")
        figure.axes[0].set_ylabel("bias / squared norm")
        figure.axes[1].legend()
    return figure
