"""Steps per second on the mixture of 16 Gaussians: batch 512, classical RK4, the penalty after the step."""

from __future__ import annotations

from benchmarks.rows.result import Result
from benchmarks.side_by_side import Settings, best, compare, compared, measured, same_outcome
from benchmarks.worker import Worker

PRODUCTS = "matrix products of a step, 1 thread"
THREADS = {1: "1 thread", 0: "all threads"}


def measure(settings: Settings) -> Result:
    """odegan compiled against the best JAX, and against the loop written by hand, eager and compiled."""
    steps = 5 if settings.quick else 200
    with Worker(1) as torch_1, Worker(0) as torch_all, Worker(1) as jax_1, Worker(0) as jax_all:
        peers = {}
        for threads, torches, jaxes in ((1, torch_1, jax_1), (0, torch_all, jax_all)):
            words = THREADS[threads]
            peers[f"odegan compiled, {words}"] = torches.add("peer_odegan:mog16", steps=steps, compile=settings.backend)
            peers[f"by hand, {words}"] = torches.add("peer_torch:mog16", steps=steps)
            peers[f"by hand compiled, {words}"] = torches.add("peer_torch:mog16", steps=steps, compile=settings.backend)
            peers[f"JAX scan, {words}"] = jaxes.add("peer_jax:mog16", steps=steps)
            peers[f"JAX a step at a time, {words}"] = jaxes.add("peer_jax:mog16", steps=steps, scan=False)
        peers["odegan eager, 1 thread"] = torch_1.add("peer_odegan:mog16", steps=steps)
        same_outcome(peers)
        peers[PRODUCTS] = torch_1.add("peer_odegan:products", steps=steps)
        count = peers[PRODUCTS].facts()["products"]
        times = compare(peers, settings, "mog16")
    lines = [measured("mog16", "RK4", name, t, "steps") for name, t in times.items()]
    ours = best(times, [name for name in times if name.startswith("odegan compiled")])
    jax = best(times, [name for name in times if name.startswith("JAX")])
    verdicts = []
    for peer, goal in (("JAX", 1.25), ("by hand,", 5.0), ("by hand compiled", None)):
        theirs = best(times, [name for name in times if name.startswith(peer)])
        what = f"speed over {peer.strip(',')}"
        note = f"{ours}; {theirs}"
        verdicts.append(
            compared("mog16", "odegan compiled", what, times[theirs], times[ours], goal, at_least=True, note=note)
        )
    for peer, name in (("odegan compiled", "odegan compiled, 1 thread"), ("JAX", jax)):
        what = f"time of a step's matrix products alone over the whole step of {peer}"
        note = f"{count} products; {name}"
        verdicts.append(compared("mog16", "limit", what, times[PRODUCTS], times[name], None, note=note))
    return Result(lines, verdicts)
