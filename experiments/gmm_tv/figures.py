"""Figures of the mixture in total variation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib.figure import Figure

from odegan import plots
from odegan.plots.style import INK, PALE, panels

_EDGE = 3.2  # of the positions that trajectories show
_BANDS = (plots.PALETTE[5], plots.PALETTE[2], plots.PALETTE[4])  # of the intervals


def heat_maps(maps: Mapping[str, tuple[torch.Tensor, float]], step_size: float, k: int) -> Figure:
    """One panel a dynamics: its success rate over the starting means (grid, grid), with the rate off the diagonal on top.

    k: components. The rates of three are averaged over the third mean.
    """
    half = k / 2
    ends = (-half, half, -half, half)
    ticks = (-half, 0, half)
    with plots.style():
        figure, axes = panels(len(maps), min(4, len(maps)), share=True)
        for panel, (name, (rates, off)) in zip(axes, maps.items(), strict=True):
            image = panel.imshow(
                rates.T.numpy(), origin="lower", extent=ends, vmin=0, vmax=1, cmap="viridis", aspect="equal"
            )
            panel.set(title=f"{name}\n{100 * off:.1f} %", xticks=ticks, yticks=ticks)
            panel.title.set_fontsize("small")
            panel.spines[:].set_visible(True)
        figure.colorbar(image, ax=axes, label=f"success rate, steps of {step_size:g}", shrink=0.6, aspect=30)
        figure.supxlabel(r"first mean $\mu_1$ at the start", fontsize="medium")
        figure.supylabel(r"second mean $\mu_2$ at the start", fontsize="medium")
    return figure


def fates(shares: Mapping[str, Sequence[float]], k: int) -> Figure:
    """Stacked bars, one a dynamics: the shares of success and of each kind of failure, with k intervals."""
    names = ("success", f"{'both' if k == 2 else 'all'} intervals empty", "constant otherwise", "other failures")
    colors = (plots.PALETTE[2], plots.PALETTE[1], plots.PALETTE[4], PALE)
    with plots.style():
        figure = Figure(figsize=(7.2, 0.9 + 0.27 * len(shares)), layout="constrained")
        axes = figure.subplots()
        left = np.zeros(len(shares))
        for fate, color, widths in zip(names, colors, np.array(list(shares.values())).T, strict=True):
            axes.barh(list(shares), widths, left=left, color=color, height=0.7, label=fate)
            left += widths
        axes.invert_yaxis()
        axes.set(xlabel="share of the starts off the diagonal", xlim=(0, 1))
        axes.tick_params(left=False)
        axes.margins(y=0.01)
        figure.legend(loc="outside upper center", ncols=4)
    return figure


def trajectories(paths: Mapping[str, tuple[torch.Tensor, torch.Tensor, torch.Tensor]], truth: torch.Tensor) -> Figure:
    """One panel a dynamics: means (T, k) as lines and intervals (T, 2 k) as bands over time (T,); dotted: the truth (k,)."""
    with plots.style():
        figure, axes = panels(len(paths), min(4, len(paths)), share=False)
        for panel, (name, (ts, ends, means)) in zip(axes, paths.items(), strict=True):
            t = ts.numpy()
            bands = ends.clamp(-_EDGE, _EDGE).numpy()
            for i, color in enumerate(_BANDS[: len(truth)]):
                low = bands[:, 2 * i]
                high = bands[:, 2 * i + 1]
                panel.fill_between(t, low, high, where=high > low, color=color, alpha=0.35, linewidth=0)
                panel.fill_between(t, low, high, where=high < low, color=plots.PALETTE[3], alpha=0.35, linewidth=0)
                panel.plot(
                    t, np.where(np.maximum(-low, high) < _EDGE, (low + high) / 2, np.nan), color=color, linewidth=0.7
                )
            for mean, color in zip(means.T.numpy(), plots.PALETTE, strict=False):
                panel.plot(t, mean, color=color, linewidth=1.4)
            for mean in truth.tolist():
                panel.axhline(mean, color=INK, linestyle=":", linewidth=0.9)
            panel.set(title=name, ylim=(-_EDGE, _EDGE), xlim=(t[0], t[-1]))
            panel.title.set_fontsize("small")
        figure.supxlabel("time", fontsize="medium")
        figure.supylabel("means (lines) and intervals (bands)", fontsize="medium")
    return figure
