"""The map of the comparison: solvers, step sizes and weights of the penalty."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import cycle

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import LogLocator, NullFormatter
from scipy.stats import spearmanr

from experiments.framework.folder import Folder, Row
from experiments.framework.mixture import MODES, EnsembleRun
from experiments.mog16.options import Place
from odegan import plots
from odegan.plots.style import panels

# A score of the table -> its label, and its colors: the larger, the darker.
SCORES: Mapping[str, tuple[str, Callable[[], Normalize]]] = {
    "modes covered": ("modes covered, of 16", lambda: Normalize(0, len(MODES))),
    "quality": ("share of samples within 5 sigma", lambda: Normalize(0, 1)),
    "step error": ("relative error of a step", lambda: LogNorm(1e-3, 2, clip=True)),
}


def mapped(
    places: Sequence[Place],
    trained: Mapping[str, EnsembleRun],
    errors: Mapping[str, torch.Tensor],
    row: Callable[[str, EnsembleRun, torch.Tensor], Row],
    folder: Folder,
) -> list[Row]:
    """The rows of the map; its figures and facts go to the folder.

    Args:
        places: solver, step size and weight of each run.
        trained, errors: runs and step errors (R, E), by the places' titles.
        row: the row of a setting.
        folder: of the whole run.
    """
    rows: list[Row] = []
    for place in places:
        found = row(place.setting, trained[str(place)], errors[str(place)])
        # Where the run lies comes first, so that it names the row.
        rows.append({"setting": place.setting, "step size": place.step_size, "weight": place.weight} | found)
    folder.facts |= correlations(rows)
    for score in SCORES:
        if not all(math.isnan(mean(row[score])) for row in rows):
            folder.save(heat_maps(rows, score), score.replace(" ", "_"))
    if with_error(rows):
        folder.save(against_error(rows), "modes_over_error")
    return rows


def mean(cell: tuple[float, float] | float | None) -> float:
    """The mean of a table's cell; nan of an empty one."""
    if cell is None:
        return math.nan
    return cell if isinstance(cell, float) else cell[0]


def with_error(rows: Sequence[Row]) -> list[Row]:
    """The rows of solvers that have a step error."""
    return [row for row in rows if not math.isnan(mean(row["step error"]))]


def correlations(rows: Sequence[Row]) -> Row:
    """Spearman's rank correlation of modes covered and step error, where it means something."""
    kinds = {
        "at all places": with_error(rows),
        "at places with a penalty": [row for row in with_error(rows) if row["weight"]],
    }
    found: Row = {}
    for kind, of_kind in kinds.items():
        scores = [[mean(row[name]) for row in of_kind] for name in ("modes covered", "step error")]
        # A constant has no ranks, and two places always correlate perfectly.
        if len(of_kind) > 2 and all(len(set(values)) > 1 for values in scores):
            found[f"rank correlation of modes covered and step error, {kind}"] = float(spearmanr(*scores).statistic)
    return found


def heat_maps(rows: Sequence[Row], score: str) -> Figure:
    """The mean of a score over step size and weight, one panel for each setting that has the score."""
    label, norm = SCORES[score]
    settings = list(dict.fromkeys(row["setting"] for row in rows if not math.isnan(mean(row[score]))))
    with plots.style():
        figure, axes = panels(len(settings), None, share=False, size=2.8)
        for panel, setting in zip(axes, settings, strict=True):
            image = _cells(panel, [row for row in rows if row["setting"] == setting], score, norm())
            panel.set(title=setting, xlabel="step size")
        axes[0].set_ylabel("weight of the penalty")
        figure.colorbar(image, ax=axes, label=label, shrink=0.8)
    return figure


def _cells(axes: Axes, rows: Sequence[Row], score: str, norm: Normalize) -> AxesImage:
    sizes = sorted({row["step size"] for row in rows})
    weights = sorted({row["weight"] for row in rows})
    table = np.full((len(weights), len(sizes)), np.nan)
    for row in rows:
        table[weights.index(row["weight"]), sizes.index(row["step size"])] = mean(row[score])
    image = axes.imshow(table, cmap="Blues", norm=norm, origin="lower", aspect="auto")
    for (i, j), value in np.ndenumerate(table):
        color = "white" if norm(value) > 0.6 else "black"
        axes.text(j, i, "-" if np.isnan(value) else f"{value:.2g}", ha="center", va="center", color=color)
    axes.set_xticks(range(len(sizes)), [f"{h:g}" for h in sizes])
    axes.set_yticks(range(len(weights)), [f"{weight:g}" for weight in weights])
    axes.tick_params(length=0)
    return image


def against_error(rows: Sequence[Row]) -> Figure:
    """Modes covered at the end against the step error, one marker for each place; hollow: without the penalty."""
    settings = list(dict.fromkeys(row["setting"] for row in with_error(rows)))
    with plots.style():
        figure = Figure(figsize=(6.0, 3.8), layout="constrained")
        axes = figure.subplots()
        # More settings than colors share them, with other markers.
        for setting, color, marker in zip(settings, cycle(plots.PALETTE), cycle("os^Dv<>P"), strict=False):
            for penalized, face in ((True, color), (False, "none")):
                here = [r for r in with_error(rows) if r["setting"] == setting and bool(r["weight"]) == penalized]
                error, modes = ([mean(row[name]) for row in here] for name in ("step error", "modes covered"))
                label = f"{setting}, {'penalty' if penalized else 'no penalty'}"
                if here:
                    axes.scatter(error, modes, facecolor=face, edgecolor=color, marker=marker, label=label)
        axes.set(xscale="log", xlabel="relative error of a step, median over the second half", ylim=(-0.5, 16.5))
        axes.set_ylabel("modes covered at the end, mean over seeds")
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.grid()
        figure.legend(loc="outside right center")
    return figure
