"""Python in processes of its own, forked from one that has imported what all of them need.

A new interpreter takes seconds to import torch, a fork none. Whatever happens before ``main`` or after it (imports, the seed of
hashes, the end of the interpreter) needs ``subprocess``.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import threading
import types
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from pathlib import Path


class Python:
    """``python WORDS...``, where the words begin with ``-c``, ``-m`` or a script's path.

    ``stdout`` is what it prints, to be read while it runs; ``stderr``, once it has ended, what it said besides, unless both
    go to ``stdout``. It leads a process group of its own.
    """

    def __init__(
        self,
        *words: object,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        together: bool = False,
    ) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["tests.preloaded"])
        # ``wait`` deletes it.
        self._said = None if together else tempfile.NamedTemporaryFile("r", suffix=".err")  # noqa: SIM115
        self.stderr = ""
        ours, theirs = context.Pipe(duplex=False)
        surroundings = dict(os.environ if env is None else env)
        given = (tuple(map(str, words)), cwd or Path.cwd(), surroundings, theirs, self._said and self._said.name)
        self._process = context.Process(target=_main, args=given)
        self._process.start()
        theirs.close()
        self.stdout = os.fdopen(os.dup(ours.fileno()))
        ours.close()
        self.pid: int = self._process.pid

    def is_alive(self) -> bool:
        return self._process.is_alive()

    def wait(self) -> int:
        """The exit code, once it has ended; minus the signal that ended it."""
        self._process.join()
        if self._said is not None and not self._said.closed:
            with self._said:
                self.stderr = self._said.read()
        return self._process.exitcode

    def rest(self, timeout: float = 300) -> str:
        """What it prints until it ends, or is killed for taking so long."""
        timer = threading.Timer(timeout, self._process.kill)
        timer.start()
        with self.stdout:
            printed = self.stdout.read()
        self.wait()
        timer.cancel()
        return printed

    def kill(self) -> None:
        """End it, if it has not."""
        self._process.kill()
        self.wait()
        self.stdout.close()


def run(*words: object, **given: object) -> subprocess.CompletedProcess[str]:
    """Such a process from its start to its end, as ``subprocess.run`` with captured text gives it."""
    process = Python(*words, **given)
    printed = process.rest()
    return subprocess.CompletedProcess(words, process.wait(), printed, process.stderr)


def _main(words: tuple[str, ...], cwd: Path, env: dict[str, str], out: Connection, said: str | None) -> None:
    os.setsid()
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    os.dup2(out.fileno(), 1)
    os.dup2(1 if said is None else os.open(said, os.O_WRONLY), 2)
    out.close()
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115
    signal.signal(signal.SIGINT, signal.default_int_handler)
    multiprocessing.set_start_method(None, force=True)  # the platform's, as in a process that nobody forked
    if words[0] in FORMS:
        sys.path.insert(0, str(cwd))  # a script has its own folder there
    FORMS.get(words[0], _script)(*words)


def _code(option: str, code: str, *arguments: str) -> None:
    main = types.ModuleType("__main__")
    sys.modules["__main__"] = main
    sys.argv = [option, *arguments]
    exec(compile(code, "<string>", "exec"), vars(main))


def _module(option: str, name: str, *arguments: str) -> None:
    sys.argv = [name, *arguments]
    runpy.run_module(name, run_name="__main__", alter_sys=True)


def _script(path: str, *arguments: str) -> None:
    sys.argv = [path, *arguments]
    sys.path.insert(0, str(Path(path).parent))
    runpy.run_path(path, run_name="__main__")


FORMS: dict[str, Callable[..., None]] = {"-c": _code, "-m": _module}
