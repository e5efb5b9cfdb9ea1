"""Figures of the drift experiment."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from matplotlib.figure import Figure
from matplotlib.ticker import ScalarFormatter

from experiments.drift.options import reference
from experiments.drift.results import Trained
from odegan import plots


def all_of(trained: Mapping[str, Trained]) -> dict[str, Figure]:
    """Scores over time, at the end, and distances from Euler's run."""
    figures = {
        "modes": over_time(trained, "modes_covered", "modes covered, mean over seeds"),
        "quality": over_time(trained, "quality", "share of samples within 5 sigma"),
        "bars": final(trained),
    }
    others = {name: one for name, one in trained.items() if name != reference(name)}
    return figures | ({"distance": distances(others, trained)} if others else {})


def over_time(trained: Mapping[str, Trained], score: str, label: str) -> Figure:
    """The mean over the members."""
    lines = {name: (one.times, getattr(one.scores, score).double().mean(1)) for name, one in trained.items()}
    return beside(plots.curves(lines, "t", label))


def final(trained: Mapping[str, Trained]) -> Figure:
    """The modes covered at the end."""
    last = [one.scores.modes_covered[-1].double() for one in trained.values()]
    return plots.bars(
        list(trained),
        [v.mean() for v in last],
        [v.std(correction=0) for v in last],
        xlabel="modes covered, of 16 (mean ± std over seeds)",
    )


def distances(others: Mapping[str, Trained], trained: Mapping[str, Trained]) -> Figure:
    """The distance from Euler's run on the same seeds and minibatches, over the distance that this has gone."""
    lines = {}
    for name, one in others.items():
        euler = trained[reference(name)]
        gone = (euler.states[1:] - euler.states[0]).norm(dim=-1)
        away = (one.states[1:] - euler.states[1:]).norm(dim=-1) / gone
        lines[name] = (one.times[1:], torch.nanmean(away.double(), 1))
    figure = plots.curves(lines, "t", "distance from euler's run,\nover the distance it has gone", log=True)
    figure.axes[0].set_xscale("log", base=2)
    figure.axes[0].xaxis.set_major_formatter(ScalarFormatter())
    return beside(figure)


def beside(figure: Figure) -> Figure:
    """With the legend beside the axes."""
    figure.set_size_inches(8.4, 4.4)
    with plots.style():
        figure.axes[0].legend(loc="upper left", bbox_to_anchor=(1.02, 1.02))
    return figure
