"""Experiments in processes of their own, which save when they are interrupted."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from experiments.framework.command_line import reproducing
from experiments.framework.endings import INTERRUPTED
from experiments.framework.publishing import publish
from experiments.framework.results import load
from experiments.reproduce.commands import Command

THREADS: Mapping[str, str] = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
# State of a run in the output folder -> further options of its command.
OPTIONS_BY_STATE: Mapping[str, Sequence[str]] = {"new": ["--overwrite"], "begun": ["--resume"]}


class Failed(Exception):
    """An experiment ended with an error."""


class Ending(NamedTuple):
    """Of a process: its exit code, and the seconds of a processor that it used."""

    code: int
    seconds: float


class Runs:
    """The processes of one call: starts them, and passes an interruption on to all of them, once."""

    def __init__(
        self, output: Path, docs: Path | None, quick: bool = False, kept: Mapping[str, Command] = MappingProxyType({})
    ) -> None:
        """kept: pages that stay as they are where they show the results of these commands."""
        self.output = output
        self.docs = docs
        self.quick = quick
        self.kept = kept
        self.ended = False
        self._running: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()

    def __call__(self, name: str, command: Command) -> str:
        """Finish and publish one experiment; return a message.

        Raises:
            Failed: the experiment ended with an error.
        """
        began = time.monotonic()
        line = command.line(self.quick)
        known = state(self.output / name, line)
        used = 0.0
        if known != "finished":
            ending = self._run([*shlex.split(line)[1:], *OPTIONS_BY_STATE[known]], name)
            used = ending.seconds
            if ending.code:
                raise Failed(f"{name}: exit code {ending.code}, see {self.output / name}.log")
        if self.docs is not None and self._shows_full(name):
            return "not published: the page shows the full form"
        if self.docs is not None:
            publish(self.output / name, self.docs, name)
        if known == "finished":
            return "finished before"
        return f"{clock(time.monotonic() - began)}, {clock(used)} of a processor"

    def _shows_full(self, name: str) -> bool:
        """Whether the page shows the results of the command that is kept."""
        page = None if self.docs is None else self.docs / "results" / f"{name}.json"
        if name not in self.kept or page is None or not page.exists():
            return False
        return bool(load(page).command == reproducing(self.kept[name].line()))

    def _run(self, arguments: Sequence[str], name: str) -> Ending:
        """Run one process to its end."""
        places = ["--no-progress", "--output", str(self.output / name)]
        with (self.output / f"{name}.log").open("ab") as log:
            with self._lock:
                if self.ended:
                    return Ending(INTERRUPTED, 0.0)
                # A session of its own: the terminal's Ctrl-C must reach a child once, through us, or it would not save.
                process = subprocess.Popen(
                    [sys.executable, *arguments, *places],
                    env=os.environ | THREADS,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
                self._running.add(process)
            try:
                # wait4 and not wait, because it reports the child's processor time.
                _, status, used = os.wait4(process.pid, 0)
                process.returncode = os.waitstatus_to_exitcode(status)
                return Ending(process.returncode, used.ru_utime + used.ru_stime)
            finally:
                with self._lock:
                    self._running.discard(process)

    def end(self) -> None:
        """Interrupt all running processes, and start no more."""
        with self._lock:
            self.ended = True
            for process in self._running:
                with contextlib.suppress(ProcessLookupError):  # it has just ended
                    os.kill(process.pid, signal.SIGINT)


def state(folder: Path, command: str) -> str:
    """The state of a command in a folder: new, begun or finished; runs of other commands do not count."""
    config = folder / "config.json"
    if not config.exists() or reproducing(json.loads(config.read_text())["command"]) != reproducing(command):
        return "new"
    return "finished" if (folder / "summary.json").exists() else "begun"


def clock(seconds: float) -> str:
    """Hours, minutes and seconds.

    >>> clock(3725)
    '1:02:05'
    """
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"
