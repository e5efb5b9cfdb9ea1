"""What compiling a step costs, with an empty cache and with a full one, and after how many steps it has paid."""

from __future__ import annotations

import statistics
from tempfile import TemporaryDirectory

from benchmarks.rows.result import Result
from benchmarks.side_by_side import Settings, Times, measured, verdict
from benchmarks.worker import Worker
from experiments.framework.progress import shown

CACHES = ("empty", "full")
STEPS = 50  # of a run
MOST = 3  # repetitions, which take half a minute each


def measure(settings: Settings) -> Result:
    """mog16's step in a new process each time, one thread: its first run less a later one."""
    spent = {cache: Times([], []) for cache in CACHES}
    later = {name: Times([], []) for name in ("odegan compiled", "odegan eager")}
    for _ in shown(range(min(settings.repetitions, MOST)), "compiling", True):
        with TemporaryDirectory() as folder:
            for cache in CACHES:
                with Worker(1, TORCHINDUCTOR_CACHE_DIR=folder) as worker:
                    compiled = worker.add("peer_odegan:mog16", steps=STEPS, compile=settings.backend)
                    eager = worker.add("peer_odegan:mog16", steps=STEPS)
                    first = compiled.timed()
                    then = compiled.timed()
                    eager.timed()
                    spent[cache].wall.append((first[0] - then[0]) * STEPS)
                    spent[cache].cpu.append((first[1] - then[1]) * STEPS)
                    for times, found in zip(later.values(), (then, eager.timed()), strict=True):
                        times.wall.append(found[0])
                        times.cpu.append(found[1])
    saved = later["odegan eager"].median - later["odegan compiled"].median
    lines = [measured("compiling", "mog16, 1 thread", name, times, "steps") for name, times in later.items()]
    verdicts = []
    for cache, times in spent.items():
        case = f"mog16, 1 thread, {cache} cache"
        span = f"{min(times.wall):.3g} to {max(times.wall):.3g}"
        what = "seconds to compile a step"
        verdicts.append(
            verdict("compiling", case, what, times.median, None, spread=span, cpu=statistics.median(times.cpu))
        )
        pays = times.median / saved if saved > 0 else float("inf")
        verdicts.append(verdict("compiling", case, "steps after which it pays", pays, None))
    return Result(lines, verdicts)
