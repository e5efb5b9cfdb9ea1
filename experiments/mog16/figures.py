"""Figures of the mixture experiment."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray

from experiments.framework.mixture import MODES, EnsembleRun
from experiments.framework.mixture_figures import density_frame
from odegan import Game, plots

EXTENT = 2.0
FRAMES = 16  # of one member over time: the start, and every 2,000 of 30,000 steps
MANY = 5  # lines; the legend of more needs a place of its own


def single_figures(game: Game, trained: EnsembleRun) -> dict[str, Figure]:
    """One member's density over time, and the ensemble's scores."""
    moments = shown(len(trained.states))
    frames = [density_frame(game, f"{trained.evaluations[i]:,.0f}", trained.states[i, 0], EXTENT) for i in moments]
    return {
        "density": plots.density_frames(frames, EXTENT, MODES),
        "modes": over_time({"seeds": trained}, "modes_covered", "modes covered"),
        "quality": over_time({"seeds": trained}, "quality", "share of samples within 5 sigma"),
    }


def shown(states: int) -> NDArray[np.int_]:
    """The indices of at most ``FRAMES`` of so many states, at equal distances, the first and the last among them.

    >>> shown(31).tolist()
    [0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30]
    """
    distance = next(d for d in range(1, states + 1) if (states - 1) % d == 0 and (states - 1) // d < FRAMES)
    return np.arange(0, states, distance)


def comparison_figures(
    game: Game, trained: Mapping[str, EnsembleRun], errors: Mapping[str, torch.Tensor]
) -> dict[str, Figure]:
    """The first setting alone; the settings' scores over time and at the end, one member of each at the end, and the errors
    (R, E) of the steps over time."""
    names = list(trained)
    frames = [density_frame(game, name, one.states[-1, 0], EXTENT) for name, one in trained.items()]
    return (
        single_figures(game, trained[names[0]])
        | {
            "compared_modes": over_time(trained, "modes_covered", "modes covered, mean over seeds", band=False),
            "compared_quality": over_time(trained, "quality", "share of samples within 5 sigma", band=False),
            "bars_modes": final(names, trained, "modes_covered", "modes covered, of 16 (mean ± std over seeds)"),
            "bars_quality": final(names, trained, "quality", "share of samples within 5 sigma (mean ± std over seeds)"),
            "bars_kl": final(
                names, trained, "histogram_kl", "KL of the mode histogram from uniform (mean ± std over seeds)"
            ),
            "compared_density": plots.density_frames(frames, EXTENT, MODES),
        }
        | step_error(trained, errors)
    )


def step_error(trained: Mapping[str, EnsembleRun], errors: Mapping[str, torch.Tensor]) -> dict[str, Figure]:
    """The median over the members, one line per setting with step errors; an empty dict if there is none."""
    lines = {
        name: (trained[name].evaluations, of_steps.nanmedian(1).values)
        for name, of_steps in errors.items()
        if not of_steps.isnan().all()
    }
    if not lines:
        return {}
    figure = plots.curves(lines, "field evaluations", "relative error of a step, median over seeds", log=True)
    return {"step_error": beside(figure, len(lines))}


def over_time(trained: Mapping[str, EnsembleRun], score: str, label: str, band: bool = True) -> Figure:
    """Mean over the members as a line, their range as a band."""
    scores = {name: getattr(one.scores, score).double() for name, one in trained.items()}
    lines = {name: (trained[name].evaluations, values.mean(1)) for name, values in scores.items()}
    ranges = {name: (values.amin(1), values.amax(1)) for name, values in scores.items()}
    figure = plots.curves(lines, "field evaluations", label, band=ranges if band else None)
    return beside(figure, len(lines))


def beside(figure: Figure, lines: int) -> Figure:
    """The figure with its legend beside it, if there are many lines."""
    if lines > MANY:
        figure.set_size_inches(8.4, 4.6)
        with plots.style():
            figure.axes[0].legend(loc="upper left", bbox_to_anchor=(1.02, 1.02))
    return figure


def final(names: list[str], trained: Mapping[str, EnsembleRun], score: str, label: str) -> Figure:
    """Scores at the end as bars."""
    last = [getattr(trained[name].scores, score)[-1].double() for name in names]
    return plots.bars(names, [v.mean() for v in last], [v.std(correction=0) for v in last], xlabel=label)
