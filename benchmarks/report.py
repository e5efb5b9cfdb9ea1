"""The results as tables and figures."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure

from benchmarks.earlier import earlier, in_order
from benchmarks.rows.result import Result
from experiments.framework import publishing
from experiments.framework.results import Cell, Results, Row, Table
from odegan.plots.style import INK, PALETTE, save, style

Line = Mapping[str, Any]


def machine(load: float) -> dict[str, Cell]:
    """What the numbers were measured with; load: processes waiting for a processor when the run began."""
    return {
        "torch": torch.__version__,
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "load at the start": round(load, 2),
    }


def sentence(about: Row) -> str:
    """The machine in words.

    >>> sentence({"torch": "2.13.0", "cores": 2})
    'torch: 2.13.0, cores: 2'
    """
    return ", ".join(f"{key}: {value}" for key, value in about.items())


def uniform(lines: Sequence[Row]) -> list[dict[str, Cell]]:
    """The lines with the same columns, those empty throughout left out."""
    columns = dict.fromkeys(key for line in lines for key in line)
    used = [c for c in columns if any(line.get(c) not in (None, "") for line in lines)]
    return [{c: line.get(c) for c in used} for line in lines]


def publish(docs: Path, results: Mapping[str, Result], about: Row, command: str) -> None:
    """results/speed.json, results/speed.md and figures/speed_*.png below a folder; other rows there stay."""
    kept = earlier(docs, results)
    verdicts = in_order(kept.verdicts + [dict(line) for result in results.values() for line in result.verdicts])
    found_lines = [dict(line) for result in results.values() for line in result.measurements]
    measurements = in_order(kept.measurements + found_lines)
    tables = [Table(uniform(verdicts), "Goals"), Table(uniform(measurements), "Measurements")]
    commands = [*kept.commands, f"{command}  # load at the start: {about['load at the start']}"]
    always = {key: cell for key, cell in about.items() if key != "load at the start"}
    found = Results("speed", "\n".join(commands), tables, {"device": "cpu", "machine": always})
    what = f"{sentence(always)}. Medians; ranges are over the pairs. The rows of a command were measured together."
    publishing.write(docs, found, "Results of `speed`", [what, *tables])
    save(goals_figure(verdicts), docs / "figures" / "speed_goals.png")
    if "ensembles" in results:
        save(ensembles_figure(results["ensembles"].measurements), docs / "figures" / "speed_ensembles.png")


def goals_figure(verdicts: Sequence[Line]) -> Figure:
    """How many times better than its goal each number is: beyond 1 it is met."""
    with_goals = [v for v in verdicts if v["goal"] not in ("-", None)]  # None: read back from earlier results
    names = [f"{v['row']}, {v['case']}: {v['what']}" for v in with_goals]
    with style():
        figure = Figure(figsize=(11.5, 0.9 + 0.27 * len(names)), layout="constrained")
        axes = figure.subplots()
        for i, v in enumerate(with_goals):
            goal = float(v["goal"].split()[-1])
            better = v["value"] / goal if "least" in v["goal"] else goal / max(v["value"], 1e-9)
            axes.plot([1, better], [i, i], color=PALETTE[0 if better >= 1 else 1], linewidth=5, solid_capstyle="butt")
            axes.annotate(
                f"{v['value']:.3g}, {v['goal']}",
                (max(better, 1), i),
                (6, 0),
                textcoords="offset points",
                va="center",
                fontsize=8,
            )
        axes.axvline(1, color=INK, linewidth=0.8)
        axes.set(xscale="log", xlabel="times better than the goal (measured, goal)", yticks=range(len(names)))
        axes.set_yticklabels(names, fontsize=8)
        axes.tick_params(left=False)
        axes.spines["left"].set_visible(False)
        axes.invert_yaxis()
        low, high = axes.get_xlim()
        axes.set_xlim(min(low, 0.4), high * 3)
        axes.set_xticks([t for t in (0.1, 0.2, 0.5, 1, 2, 5) if low <= t <= high * 3])
        axes.xaxis.set_major_formatter("{x:g}")
        axes.minorticks_off()
        axes.grid(axis="x")
    return figure


def ensembles_figure(measurements: Sequence[Line]) -> Figure:
    """Member-steps per second against the number of members."""
    with style():
        figure = Figure(figsize=(6.4, 3.8), layout="constrained")
        axes = figure.subplots()
        for i, peer in enumerate(dict.fromkeys(m["peer"] for m in measurements)):
            own = [(int(m["case"].split()[0]), m["per second"]) for m in measurements if m["peer"] == peer]
            axes.plot(*zip(*own, strict=True), "o-", color=PALETTE[i], label=peer)
        axes.set(xscale="log", xlabel="members", ylabel="member-steps per second", ylim=(0, None))
        sizes = sorted({int(m["case"].split()[0]) for m in measurements})
        axes.set_xticks(sizes, [str(s) for s in sizes])
        axes.minorticks_off()
        axes.grid(axis="y")
        axes.legend()
    return figure
