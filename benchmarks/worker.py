"""Processes that wait to be asked: each has a library and a number of threads of its own, and any number of tasks.

``python -m benchmarks.worker`` reads one JSON request a line and answers with one line. A parent keeps several alive and
asks them in turn, so that peers that need processes of their own are still timed A B A B.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[1]


class Task(NamedTuple):
    """What a factory makes. work: the timed part, of so many units; outcome: what must agree between peers, as an array;
    facts: further numbers, asked for once and outside the timed part.
    """

    work: Callable[[], Any]
    units: float = 1.0
    outcome: Callable[[], Any] | None = None
    facts: Callable[[], dict[str, Any]] | None = None


class Handle(NamedTuple):
    """A task in a worker, seen from the parent."""

    worker: Worker
    index: int
    units: float

    def timed(self, times: int = 1) -> tuple[float, float]:
        """(seconds, seconds of processor time) of a unit of work, over so many calls."""
        answer = self.worker.ask(do="work", index=self.index, times=times)
        return answer["wall"] / (times * self.units), answer["cpu"] / (times * self.units)

    def outcome(self) -> list[Any]:
        """The task's outcome, as nested lists."""
        return self.worker.ask(do="outcome", index=self.index)

    def facts(self) -> dict[str, Any]:
        """The facts that the worker printed about its task."""
        return self.worker.ask(do="facts", index=self.index)


class Worker:
    """The parent's end. threads: 1, or 0 for as many as the libraries take by themselves; variables: of the environment."""

    def __init__(self, threads: int = 1, **variables: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=environment(threads) | variables,
        )

    def add(self, factory: str, /, **settings: Any) -> Handle:
        """Make a task there: factory is "module:function" within this package."""
        answer = self.ask(do="add", factory=factory, settings=settings)
        return Handle(self, answer["index"], answer["units"])

    def ask(self, **request: Any) -> Any:
        """One request and its answer."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"a worker ended with code {self.process.wait()} while asked to {request['do']}")
        answer = json.loads(line)
        if "error" in answer:
            raise RuntimeError(f"a worker failed at {request}:\n{answer['error']}")
        return answer["value"]

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: Any) -> None:
        """Stop the worker process."""
        self.process.stdin.close()  # type: ignore[union-attr]
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()


def environment(threads: int) -> dict[str, str]:
    """The variables that every library reads its number of threads from; and memory that is kept once it is freed, without
    which the allocator returns an ensemble's at every step and has it zeroed again.
    """
    limits = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NPROC")
    kept = {key: value for key, value in os.environ.items() if key not in (*limits, "XLA_FLAGS")}
    kept |= {"JAX_PLATFORMS": "cpu"} | dict.fromkeys(("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_"), str(2**32))
    if threads == 1:
        kept |= dict.fromkeys(limits, "1") | {"XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false"}
    return kept


def answer(tasks: list[Task], request: dict[str, Any]) -> Any:
    """Do what one request asks for."""
    if request["do"] == "add":
        module, function = request["factory"].split(":")
        tasks.append(getattr(importlib.import_module(f"benchmarks.{module}"), function)(**request["settings"]))
        return {"index": len(tasks) - 1, "units": tasks[-1].units}
    task = tasks[request["index"]]
    if request["do"] == "work":
        wall = time.perf_counter()
        cpu = time.process_time()
        for _ in range(request["times"]):
            task.work()
        _wait_for_devices()
        return {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
    if request["do"] == "outcome":
        return task.outcome().tolist()  # type: ignore[misc]
    return task.facts() if task.facts else {}


def _wait_for_devices() -> None:
    """Until torch's work there is done; JAX's tasks wait by themselves."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.synchronize()


def main() -> None:
    """Answer until the input ends."""
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print does not get between the answers
    tasks: list[Task] = []
    for line in sys.stdin:
        try:
            reply = {"value": answer(tasks, json.loads(line))}
        except Exception:
            reply = {"error": traceback.format_exc()}
        replies.write(json.dumps(reply) + "\n")
        replies.flush()


if __name__ == "__main__":
    main()
