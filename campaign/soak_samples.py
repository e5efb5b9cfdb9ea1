"""What a process and its folder hold at a moment, read from Linux's /proc, and whether that grew."""

from __future__ import annotations

import ctypes
import gc
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

STATISTICS = 6 * 8  # bytes a step: t, step size, error ratio, two losses and |f| in double precision
BLOCK = 256  # steps whose statistics share one tensor
RECORD = 4  # Python objects of a step that is not in a block yet, so that their number swings by up to BLOCK * RECORD
MB = 2.0**20


class Sample(NamedTuple):
    """At ``seconds``, after ``steps``: memory, disk and metrics in bytes; objects that Python's collector follows; open
    files, threads; and how many checkpoint and figure files there are.
    """

    seconds: float
    steps: int
    memory: int
    objects: int
    handles: int
    threads: int
    disk: int
    metrics: int
    checkpoints: int
    figures: int


class Soaked(NamedTuple):
    """What came of it: samples, and how many of each were written."""

    samples: list[Sample]
    steps: int
    checkpoints: int
    metrics: int
    figures: int


def sample(seconds: float, steps: int, folder: Path) -> Sample:
    """Measure this process and what is below the folder. Free memory goes back to the system first: what is left is in use."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    files = {path: path.stat().st_size for path in sorted(folder.rglob("*")) if path.is_file()}
    return Sample(
        seconds=seconds,
        steps=steps,
        memory=pages * os.sysconf("SC_PAGE_SIZE"),
        objects=len(gc.get_objects()),
        handles=len(os.listdir("/proc/self/fd")),
        threads=len(os.listdir("/proc/self/task")),
        disk=sum(files.values()),
        metrics=sum(size for path, size in files.items() if path.suffix == ".jsonl"),
        checkpoints=sum(path.parent.name == "checkpoints" and path.suffix != ".lock" for path in files),
        figures=sum(path.parent.name == "figures" for path in files),
    )


class Check(NamedTuple):
    """A quantity that must be flat: its growth from the second quarter to the last one is at most ``bound``."""

    name: str
    value: Callable[[Sample], float]
    bound: float


CHECKS = [
    Check("memory less the statistics, MB", lambda s: (s.memory - STATISTICS * s.steps) / MB, 8.0),
    Check("Python objects less the statistics' blocks", lambda s: s.objects - s.steps / BLOCK, BLOCK * RECORD),
    Check("open files", lambda s: s.handles, 0.0),
    Check("threads", lambda s: s.threads, 0.0),
    Check("disk less statistics and metrics, MB", lambda s: (s.disk - s.metrics - STATISTICS * s.steps) / MB, 1.0),
    Check("checkpoint files", lambda s: s.checkpoints, 0.0),
    Check("figure files", lambda s: s.figures, 0.0),
]


def growth(values: Sequence[float]) -> float:
    """Median of the last quarter less the median of the second one: the first is for warming up.

    >>> growth([9, 9, 1, 1, 5, 5, 2, 2])
    1.0
    """
    quarter = len(values) // 4
    if quarter == 0:
        raise ValueError(f"{len(values)} samples have no quarters")
    return float(np.median(values[-quarter:]) - np.median(values[quarter : 2 * quarter]))


def slope(samples: Sequence[Sample], value: Callable[[Sample], float]) -> float:
    """Per step, by least squares over the second half."""
    half = samples[len(samples) // 2 :]
    return float(np.polyfit([s.steps for s in half], [value(s) for s in half], 1)[0])


def failures(samples: Sequence[Sample]) -> list[str]:
    """What grew, one sentence each."""
    grown = [(check, growth([check.value(s) for s in samples])) for check in CHECKS]
    return [f"{c.name} grew by {more:.3g}, more than {c.bound:g}" for c, more in grown if more > c.bound]
