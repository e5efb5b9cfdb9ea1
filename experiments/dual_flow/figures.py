"""Figures and animations of the particle flow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from einops import rearrange
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.dual_flow.configurations import Path
from experiments.framework.folder import Row
from experiments.framework.particle_targets import EXTENT, Target
from odegan import plots

RESOLUTION = 60
MOMENTS = (0.0, 1.0, 5.0, 20.0, 1e9)


def modes(rows: Sequence[Row]) -> Figure:
    """Modes reached, a mean over the starts, over kernel and r: one panel for each target and kind of players."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        kind = "particles" if row["players"] == "particles" else "networks"
        groups.setdefault((row["target"], kind), []).append(row)
    with plots.style():
        figure = Figure(figsize=(9.6, 3.6), layout="constrained")
        widths = [len({row["r"] for row in found}) for found in groups.values()]
        panels = figure.subplots(1, len(groups), squeeze=False, width_ratios=widths)[0]
        for axes, ((target, kind), found) in zip(panels, groups.items(), strict=True):
            _cells(axes, found, 2 if target == "two modes" else 8)
            axes.set(title=f"{target}, {kind}", xlabel="r")
        panels[0].set_ylabel("bandwidth, or what else D is")
    return figure


def _cells(axes: Axes, rows: Sequence[Row], most: int) -> None:
    ratios = sorted({row["r"] for row in rows})
    names = list(dict.fromkeys(map(_discriminator, rows)))
    table = np.full((len(names), len(ratios)), np.nan)
    for row in rows:
        counts = [int(count) for count in row["modes reached"].split()]
        table[names.index(_discriminator(row)), ratios.index(row["r"])] = sum(counts) / len(counts)
    axes.imshow(table, cmap="Blues", vmin=0, vmax=1.3 * most, aspect="auto")
    for (i, j), value in np.ndenumerate(table):
        text = "" if np.isnan(value) else f"{value:.2g}"
        look: dict[str, Any] = {"color": "white", "weight": "bold"} if value == most else {}
        axes.text(j, i, text, ha="center", va="center", **look)
    axes.set_xticks(range(len(ratios)), [f"{r:g}" for r in ratios])
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(length=0)


def _discriminator(row: Row) -> str:
    if row["kernel"] == "network":
        return "pair"
    return "energy" if row["bandwidth"] is None else f"{row['bandwidth']:g}"


def over_time(paths: Mapping[tuple[str, str, str], Path]) -> Figure:
    """MMD in each discriminator's own kernel, and |D|, against time at r = 1: a column a target, bands over the starts."""
    names = list(dict.fromkeys(target for target, _, _ in paths))
    with plots.style():
        figure = Figure(figsize=(9.6, 4.8), layout="constrained")
        grid = figure.subplots(2, len(names), squeeze=False, sharex=True, sharey="row")
        kernels = list(dict.fromkeys(kernel for _, _, kernel in paths))
        for (target, _, kernel), path in paths.items():
            column = grid[:, names.index(target)]
            color = plots.PALETTE[kernels.index(kernel)]
            for axes, values in zip(column, (path.mmd, path.norm), strict=True):
                axes.plot(path.times, values.mean(1), color=color, label=kernel)
                axes.fill_between(path.times, values.amin(1), values.amax(1), color=color, alpha=0.18, linewidth=0)
            column[0].set_title(target)
            column[1].set_xlabel("time")
        for axes, label in zip(grid[:, 0], ("MMD in its own kernel", "|D|"), strict=True):
            axes.set(ylabel=label)
        for axes in grid.flat:
            axes.set_yscale("log")
            # Symmetric log, because t = 0 belongs to the axis.
            axes.set_xscale("symlog", linthresh=1.0)
            axes.set_xlim(left=0.0)
            axes.grid(axis="y")
        grid[1, 0].set_ylim(bottom=1e-3)
        figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=len(kernels))
    return figure


def film(target: Target, paths: Mapping[str, Path]) -> Iterator[Figure]:
    """A frame a reported moment: the first start's cloud over its discriminator, one panel a kernel."""
    times = next(iter(paths.values())).times.tolist()
    for i, t in enumerate(times):
        yield plots.clouds(_panels(paths, i), EXTENT, target.data, title=f"{target.name}, t = {t:.1f}")


def moments(target: Target, paths: Mapping[str, Path]) -> Figure:
    """The same at a few moments: a row a kernel."""
    frames = []
    for kernel, path in paths.items():
        for moment in MOMENTS:
            i = int((path.times - moment).abs().argmin())
            ((_, points, values),) = _panels({kernel: path}, i)
            frames.append((f"{kernel}, t = {float(path.times[i]):.3g}", points, values))
    return plots.clouds(frames, EXTENT, target.data, columns=len(MOMENTS))


def _panels(paths: Mapping[str, Path], i: int) -> list[tuple[str, torch.Tensor, torch.Tensor]]:
    """(kernel, cloud (N, 2), values of D on the grid) of the first start at the i-th moment."""
    grid = plots.plane(EXTENT, RESOLUTION).double()
    found = []
    for kernel, path in paths.items():
        assert path.game.critic is not None
        values = path.game.critic(path.states[i, 0, : path.game.n_disc], grid)
        square = rearrange(values, "(rows columns) ... -> rows (columns ...)", rows=RESOLUTION)
        found.append((kernel, path.clouds[i, 0], square))
    return found
