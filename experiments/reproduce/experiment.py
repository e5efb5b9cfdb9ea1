"""Run every experiment as the documentation shows it, and write the documentation's figures and tables.

An experiment that is finished in the output folder is only published again, an interrupted one goes on, and one that fails
is named at the end while the others go on. Each has one thread, and its output in OUTPUT/NAME.log.
"""

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
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from experiments.framework.command_line import parse, reproducing
from experiments.framework.endings import INTERRUPTED
from experiments.framework.publishing import publish
from odegan import ArgumentError
from odegan.utils.checks import choose, whole

# docs/results/NAME.md -> what makes it. The long ones come first, so that both cores are busy to the end.
COMMANDS: Mapping[str, str] = {
    "mog16": "mog16 --compare --compile --evaluations 24000 --settings rk4_classic euler 'rk4_classic h=0.4' heun2 adam "
    "'no penalty' 'heun2 h=0.2' alternating 'placement field' 'players frozen' 'refresh never' 'placement first_stage' "
    "'refresh stage'",
    "images_digits_compared": "images compare --preset digits "
    "--solvers euler@0.4 euler@0.2 heun2 rk4_classic alternating adam --seeds 3",
    "gmm_tv": "gmm_tv --full",
    "ring8": "ring8",
    "dual_flow": "dual_flow",
    "step_size": "step_size",
    "gaussian": "gaussian --full --limit 4000",
    "ring8_question": "ring8 --question",
    "vanishing_step": "vanishing_step",
    "digits": "digits",
    "dirac": "dirac --full",
    "dual_flow_scheme": "dual_flow_scheme",
    "rotational": "rotational",
}
THREADS = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


@dataclass
class Reproduce:
    """What to run, and where to."""

    only: tuple[str, ...] = tuple(COMMANDS)
    """The results pages to make."""
    workers: int = 2
    """Experiments at a time, each with one thread."""
    output: Path = Path("runs/reproduce")
    """Folder of the runs."""
    docs: Path | None = None
    """The documentation's folder; by default docs, and none at all with --quick."""
    quick: bool = False
    """The quick form of each, to see that everything works."""

    def check(self) -> None:
        """Refuse pages that there are not, and no workers."""
        for name in self.only:
            choose("only", name, COMMANDS)
        whole("workers", self.workers, low=1)


class Runs:
    """The processes of one call: starts them, and passes an interruption on to all of them, once."""

    def __init__(self, options: Reproduce) -> None:
        self.options, self.ended = options, False
        self._running: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()

    def __call__(self, name: str) -> str:
        """Finish and publish one experiment; gives what there is to say, and raises ``Failed``."""
        folder, options = self.options.output / name, self.options
        command = f"python -m experiments.{COMMANDS[name]}" + " --quick" * options.quick
        began, known, used = time.monotonic(), state(folder, command), 0.0
        if known != "finished":
            arguments = shlex.split(command)[1:] + ["--resume"] * (known == "begun")
            code, used = self._run(arguments, name)
            if code:
                raise Failed(f"{name}: exit code {code}, see {options.output / name}.log")
        docs = options.docs or (None if options.quick else Path("docs"))
        if docs is not None:
            publish(folder, docs)
        if known == "finished":
            return "finished before"
        return f"{clock(time.monotonic() - began)}, {clock(used)} of a processor"

    def _run(self, arguments: Sequence[str], name: str) -> tuple[int, float]:
        """The exit code, and seconds of the processor."""
        places = ["--no-progress", "--output", str(self.options.output / name)]
        with (self.options.output / f"{name}.log").open("ab") as log:
            with self._lock:
                if self.ended:
                    return INTERRUPTED, 0.0
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
                _, status, used = os.wait4(process.pid, 0)
                process.returncode = os.waitstatus_to_exitcode(status)
                return process.returncode, used.ru_utime + used.ru_stime
            finally:
                with self._lock:
                    self._running.discard(process)

    def end(self) -> None:
        """Interrupt what runs, and start nothing more."""
        with self._lock:
            self.ended = True
            for process in self._running:
                with contextlib.suppress(ProcessLookupError):  # it has just ended
                    os.kill(process.pid, signal.SIGINT)


class Failed(Exception):
    """An experiment that did not end well."""


def state(folder: Path, command: str) -> str:
    """How far a folder has got with a command: new, begun or finished; a run of another command does not count."""
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


def run(options: Reproduce) -> int:
    """All of them; the exit code."""
    options.output.mkdir(parents=True, exist_ok=True)
    began, failed, runs = time.monotonic(), [], Runs(options)
    ends = (signal.SIGINT, signal.SIGTERM)
    for number in ends:  # ended from outside, or in the background, the runs save as with Ctrl-C
        signal.signal(number, signal.default_int_handler)
    with ThreadPoolExecutor(options.workers) as pool:
        names = {pool.submit(runs, name): name for name in COMMANDS if name in options.only}
        try:
            for done, future in enumerate(as_completed(names), start=1):
                try:
                    said = future.result()
                except Exception as error:
                    said = "failed"
                    failed.append(str(error) if isinstance(error, Failed) else f"{names[future]}: {error!r}")
                at = clock(time.monotonic() - began)
                print(f"{at}  {done} of {len(names)}  {names[future]}: {said}", flush=True)
        except KeyboardInterrupt:
            for number in ends:  # the runs are being saved
                signal.signal(number, signal.SIG_IGN)
            runs.end()
            print("interrupted: the runs are being saved; the same command goes on", file=sys.stderr)
            return INTERRUPTED
    print("\n".join(failed), file=sys.stderr, end="\n" * bool(failed))
    return int(bool(failed))


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; 0: done, 1: one failed or more, 2: a wrong option, 130: interrupted."""
    program = "python -m experiments.reproduce"
    try:
        options = parse(Reproduce, program, __doc__ or "", list(sys.argv[1:] if argv is None else argv))
        options.check()
    except ArgumentError as error:
        print(f"{program}: {error}", file=sys.stderr)
        return 2
    return run(options)


if __name__ == "__main__":
    sys.exit(main())
