"""Time of a field evaluation on image networks, against a step of the usual alternating Adam loop."""

from __future__ import annotations

from benchmarks.rows.mog16 import THREADS
from benchmarks.rows.result import Result
from benchmarks.side_by_side import Settings, Times, compare, compared, measured, same_outcome
from benchmarks.worker import Worker

EVALUATIONS = 4  # of a step of classical RK4
STEPS = {"digits": 5, "dcgan32": 1}


def measure(settings: Settings) -> Result:
    """A quarter of an RK4 step, everything included, eager and compiled, against a step of both of Adam's players."""
    lines = []
    verdicts = []
    for case, steps in STEPS.items():
        batch = 4 if settings.quick else 64
        common = {"case": case, "batch": batch}
        with Worker(1 if case == "digits" else 0) as worker:
            words = THREADS[1 if case == "digits" else 0]
            checked = {
                "Adam by hand": worker.add("peer_torch:training", steps=steps * EVALUATIONS, **common),
                "odegan's Adam": worker.add("peer_odegan:training", steps=1, solver="adam", **common),
            }
            same_outcome(checked, rtol=1e-2, atol=1e-5)
            peers = {"Adam by hand": checked["Adam by hand"]}
            for compile in ("", settings.backend):
                name = f"odegan {'compiled' if compile else 'eager'}"
                run = {"steps": steps, "solver": "rk4_classic", "compile": compile}
                peers[name] = worker.add("peer_odegan:training", **run, **common)
            times = compare(peers, settings, case)
        for name in list(times)[1:]:
            times[name] = Times(*([x / EVALUATIONS for x in part] for part in times[name]))
        unit = {"Adam by hand": "steps of both players"}
        lines += [
            measured("evaluations", f"{case}, {words}", n, t, unit.get(n, "evaluations")) for n, t in times.items()
        ]
        for name in list(times)[1:]:
            what = f"time of an evaluation, {name}, over Adam's alternating step"
            verdicts.append(compared("evaluations", f"{case}, {words}", what, times[name], times["Adam by hand"], 0.85))
    return Result(lines, verdicts)
