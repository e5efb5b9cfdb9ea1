"""Figures of the step-size experiment."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure

from experiments.framework.folder import Row
from experiments.step_size.advice import AdvisedTraining
from experiments.step_size.trials import Trials
from odegan import plots
from odegan.plots.style import INK

CEILING = 1e3  # of the plotted growth and error: beyond it, and where a run is not finite
ADVICE: Mapping[str, Callable[[AdvisedTraining], torch.Tensor]] = {
    "penalty in the field": lambda training: training.advised,
    "no penalty": lambda training: training.without,
}


def along(trainings: Mapping[float, AdvisedTraining]) -> Figure:
    """The advised step over the training, mean and range over the seeds; dashed, the step that it was trained with."""
    with plots.style():
        figure = Figure(figsize=(8.4, 3.4), layout="constrained")
        panels = figure.subplots(1, 2, sharex=True, sharey=True)
        for axes, (title, take) in zip(panels, ADVICE.items(), strict=True):
            for (h, training), color in zip(sorted(trainings.items()), plots.PALETTE, strict=False):
                t = training.moments.numpy()
                values = take(training).numpy()
                axes.plot(t, values.mean(1), color=color, label=f"trained with h = {h:g}")
                axes.fill_between(t, values.min(1), values.max(1), color=color, alpha=0.18, linewidth=0)
                axes.axhline(h, color=color, linestyle="--", linewidth=1.0)
            axes.set(title=title, xlabel="t", yscale="log")
            axes.grid(axis="y", which="both")
        panels[0].set_ylabel("advised step of rk4_classic")
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=len(trainings))
    return figure


def compared(
    rotating: Sequence[Row],
    advised: Mapping[str, Sequence[float]],
    found: Mapping[str, Mapping[str, Sequence[float]]],
) -> Figure:
    """Measured against predicted steps: one mark a solver on the rotational field, one a solver and state on the mixture."""
    frames: dict[str, dict[str, tuple[Sequence[float], Sequence[float]]]] = {
        "rotational": {r["solver"]: ([r["predicted step"]], [r["measured step"]]) for r in rotating}
    }
    for label, by_solver in found.items():
        frames[f"mog16, {label}"] = {s: (advised[s], limits) for s, limits in by_solver.items()}
    names = list(dict.fromkeys(name for frame in frames.values() for name in frame))
    looks = {name: (plots.PALETTE[i % len(plots.PALETTE)], "osD^vPX"[i % 7]) for i, name in enumerate(names)}
    with plots.style():
        figure = Figure(figsize=(3.3 * len(frames), 3.9), layout="constrained")
        handles: dict[str, PathCollection] = {}
        for axes, (title, frame) in zip(figure.subplots(1, len(frames)), frames.items(), strict=True):
            for name, (predicted, measured) in frame.items():
                color, marker = looks[name]
                handles[name] = axes.scatter(predicted, measured, 26, color, marker=marker, alpha=0.75, linewidths=0)
            axes.set(title=title, xlabel="predicted largest step", xscale="log", yscale="log")
            axes.axline((0.1, 0.1), (1, 1), color=INK, linewidth=0.8)
            axes.set(xlim=axes.get_xlim(), ylim=axes.get_ylim())
            axes.grid(which="both")
        figure.axes[0].set_ylabel("measured")
        figure.legend(list(handles.values()), list(handles), loc="outside upper center", ncols=len(handles))
    return figure


def trials(tried: Mapping[str, Mapping[str, Trials]], advised: Mapping[str, Sequence[float]], factor: float) -> Figure:
    """Field norm over the reference's, and distance from it, against the step over the advised one; one line a state."""
    names = list(advised)
    with plots.style():
        figure = Figure(figsize=(2.3 * len(names) + 0.6, 4.8), layout="constrained")
        panels = figure.subplots(2, len(names), sharex=True, sharey="row", squeeze=False)
        for column, name in zip(panels.T, names, strict=True):
            for (label, by_solver), color in zip(tried.items(), plots.PALETTE, strict=False):
                trial = by_solver[name]
                ratio = trial.steps[:, None] / torch.tensor(advised[name], dtype=torch.float64)
                measured = [trial.growth] if trial.error is None else [trial.growth, trial.error]
                for axes, values in zip(column, measured, strict=False):
                    shown = values.nan_to_num(math.inf).clamp(max=CEILING)
                    lines = axes.plot(ratio, shown, color=color, linewidth=0.9, alpha=0.7)
                    lines[0].set_label(label)
            for axes in column:
                axes.set(xscale="log", yscale="log")
                axes.axvline(1, color=INK, linewidth=0.8)
                axes.grid(axis="y")
            column[0].axhline(factor, color=INK, linewidth=0.8, linestyle=":")
            column[0].set_title(name)
        panels[0, 0].set_ylabel("largest field norm\nover the reference's")
        panels[1, 0].set_ylabel("distance from the reference\nover its path")
        figure.supxlabel("step / advised step", fontsize="medium")
        figure.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return figure
