"""``python -m benchmarks.gpu``: the tests of devices, then every row beside its peers, in under eight minutes.

It needs torch, torchdiffeq, einops, scipy, tqdm, filelock and pytest; JAX's peers are left out where there is no JAX. The rows
compile side by side, each in a process of its own, and are timed one after the other.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu.rows import rows
from experiments.framework import publishing
from experiments.framework.results import Cell, Results, Table

ROOT = Path(__file__).parents[2]
TESTS = 170.0  # seconds that the tests may take
COMPILING = 340.0  # from the start: rows that are not ready by then are left out
END = 465.0  # from the start: what is not measured by then is left out


class RowProcess:
    """A row under way: ``ready`` is set when it can be timed, or has ended."""

    def __init__(self, name: str, device: str, tiny: bool, folder: Path) -> None:
        self.name = name
        self.result = folder / f"{name}.json"
        self.errors = folder / f"{name}.txt"
        command = [sys.executable, "-m", "benchmarks.gpu.process", device, str(tiny), name, str(self.result)]
        with self.errors.open("w") as errors:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                cwd=ROOT,
                start_new_session=True,
            )
        self.ready = threading.Event()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        self.process.stdout.readline()
        self.ready.set()

    def measure(self, seconds: float) -> dict[str, Any]:
        """The row's lines; where it gave none in that time, one that says so."""
        assert self.process.stdin is not None
        try:
            self.process.communicate("measure\n", timeout=max(seconds, 1.0))
        except (subprocess.TimeoutExpired, BrokenPipeError):
            self.give_up()
        if self.result.exists():
            return json.loads(self.result.read_text())
        said = self.errors.read_text().strip().splitlines() or ["not in time"]
        return {"measurements": [{"row": self.name, "note": f"failed: {said[-1][:200]}"}], "verdicts": []}

    def give_up(self) -> None:
        """End the process and its workers, which are a group of their own."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def tested(device: str, seconds: float) -> dict[str, Cell]:
    """How the tests of devices end, as a line of a table."""
    command = [sys.executable, "-m", "pytest", "tests/cuda", "-p", "no:cacheprovider"]
    # The tests of the CPU are part of ``make test``; a few of them show that this works.
    command += ["-m", "cuda"] if device == "cuda" else ["-k", "draws"]
    start = time.monotonic()
    try:
        run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        return {"tests": "tests/cuda", "outcome": "not in time", "seconds": seconds}
    print(run.stdout, flush=True)
    last = (run.stdout.strip().splitlines() or [run.stderr.strip()])[-1]
    return {"tests": "tests/cuda", "outcome": f"code {run.returncode}: {last}", "seconds": time.monotonic() - start}


class Rows:
    """Rows that compile side by side, some at a time, and are timed in turn."""

    def __init__(self, names: Sequence[str], device: str, tiny: bool, side_by_side: int, folder: Path) -> None:
        self.waiting = list(names)
        self.device = device
        self.tiny = tiny
        self.side_by_side = side_by_side
        self.folder = folder
        self.start = time.monotonic()
        self.under_way = self._begun()

    def _begun(self) -> list[RowProcess]:
        names = self.waiting[: self.side_by_side]
        self.waiting = self.waiting[self.side_by_side :]
        return [RowProcess(name, self.device, self.tiny, self.folder) for name in names]

    def _left(self, until: float) -> float:
        """Seconds; as many as it takes where nothing is measured in earnest."""
        return 1200.0 if self.tiny else max(until - (time.monotonic() - self.start), 1.0)

    def measured(self) -> dict[str, Any]:
        """The lines of all rows."""
        found: dict[str, Any] = {"measurements": [], "verdicts": []}
        while self.under_way:
            for row in self.under_way:
                if not row.ready.wait(self._left(COMPILING)):
                    row.give_up()
            for row in self.under_way:
                lines = row.measure(self._left(END))
                print(f"{row.name} ({time.monotonic() - self.start:.0f} s): {json.dumps(lines)}", flush=True)
                for kind, own in lines.items():
                    found[kind] += own
            self.under_way = self._begun()
        return found


def about(device: str) -> dict[str, Cell]:
    """The device, and what ran there."""
    name = torch.cuda.get_device_name() if device == "cuda" else "CPU"
    return {"device": name, "torch": torch.__version__, "cores": os.cpu_count()}


def publish(docs: Path, command: str, machine: dict[str, Cell], tests: dict[str, Cell], found: dict[str, Any]) -> None:
    """results/speed_gpu.json and .md below a folder."""
    parts = {"Tests": [tests] if tests else [], "Goals": found["verdicts"], "Measurements": found["measurements"]}
    tables = [Table(_uniform(lines), title) for title, lines in parts.items() if lines]
    results = Results("speed_gpu", command, tables, {"device": machine["device"], "machine": json.dumps(machine)})
    what = ", ".join(f"{key}: {value}" for key, value in machine.items())
    publishing.write(docs, results, "Results of `speed_gpu`", [f"{what}. Medians; ranges are over the pairs.", *tables])


def _uniform(lines: Sequence[dict[str, Cell]]) -> list[dict[str, Cell]]:
    columns = dict.fromkeys(key for line in lines for key in line if line[key] not in (None, ""))
    return [{column: line.get(column) for column in columns} for line in lines]


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; 0: all was measured and tested, 1: not all."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--tiny", action="store_true", help="sizes whose numbers mean nothing, to see that all works")
    parser.add_argument("--docs", type=Path, default=Path("runs/gpu"), help="folder for results/speed_gpu.md and .json")
    parser.add_argument("--rows", nargs="*", help="some of the rows; all by default")
    parser.add_argument("--side-by-side", type=int, default=0, help="rows that compile at once; 0: one for two cores")
    parser.add_argument("--no-tests", action="store_true")
    options = parser.parse_args(argv)
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device: got cuda; there is no CUDA device here, it must be cpu")
    known = rows(options.device, options.tiny)
    for name in options.rows or ():
        if name not in known:
            parser.error(f"--rows: got {name!r}; it must be one of {', '.join(known)}")
    start = time.monotonic()
    machine = about(options.device)
    print(machine, flush=True)
    side_by_side = options.side_by_side or max(1, (os.cpu_count() or 2) // 2)
    with tempfile.TemporaryDirectory() as folder:
        under_way = Rows(options.rows or list(known), options.device, options.tiny, side_by_side, Path(folder))
        tests = {} if options.no_tests else tested(options.device, TESTS)  # while the first rows compile
        found = under_way.measured()
    chosen = ["--rows", *options.rows] if options.rows else []
    flags = ["--tiny"] * options.tiny + ["--no-tests"] * options.no_tests
    command = shlex.join(["python", "-m", "benchmarks.gpu", "--device", options.device, *flags, *chosen])
    publish(options.docs, command, machine, tests, found)
    print(f"{time.monotonic() - start:.0f} s; results: {options.docs / 'results/speed_gpu.md'}")
    failed = [line for line in found["measurements"] if str(line.get("note")).startswith("failed")]
    return 1 if failed or (tests and not str(tests["outcome"]).startswith("code 0")) else 0


if __name__ == "__main__":
    sys.exit(main())
