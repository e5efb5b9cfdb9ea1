"""One row in a process of its own: ``python -m benchmarks.gpu.process DEVICE TINY NAME RESULT``.

It makes its peers, compiles and warms them up, prints "ready", and waits for a line: rows prepare side by side, and are
timed one after the other. A peer that fails leaves the others; what it said stands in its line.
"""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.gpu.rows import Row, rows
from benchmarks.side_by_side import Settings, Times, compare, compared, measured
from benchmarks.worker import Handle, Worker


def workers(device: str, stack: ExitStack) -> dict[str, Worker]:
    """A process for each library. Both compute float32 as such, JAX leaves memory of the device to others, and inductor
    processors.
    """
    variables = {
        "TORCHINDUCTOR_COMPILE_THREADS": "4",
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
        "JAX_DEFAULT_MATMUL_PRECISION": "highest",
    }
    variables |= {"JAX_PLATFORMS": "cpu" if device == "cpu" else ""}
    return {library: stack.enter_context(Worker(0, **variables)) for library in ("torch", "jax")}


def prepared(row: Row, libraries: dict[str, Worker]) -> tuple[dict[str, Handle], dict[str, str]]:
    """The peers that can be had, warm; and what the others said, or how they differ from the first."""
    peers: dict[str, Handle] = {}
    notes: dict[str, str] = {}
    wanted: np.ndarray | None = None
    for name, peer in row.peers.items():
        worker = libraries["jax" if peer.factory.startswith("peer_jax") else "torch"]
        try:
            handle = worker.add(peer.factory, **peer.keywords)
            handle.timed()
            if name in row.alike:
                found = np.asarray(handle.outcome())
                wanted = found if wanted is None else wanted
                notes[name] = f"differs by {abs(found - wanted).max():.1e} in a step"
            if peer.factory.startswith("peer_jax"):
                notes[name] += f"; on {handle.facts()['backend']}"
            if peer.keywords.get("compile") and not handle.facts()["compiled"]:
                raise RuntimeError("it ran uncompiled")
        except RuntimeError as error:
            notes[name] = "failed: " + str(error).strip().splitlines()[-1][:200]
        else:
            peers[name] = handle
    return peers, notes


def lines_of(name: str, row: Row, times: dict[str, Times], notes: dict[str, str]) -> list[dict[str, Any]]:
    """The measurements, with a line for a peer that there is not."""
    lines: list[dict[str, Any]] = []
    for peer in row.peers:
        line = measured(name, row.case, peer, times[peer], row.unit) if peer in times else {}
        lines.append({"row": name, "case": row.case, "peer": peer} | line | {"note": notes.get(peer, "")})
    return lines


def verdicts_of(name: str, row: Row, times: dict[str, Times]) -> list[dict[str, Any]]:
    """The ratios of peers that there are."""
    return [
        compared(name, row.case, ratio.what, times[ratio.above], times[ratio.below], ratio.goal, ratio.at_least)
        for ratio in row.ratios
        if {ratio.above, ratio.below} <= times.keys()
    ]


def main() -> None:
    """Prepare, wait, measure, and write what was found to a file."""
    device, tiny, name, result = sys.argv[1:]
    row = rows(device, tiny == "True")[name]
    with ExitStack() as stack:
        peers, notes = prepared(row, workers(device, stack))
        print("ready", flush=True)
        sys.stdin.readline()
        settings = Settings(repetitions=2, turn=0.0) if tiny == "True" else Settings(repetitions=5, turn=0.3)
        times = compare(peers, settings, name)
    found = {"measurements": lines_of(name, row, times, notes), "verdicts": verdicts_of(name, row, times)}
    Path(result).write_text(json.dumps(found))


if __name__ == "__main__":
    main()
