"""Figures of the comparison at several weights."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.ring8.results import MethodRun
from odegan import plots
from odegan.plots.style import INK


def comparison(runs: Sequence[MethodRun]) -> dict[str, Figure]:
    """Of each ring, the scores at the end over the weight."""
    return {
        name: over_weights([run for run in runs if run.name == name]) for name in dict.fromkeys(r.name for r in runs)
    }


def over_weights(runs: Sequence[MethodRun]) -> Figure:
    """Modes covered and resolved, and quality, at the end over the weight: means over the seeds, a line a penalty.

    Dashed: without a penalty.
    """
    methods: dict[str, list[MethodRun]] = {}
    for run in runs:
        methods.setdefault(run.method.partition("@")[0], []).append(run)
    with plots.style():
        figure = Figure(figsize=(9.6, 3.6), layout="constrained")
        panels = figure.subplots(1, 3, sharex=True)
        colors = iter(plots.PALETTE)
        for method, own in methods.items():
            own.sort(key=lambda run: run.weight or 0.0)
            look = {"color": INK if own[0].weight is None else next(colors), "label": method}
            for axes, at_end in zip(panels, zip(*map(_scores, own), strict=True), strict=True):
                _line(axes, own, torch.stack(at_end), look)
        modes = len(runs[0].ring.target.modes)
        for axes, name in zip(panels, ("modes covered", "modes resolved", "quality"), strict=True):
            axes.set(
                title=name, xscale="log", ylim=(-0.02, 1.02) if name == "quality" else (-0.02 * modes, 1.02 * modes)
            )
            axes.grid(axis="y")
        figure.supxlabel("weight", fontsize="medium")
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=4, fontsize="small")
    return figure


def _scores(run: MethodRun) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Modes covered, modes resolved and quality of every member at the end, each (E,)."""
    return run.trained.scores.modes_covered[-1], run.resolved[-1], run.trained.scores.quality[-1]


def _line(axes: Axes, own: Sequence[MethodRun], scores: torch.Tensor, look: dict[str, str]) -> None:
    """One method: means of scores (W, E) over its weights, or a dashed line without one."""
    means = scores.double().mean(1)
    if own[0].weight is None:
        axes.axhline(float(means[0]), linestyle="--", linewidth=1.2, **look)  # type: ignore[arg-type]
    else:
        axes.plot([run.weight for run in own], means, marker="o", markersize=4, **look)  # type: ignore[arg-type]
