"""``spectrum``, k = 10 of largest modulus, from 1e3 to 1e6 parameters: time in field evaluations, memory in parameters."""

from __future__ import annotations

import numpy as np

from benchmarks.rows.result import Result
from benchmarks.side_by_side import Settings, compare, compared, measured, same_outcome, verdict
from benchmarks.worker import Worker

WIDTHS = (17, 65, 218, 701)  # 1,000 to 1,000,000 parameters
BATCH = 64
NUMBER = 4  # bytes of a parameter in float32


def measure(settings: Settings) -> Result:
    """Fully connected pairs, one thread."""
    lines, verdicts, sizes, peaks = [], [], [], []
    for width in WIDTHS[:2] if settings.quick else WIDTHS:
        common = {"width": width, "batch": BATCH}
        with Worker(1) as worker:
            peers = {
                "spectrum": worker.add("peer_odegan:spectrum", **common),
                "field": worker.add("peer_odegan:connected_field", **common),
            }
            if width == WIDTHS[0]:
                same_outcome(peers, rtol=1e-3)  # against the dense Jacobian
            times = compare(peers, settings, f"spectrum, width {width}")
            facts = peers["spectrum"].facts()
        count = facts["parameters"]
        case = f"{count:,} parameters"
        sizes.append(count)
        peaks.append(facts["bytes"] / NUMBER)
        lines += [
            measured("spectrum", case, "10 of largest modulus", times["spectrum"], "spectra")
            | {"MB": facts["bytes"] / 1e6},
            measured("spectrum", case, "field", times["field"], "evaluations"),
        ]
        what = "time in field evaluations"
        verdicts.append(compared("spectrum", case, what, times["spectrum"], times["field"], 300))
        verdicts.append(verdict("spectrum", case, "memory in states of float32", peaks[-1] / count, None))
    power = float(np.polyfit(np.log(sizes), np.log(peaks), 1)[0])
    what = "power of the number of parameters that memory grows with"
    return Result(lines, [*verdicts, verdict("spectrum", "all sizes", what, power, 1.1)])
