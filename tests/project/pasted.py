"""Run a script in a process of its own, forked from one that has imported what all of them need."""

import contextlib
import multiprocessing
import os
import runpy
import sys
import traceback
import warnings
from pathlib import Path

PRELOADED = ["tests.project.preloaded"]


def run(script: Path, timeout: float = 120) -> str:
    """What a script says of its failure, "" if there is none. It runs in its own folder, and its warnings are errors."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    process = context.Process(target=_run, args=(script,))
    process.start()
    process.join(timeout)
    if process.is_alive():
        process.kill()
        return f"it took more than {timeout} s"
    return "" if process.exitcode == 0 else script.with_suffix(".err").read_text() or f"exit code {process.exitcode}"


def _run(script: Path) -> None:
    """The script as ``python SCRIPT`` runs it."""
    os.chdir(script.parent)
    sys.argv = [str(script)]
    sys.path.insert(0, str(script.parent))
    warnings.filterwarnings("error", category=UserWarning, module="__main__")
    with script.with_suffix(".err").open("w") as said, contextlib.redirect_stdout(said):
        try:
            runpy.run_path(str(script), run_name="__main__")
        except BaseException as error:
            if isinstance(error, SystemExit) and not error.code:
                return
            traceback.print_exc(file=said)
            said.flush()
            raise SystemExit(1) from None
