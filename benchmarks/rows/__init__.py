"""The rows of the benchmark by name: functions from settings to measurements and verdicts."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from benchmarks.rows import (
    adaptive,
    compiling,
    eager,
    ensembles,
    evaluations,
    memory,
    mog16,
    operations,
    penalties,
    spectra,
)
from benchmarks.rows.result import Result
from benchmarks.side_by_side import Settings

ROWS: Mapping[str, Callable[[Settings], Result]] = {
    "mog16": mog16.measure,
    "ensembles": ensembles.measure,
    "evaluations": evaluations.measure,
    "penalties": penalties.measure,
    "adaptive": adaptive.measure,
    "spectrum": spectra.measure,
    "memory": memory.measure,
    "operations": operations.measure,
    "eager": eager.measure,
    "compiling": compiling.measure,
}
