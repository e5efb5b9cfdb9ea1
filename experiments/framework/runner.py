"""What all experiments share: options from the command line, an output folder, a summary table, exit codes.

An experiment is a dataclass of options and a function from them and a folder to the rows of its summary table::

    @dataclass
    class Mixture(SolverOptions, Options):
        seeds: int = 8
        \"\"\"Members of the ensemble.\"\"\"

        def quick_form(self) -> Mixture:
            return replace(self, seeds=2)

    def run(options: Mixture, folder: Folder) -> list[dict[str, Any]]: ...

    def main(argv: Sequence[str] | None = None) -> int:
        return runner.main(Mixture, run, argv)

    if __name__ == "__main__":
        sys.exit(main())
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, TypeVar

import torch

from experiments.framework.command_line import parse
from experiments.framework.folder import Folder, Row
from experiments.framework.publishing import publish
from experiments.framework.solver_options import SolverOptions
from experiments.framework.tables import aligned
from odegan import ArgumentError, Solution
from odegan.utils.checks import fail, whole
from odegan.utils.distributed import LostRankError

__all__ = ["Diverged", "Folder", "Options", "SolverOptions", "finished", "main"]

DIVERGED = 3
INTERRUPTED = 130  # the shell's exit code of a program ended by Ctrl-C


@dataclass
class Options:
    """Options that all experiments have."""

    seed: int = 0
    """Seed of everything random; members of an ensemble take this one and those after it."""
    device: str = "cpu"
    """Where to compute: cpu, cuda, cuda:1, mps."""
    output: Path | None = None
    """Folder for everything this run writes; by default runs/NAME. An earlier run's files in it are replaced."""
    quick: bool = False
    """A form of a few seconds, to see that everything works; its numbers mean nothing."""
    resume: bool = False
    """Continue the run in the output folder, which must have had the same options."""
    progress: bool = True
    """Show a progress bar."""
    docs: Path | None = None
    """Also write the figures and the table into this documentation folder, as figures/NAME_*.png and results/NAME.md."""

    # Options that may differ between a run and its continuation.
    free: ClassVar[frozenset[str]] = frozenset({"output", "resume", "progress", "docs"})

    def name(self, experiment: str) -> str:
        """What the default folder and the pages in the documentation are called."""
        return experiment

    def check(self) -> None:
        """Refuse values that no run can have, with ``ArgumentError``, before anything is written."""

    def quick_form(self) -> Options:
        """A copy with settings small enough for a test; every experiment has its own."""
        raise NotImplementedError


Chosen = TypeVar("Chosen", bound=Options)


class Interrupted(Exception):
    """Ctrl-C ended a solution; what was reached is in its checkpoint."""


class Diverged(Exception):
    """A run turned non-finite. ``rows`` are its summary all the same, which the runner writes before it says so."""

    def __init__(self, message: str, rows: list[Row]) -> None:
        super().__init__(message)
        self.rows = rows


def finished(solution: Solution) -> Solution:
    """The solution, unless Ctrl-C ended it: then the experiment ends here, and the runner says how to resume."""
    if solution.status == "interrupted":
        raise Interrupted
    return solution


def main(
    options_type: type[Chosen],
    run: Callable[[Chosen, Folder], list[Row]],
    argv: Sequence[str] | None = None,
    writes: bool = True,
) -> int:
    """Run an experiment from the command line; returns the exit code.

    0: done; 1: the disk, or another process of the run, failed; 2: a wrong option; 3: the run diverged; 130: interrupted.
    Each but the first is said in one line on stderr, with how to resume where there is a checkpoint.

    Args:
        options_type: the experiment's options, or a union of several, tyro's subcommands.
        run: (options, folder) -> the summary table, one dict a row, all with the same keys.
        argv: arguments without the program's name; None: those of this process.
        writes: False for all but one of several processes that run the same experiment.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    module = sys.modules[run.__module__]
    name = (module.__spec__.name if module.__spec__ else run.__module__).removesuffix(".experiment")
    program = f"python -m {name}"
    command = shlex.join([*program.split(), *arguments])
    try:
        options = parse(options_type, program, module.__doc__ or "", arguments)
        options = options.quick_form() if options.quick else options  # type: ignore[assignment]
        _check_device(options.device)
        whole("seed", options.seed)
        options.check()
        folder = Folder.open(options, options.name(name.rpartition(".")[2]), command, writes)
        rows, diverged = _run(run, options, folder)
        if not writes:
            return 0
        folder.finish(rows)
        if options.docs is not None:
            publish(folder.path, options.docs)
    except ArgumentError as error:
        print(f"{program}: {error}", file=sys.stderr)
        return 2
    except (OSError, LostRankError) as error:
        print(f"{program}: {error}; what was saved goes on with --resume", file=sys.stderr)
        return 1
    except (Interrupted, KeyboardInterrupt):
        resume = command if "--resume" in arguments else f"{command} --resume"
        if writes:
            print(f"\ninterrupted; continue with: {resume}", file=sys.stderr)
        return INTERRUPTED
    print(f"\n{aligned(rows)}\n\nfigures: {folder.figures}")
    if diverged:
        print(f"{program}: {diverged}", file=sys.stderr)
    return DIVERGED if diverged else 0


def _run(run: Callable[[Chosen, Folder], list[Row]], options: Chosen, folder: Folder) -> tuple[list[Row], str]:
    """The rows, and how the run diverged; an empty text where it did not."""
    try:
        return run(options, folder), ""
    except Diverged as error:
        return error.rows, str(error)


def _check_device(name: str) -> None:
    """Refuse a device that cannot compute here."""
    try:
        torch.zeros(1, device=name).item()
    except (RuntimeError, AssertionError, NotImplementedError):
        fail("device", name, "a device that torch can use here, such as cpu")
