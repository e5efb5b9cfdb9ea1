"""The soak's page of results and its figure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from campaign.soak_samples import CHECKS, MB, STATISTICS, Sample, Soaked, growth, slope
from experiments.framework import publishing
from experiments.framework.command_line import reproducing
from experiments.framework.results import Results, Row, Table
from odegan import plots

RAW = {
    "memory, MB": lambda s: s.memory / MB,
    "Python objects": lambda s: s.objects,
    "open files": lambda s: s.handles,
    "threads": lambda s: s.threads,
    "disk, MB": lambda s: s.disk / MB,
    "checkpoint files": lambda s: s.checkpoints,
}
CORRECTED = {"memory, MB": CHECKS[0].value, "Python objects": CHECKS[1].value, "disk, MB": CHECKS[4].value}


def table(samples: Sequence[Sample]) -> Table:
    """Each quantity at the start, the quarters and the end, its growth, and what it was allowed."""
    moments = {"start": 0, "1/4": len(samples) // 4, "half": len(samples) // 2, "3/4": 3 * len(samples) // 4, "end": -1}
    rows: list[Row] = [
        {"what must be flat": check.name}
        | {name: float(check.value(samples[i])) for name, i in moments.items()}
        | {"growth": growth([check.value(s) for s in samples]), "allowed": check.bound}
        for check in CHECKS
    ]
    return Table(rows)


def publish(docs: Path, command: str, soaked: Soaked) -> None:
    """Write results/reliability_soak.md and .json, and figures/reliability_soak.png."""
    plots.save(figure(soaked.samples), docs / "figures" / "reliability_soak.png")
    found = table(soaked.samples)
    results = Results("reliability_soak", reproducing(command), [found], {"seed": 0, "device": "cpu"})
    publishing.write(docs, results, "Reliability: soak", [before(soaked), found, after(soaked.samples)])


def before(soaked: Soaked) -> str:
    """The page's text before the table: what was done."""
    return f"""
The mixture of 16 Gaussians by Heun's method, with a replay buffer and an average, in one process for
{soaked.samples[-1].seconds / 60:.3g} minutes: {soaked.steps:,} steps, {soaked.checkpoints:,} checkpoints written,
{soaked.metrics:,} lines of metrics, {soaked.figures:,} figures. Growth is the median of the last quarter minus the median
of the second; samples are taken after a garbage collection."""


def after(samples: Sequence[Sample]) -> str:
    """The page's text after the table: what the numbers mean."""
    last = samples[-1]
    memory = slope(samples, lambda s: s.memory)
    disk = slope(samples, lambda s: s.disk)
    return f"""
- **What grows by design** is subtracted above: the statistics of every step, {STATISTICS} bytes in memory and in the
  checkpoint, for each member of an ensemble. As measured, memory grew by {memory:.1f} bytes a step over the second half,
  from {samples[0].memory / MB:.1f} MB at the start to {last.memory / MB:.1f} MB, and the folder by {disk:.1f} bytes a step to
  {last.disk / MB:.2f} MB, of which {last.metrics / MB:.2f} MB are the lines of metrics.
- **Not subtracted** are the other {memory - STATISTICS:.1f} bytes a step: what small tensors cost beyond their numbers, the
  list of logged steps, and the samples themselves. The number of objects varies by up to {CHECKS[1].bound:,.0f} with the
  steps whose statistics have not been stored as a block yet, which happens at every save.
- **What is kept**: one checkpoint, replaced at each save, and the last figures. Neither accumulates.

![Memory, objects, open files, threads, disk and checkpoints over time](../figures/reliability_soak.png)
"""


def figure(samples: Sequence[Sample]) -> Figure:
    """One small panel a quantity: as measured, and less what grows by design."""
    minutes = [s.seconds / 60 for s in samples]
    with plots.style():
        picture = Figure(figsize=(9.0, 4.8), layout="constrained")
        for axes, (name, value) in zip(picture.subplots(2, 3, sharex=True).flatten(), RAW.items(), strict=True):
            axes.plot(minutes, [value(s) for s in samples], label="measured")
            if name in CORRECTED:
                axes.plot(minutes, [CORRECTED[name](s) for s in samples], "--", label="less the statistics")
            axes.set(title=name, xlim=(0, None), ylim=(0, 1.2 * max(map(value, samples))))
            axes.grid(axis="y")
        for axes in picture.axes[3:]:
            axes.set(xlabel="minutes")
        picture.axes[0].legend(loc="lower right", fontsize="small")
    return picture
