"""Figures of the ring of 8 Gaussians."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from experiments.mog16.figures import frame
from odegan import plots

if TYPE_CHECKING:
    from experiments.ring8.experiment import Run
    from experiments.ring8.question import Pair

COLUMNS = 4
ARMS = {"biased": plots.PALETTE[0], "unbiased": plots.PALETTE[1]}
PLAYERS = ("discriminator", "generator")


def comparison(runs: Sequence[Run]) -> dict[str, Figure]:
    """Seeds that cover all modes; of each setting the scores over time, and one member's samples at the end."""
    figures = {"all_modes": all_modes(runs)}
    for name in dict.fromkeys(run.setting.title for run in runs):
        own = [run for run in runs if run.setting.title == name]
        short = name.split("'")[0].lower()
        figures[f"{short}_over_time"] = over_time(own)
        figures[f"{short}_samples"] = samples(own)
    return figures


def all_modes(runs: Sequence[Run]) -> Figure:
    """Bars: on how many seeds all modes are covered at the end, and on how many they are resolved."""
    names = [f"{run.setting.title}: {run.method}" for run in runs]
    modes = [len(run.setting.target.modes) for run in runs]
    seeds = runs[0].resolved.shape[1]
    counts = {
        "covered: 1 % of the samples within 5 sigma of every mode": [
            run.trained.scores.modes_covered[-1] for run in runs
        ],
        "resolved: 1/16 of the samples within 3 sigma of every mode": [run.resolved[-1] for run in runs],
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
        axes.set_ylim(len(runs) - 0.4, -0.6)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.tick_params(axis="y", length=0)
        figure.legend(loc="outside upper center", fontsize="small")
    return figure


def over_time(runs: Sequence[Run]) -> Figure:
    """Of each method modes covered and resolved above, quality below; means over the seeds with their ranges."""
    columns = min(COLUMNS, len(runs))
    rows = 2 * math.ceil(len(runs) / columns)
    with plots.style():
        figure = Figure(figsize=(2.1 * columns + 0.8, 1.55 * rows + 0.8), layout="constrained")
        panels = figure.subplots(rows, columns, sharex=True, squeeze=False)
        for i, run in enumerate(runs):
            above, below = panels[2 * (i // columns) : 2 * (i // columns) + 2, i % columns]
            at, scores, modes = run.trained.evaluations, run.trained.scores, len(run.setting.target.modes)
            _band(above, at, scores.modes_covered, plots.PALETTE[5], "modes covered")
            _band(above, at, run.resolved, plots.PALETTE[0], "modes resolved")
            _band(below, at, scores.quality, plots.PALETTE[1], "quality")
            above.set(title=run.method, ylim=(-0.2, modes + 0.2), yticks=range(0, modes + 1, modes // 4))
            below.set(ylim=(-0.02, 1.02))
            below.tick_params(labelbottom=True)
            for axes, name in ((above, "modes"), (below, "quality")):
                axes.grid(axis="y")
                axes.xaxis.set_major_locator(MaxNLocator(3, steps=[1, 2, 5, 10]))
                axes.tick_params(labelleft=i % columns == 0)
                if i % columns == 0:
                    axes.set_ylabel(name)
        for unused in panels[-2:, (len(runs) - 1) % columns + 1 :].flat:
            unused.remove()
        figure.supxlabel("field evaluations", fontsize="medium")
        figure.legend(handles=[*panels[0, 0].lines, *panels[1, 0].lines], loc="outside upper center", ncols=3)
    return figure


def _band(axes: Axes, at: Any, values: torch.Tensor, color: str, label: str) -> None:
    values = values.double()
    axes.plot(at, values.mean(1), color=color, label=label)
    axes.fill_between(at, values.amin(1), values.amax(1), color=color, alpha=0.2, linewidth=0)


def samples(runs: Sequence[Run]) -> Figure:
    """The first member's samples and discriminator at the end, a panel a method."""
    setting = runs[0].setting
    frames = [frame(run.game, run.method, run.trained.states[-1, 0], setting.extent) for run in runs]
    return plots.density_frames(frames, setting.extent, setting.target.modes)


def question(pairs: Sequence[Pair], differences: Mapping[str, Mapping[int, Any]]) -> dict[str, Figure]:
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
                    mean, error = values.mean(1), values.std(1) / values.shape[1] ** 0.5
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


def gaps(differences: Mapping[str, Mapping[int, Any]]) -> Figure:
    """Unbiased minus biased: a dot a pair of seeds, the mean and twice its standard error."""
    with plots.style():
        figure = Figure(figsize=(3.1 * len(differences), 3.4), layout="constrained")
        for axes, (name, by_size) in zip(figure.subplots(1, len(differences)), differences.items(), strict=True):
            for i, gap in enumerate(by_size.values()):
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
