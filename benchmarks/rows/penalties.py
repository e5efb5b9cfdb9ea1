"""Time and memory of the field with each penalty in it, relative to the bare field."""

from __future__ import annotations

from benchmarks.rows.result import Result
from benchmarks.side_by_side import Settings, compare, compared, measured, verdict
from benchmarks.worker import Worker
from odegan import penalties

GOALS = {"generator_gradient": 2.2, "jare": 3.6}
NEEDS = {"closed_loop": ",buffer=0", "truncation_error": ",step_size=0.1"}  # what is not left to its default
BATCHES = {"mog16": 512, "digits": 64}


def measure(settings: Settings) -> Result:
    """Every penalty of the table on mog16's networks and on the digits', eager, one thread."""
    lines = []
    verdicts = []
    for case, batch in BATCHES.items():
        with Worker(1) as worker:
            common = {"case": case, "batch": 8 if settings.quick else batch}
            peers = {"bare": worker.add("peer_odegan:field", **common)}
            for name in penalties.names():
                text = f"{name}:0.1{NEEDS.get(name, '')}"
                peers[name] = worker.add("peer_odegan:field", penalties=[text], **common)
            times = compare(peers, settings._replace(turn=settings.turn / 2), f"penalties, {case}")
            peaks = {name: peer.facts()["bytes"] for name, peer in peers.items()}
        for name, t in times.items():
            line = measured("penalties", case, name, t, "evaluations")
            lines.append(line | {"MB": peaks[name] / 1e6})
            if name != "bare":
                goal = GOALS.get(name)
                verdicts.append(
                    compared("penalties", case, f"time with {name} over the bare field's", t, times["bare"], goal)
                )
                what = f"peak memory with {name} over the bare field's"
                relative = peaks[name] / peaks["bare"]
                verdicts.append(verdict("penalties", case, what, relative, None))
    return Result(lines, verdicts)
