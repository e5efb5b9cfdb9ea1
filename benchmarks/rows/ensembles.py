"""Member-steps per second of ensembles on the mixture of 16 Gaussians, against JAX's vmap."""

from __future__ import annotations

from itertools import pairwise

from benchmarks.rows.mog16 import THREADS
from benchmarks.rows.result import Result
from benchmarks.side_by_side import Settings, best, compare, compared, measured, same_outcome, verdict
from benchmarks.worker import Worker

SIZES = (1, 4, 16, 64, 256)
JUDGED = (16, 64, 256)


def measure(settings: Settings) -> Result:
    """One size after another, each with workers of its own, all threads and one."""
    lines = []
    verdicts = []
    speeds = []
    for members in (1, 4) if settings.quick else SIZES:
        # As much work a call at every size, and never a single step.
        keywords = {"steps": 2 if settings.quick else max(2, 64 // members), "members": members}
        with Worker(1) as torch_1, Worker(0) as torch_all, Worker(1) as jax_1, Worker(0) as jax_all:
            peers = {
                f"odegan compiled, {THREADS[1]}": torch_1.add(
                    "peer_odegan:mog16", compile=settings.backend, **keywords
                ),
                f"odegan compiled, {THREADS[0]}": torch_all.add(
                    "peer_odegan:mog16", compile=settings.backend, **keywords
                ),
                f"JAX vmap, {THREADS[1]}": jax_1.add("peer_jax:mog16", **keywords),
                f"JAX vmap, {THREADS[0]}": jax_all.add("peer_jax:mog16", **keywords),
            }
            same_outcome(peers)
            times = compare(peers, settings, f"ensembles of {members}")
        case = f"{members} members"
        lines += [measured("ensembles", case, name, t, "member-steps") for name, t in times.items()]
        ours, theirs = (best(times, [n for n in times if n.startswith(start)]) for start in ("odegan", "JAX"))
        speeds.append(1 / times[ours].median)
        goal = 1.25 if members in JUDGED else None
        what = "speed of odegan compiled over JAX vmap"
        note = f"{ours}; {theirs}"
        verdicts.append(compared("ensembles", case, what, times[theirs], times[ours], goal, at_least=True, note=note))
    rises = min(b / a for a, b in pairwise(speeds))
    what = "least growth of member-steps per second from a size to the next"
    return Result(lines, [*verdicts, verdict("ensembles", "all sizes", what, rises, 1.0, at_least=True)])
