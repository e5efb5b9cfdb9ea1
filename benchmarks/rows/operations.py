"""Floating-point operations a second of a run, against the machine's rate of large matrix products."""

from __future__ import annotations

from benchmarks.networks import operations_of_step
from benchmarks.rows.mog16 import THREADS
from benchmarks.rows.result import Result
from benchmarks.side_by_side import Settings, compare, measured, ratio, verdict
from benchmarks.worker import Worker

SIDE = 1024


def measure(settings: Settings) -> Result:
    """Of compiled mog16 and of eager digits on one thread, and of the eager DCGAN pair on all of them."""
    batch = 4 if settings.quick else 64
    cases = {
        "mog16": (1, "peer_odegan:mog16", {"steps": 20, "compile": settings.backend}, 512, "generator_gradient:0.07"),
        "digits": (1, "peer_odegan:training", {"case": "digits", "steps": 5, "batch": batch}, batch, ""),
        "dcgan32": (0, "peer_odegan:training", {"case": "dcgan32", "steps": 1, "batch": batch}, batch, ""),
    }
    lines = []
    verdicts = []
    for case, (threads, factory, keywords, size, penalty) in cases.items():
        with Worker(threads) as worker:
            keywords = keywords | ({} if case == "mog16" else {"solver": "rk4_classic"})
            peers = {
                "matrix products": worker.add("peer_torch:products", n=SIDE, times=5),
                "RK4": worker.add(factory, **keywords),
            }
            times = compare(peers, settings, f"operations, {case}")
        count = operations_of_step(case, size, penalty)
        per_operation = type(times["RK4"])(*([x / count for x in part] for part in times["RK4"]))
        words = f"{case}, {THREADS[threads]}"
        for name, t in (("matrix products", times["matrix products"]), ("RK4", per_operation)):
            line = measured("operations", words, name, t, "operations")
            lines.append(line | {"GFLOP/s": line["per second"] / 1e9} | {"ms": None, "processor ms": None})
        share = ratio(times["matrix products"], per_operation)
        spread = f"{share.lowest:.3g} to {share.highest:.3g}"
        note = f"{count / 1e6:.4g} MFLOP a step"
        what = f"share of the rate of {SIDE} x {SIDE} products"
        verdicts.append(verdict("operations", words, what, share.median, None, spread=spread, cpu=share.cpu, note=note))
    return Result(lines, verdicts)
