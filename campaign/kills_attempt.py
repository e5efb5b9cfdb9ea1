"""One start of a run, killed or left to its end, and what a kill cost."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from campaign.kills_cases import Case
from campaign.kills_worker import LOST
from odegan.utils import checkpoint

ROOT = Path(__file__).parents[1]
LIMIT = 300.0  # seconds for a whole start
PATIENCE = 60.0  # seconds in which what a kill leaves behind must end by itself
COARSE = 0.005  # seconds between looks at the steps
FINE = 0.0005  # seconds between looks at unfinished files


class Aim(NamedTuple):
    """When to kill which process. kind: "moment", ``seconds`` after the start; "step", ``seconds`` after the ``step``-th one of
    this start; "save", ``seconds`` after the first unfinished file that is seen from that step on.
    """

    kind: str
    seconds: float
    step: int = 0
    rank: int = 0


class Killed(NamedTuple):
    """aim; saving: an unfinished file was left; resumes: a checkpoint was there to resume from; steps: lost ones; intervals:
    the same in checkpoint intervals; ended: seconds until no process of the run was left.
    """

    aim: Aim
    saving: bool
    resumes: bool
    steps: int
    intervals: float
    ended: float


class Step(NamedTuple):
    """A line of the worker."""

    name: str
    index: int
    seconds: float


class Attempt:
    """The processes of one start; what they say goes to files beside the folder."""

    def __init__(self, name: str, case: Case, folder: Path, number: int) -> None:
        self.case = case
        self.folder = folder
        self.before = unfinished(folder)
        self.outputs = [folder.with_name(f"{folder.name}.{number}.{rank}") for rank in range(case.ranks)]
        rendezvous = folder.with_name(f"{folder.name}.{number}.rendezvous")
        environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        self.start = time.monotonic()
        self.processes = []
        for rank, output in enumerate(self.outputs):
            command = [
                sys.executable,
                "-m",
                "campaign.kills_worker",
                name,
                str(folder),
                str(rank),
                str(rendezvous),
            ]
            with output.open("wb") as said, output.with_suffix(".err").open("wb") as wrong:
                self.processes.append(
                    subprocess.Popen(
                        command, stdout=said, stderr=wrong, env=environment, cwd=ROOT, start_new_session=True
                    )
                )

    def finish(self) -> float:
        """Wait for the end; the seconds it took. Raises where a process failed."""
        for process in self.processes:
            self._expect(process.wait(LIMIT) == 0, "failed")
        return time.monotonic() - self.start

    def kill(self, aim: Aim) -> Killed | None:
        """Kill as aimed, or None if the run was faster."""
        victim = self.processes[aim.rank]
        self._wait(victim, lambda: len(self.steps()) >= aim.step, COARSE)
        if aim.kind == "save":
            self.before = unfinished(self.folder)
            self._wait(victim, lambda: bool(unfinished(self.folder) - self.before), FINE)
        time.sleep(aim.seconds)
        victim.send_signal(signal.SIGKILL)
        dead = time.monotonic()
        if victim.wait(LIMIT) != -signal.SIGKILL:
            self.finish()
            return None
        self._others_end(victim)
        ended = time.monotonic() - dead
        steps, intervals = self._lost()
        saving = bool(unfinished(self.folder) - self.before)
        resumes = any(self.folder.rglob("*.pt"))
        return Killed(aim, saving, resumes, steps, intervals, ended)

    def steps(self) -> list[Step]:
        """What the first process has said so far."""
        found = re.findall(r"^step (\S+) (\d+) (\S+)\n", self.outputs[0].read_text(), re.MULTILINE)
        return [Step(name, int(index), float(seconds)) for name, index, seconds in found]

    def _wait(self, victim: subprocess.Popen[bytes], ready: Callable[[], bool], pause: float) -> None:
        """Until it is time, or the victim has ended."""
        while victim.poll() is None and not ready():
            time.sleep(pause)
            self._expect(time.monotonic() - self.start < LIMIT, "hangs")

    def _others_end(self, victim: subprocess.Popen[bytes]) -> None:
        """The other ranks by themselves and with their error, and with them every process that one of them had started."""
        for process in self.processes:
            if process is not victim:
                code = process.wait(PATIENCE)
                self._expect(
                    code == LOST or (code == 0 and self._finished()), f"a process that was left ended with {code}"
                )
        deadline = time.monotonic() + PATIENCE
        while any(living(process.pid) for process in self.processes):
            self._expect(time.monotonic() < deadline, "processes were left behind")
            time.sleep(0.01)

    def _finished(self) -> bool:
        path = self.folder / "run.pt"
        return path.exists() and checkpoint.load(path)["status"] == "finished"

    def _lost(self) -> tuple[int, float]:
        """Steps done since the last checkpoint, and the same in intervals, the step under way not counted."""
        steps = self.steps()
        if not steps:
            return 0, 0.0
        last = steps[-1]
        saved = saved_index(self.folder, last.name)
        lost = [step for step in steps if step.name == last.name and step.index > saved]
        if isinstance(self.case.every, int) or len(lost) < 2:
            return len(lost), len(lost) / self.case.every if isinstance(self.case.every, int) else 0.0
        return len(lost), (lost[-2].seconds - lost[0].seconds) / self.case.every

    def _expect(self, good: bool, sentence: str) -> None:
        if not good:
            said = "\n".join(output.with_suffix(".err").read_text()[-2000:] for output in self.outputs)
            raise RuntimeError(f"{self.folder.name}: {sentence}\n{said}")


def unfinished(folder: Path) -> set[tuple[str, int]]:
    """The files below the folder that have not got their names yet, each with its time."""
    found = set()
    for path in folder.rglob("*.part"):
        try:
            found.add((path.name, path.stat().st_mtime_ns))
        except FileNotFoundError:  # it has got its name in between
            continue
    return found


def saved_index(folder: Path, name: str) -> int:
    """The number of refresh intervals in a checkpoint; 0 where there is none."""
    found = list(folder.rglob(f"{name}.pt"))
    return checkpoint.load(found[0])["aux"]["index"] if found else 0


def living(group: int) -> bool:
    """Whether a process of this group is alive."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, its_group = path.read_text().rpartition(")")[2].split()[:3]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(its_group) == group and state != "Z":
            return True
    return False
