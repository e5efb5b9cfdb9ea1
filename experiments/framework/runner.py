"""The runner of all experiments: options from the command line, an output folder, a summary table, exit codes.

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
from dataclasses import fields, replace
from typing import TypeVar

import torch

from experiments.framework.command_line import called, named_options, parse
from experiments.framework.endings import (
    DIVERGED,
    FAILED,
    FINISHED,
    INTERRUPTED,
    WRONG_OPTION,
    Diverged,
    Interrupted,
    diverged,
)
from experiments.framework.folder import Folder, Row
from experiments.framework.options import Options
from experiments.framework.printing import closed_pipes_are_no_errors
from experiments.framework.publishing import publish
from experiments.framework.tables import aligned
from odegan import ArgumentError, NonFiniteError
from odegan.utils.checks import argument_error, check_int
from odegan.utils.distributed import LostRankError

Chosen = TypeVar("Chosen", bound=Options)


def main(
    options_type: type[Chosen],
    run: Callable[[Chosen, Folder], list[Row]],
    argv: Sequence[str] | None = None,
    writes: bool = True,
) -> int:
    """Run an experiment from the command line and return the exit code.

    0: done; 1: an I/O error, or another process failed; 2: a wrong option; 3: the run diverged; 130: interrupted. All but the
    first print one line on stderr, which says how to resume if there is a checkpoint.

    Args:
        options_type: the experiment's options, or a union of several for tyro's subcommands.
        run: (options, folder) -> the summary table, one dict per row, all with the same keys.
        argv: arguments without the program's name; None: those of this process.
        writes: False for all but one of several processes that run the same experiment.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    module = sys.modules[run.__module__]
    name = (module.__spec__.name if module.__spec__ else run.__module__).removesuffix(".experiment")
    program = called(name)
    # What the pages show: it needs no installed command.
    command = shlex.join(["python", "-m", name, *arguments])
    try:
        options = chosen(options_type, program, module.__doc__ or "", arguments)
        folder = Folder.open(options, name.rpartition(".")[2], command, writes)
        rows, said = _run(run, options, folder)
        return _end(rows, said, options, folder, program) if writes else FINISHED
    except ArgumentError as error:
        print(f"{program}: {error}", file=sys.stderr)
        return WRONG_OPTION
    except NonFiniteError as error:
        print(f"{program}: diverged: {error}", file=sys.stderr)
        return DIVERGED
    except (OSError, LostRankError) as error:
        print(f"{program}: {error}; --resume continues from what was saved", file=sys.stderr)
        return FAILED
    except (Interrupted, KeyboardInterrupt):
        resume = shlex.join([*program.split(), *arguments, *([] if "--resume" in arguments else ["--resume"])])
        if writes:
            print(f"\ninterrupted; continue with: {resume}", file=sys.stderr)
        return INTERRUPTED


def chosen(options_type: type[Chosen], program: str, description: str, arguments: Sequence[str]) -> Chosen:
    """The checked options of a command line; with --quick those of the quick form, except for explicit values."""
    options = parse(options_type, program, description, arguments)
    if options.quick:
        # Explicit values win over the quick form's, except --full, which would make it long.
        names = (named_options(arguments) & {field.name for field in fields(options)}) - {"full"}
        options = replace(options.quick_form(), **{name: getattr(options, name) for name in names})  # type: ignore[assignment]
    _check_device(options.device)
    check_int("seed", options.seed)
    _check_lists(options)
    options.check()
    return options


def _check_lists(options: Options) -> None:
    """Refuse a list without an entry where the default has some: nothing would be left to do."""
    for field in fields(options):
        if getattr(options, field.name) == () and isinstance(field.default, tuple) and field.default:
            argument_error(field.name, (), "a list with at least one entry")


def _run(run: Callable[[Chosen, Folder], list[Row]], options: Chosen, folder: Folder) -> tuple[list[Row], str]:
    """The rows, and the message of a diverged run, which is empty if the rows say so themselves."""
    try:
        return run(options, folder), ""
    except Diverged as error:
        return [dict(row) for row in error.rows], str(error)


def _end(rows: list[Row], said: str, options: Options, folder: Folder, program: str) -> int:
    """Write and print the summary; return the exit code."""
    folder.finish(rows)
    if options.docs is not None:
        publish(folder.path, options.docs)
    places = [path for path in (folder.path / "summary.md", folder.figures) if path.exists()]
    quick = "\nquick form: these numbers mean nothing\n" if options.quick else ""
    more = "".join(f"\n{title}\n\n{aligned(part)}\n" for title, part in folder.tables.items())
    with closed_pipes_are_no_errors():
        print(f"\n{aligned(rows)}\n{more}{quick}\n" + "\n".join(f"{path.stem}: {path}" for path in places))
    lost, nothing_left = diverged(rows)
    if said or lost:
        print(f"{program}: {said or lost}", file=sys.stderr)
    return DIVERGED if said or nothing_left else FINISHED


def _check_device(name: str) -> None:
    """Refuse a device that is not available."""
    try:
        # Tried, not looked up: torch knows names of devices that this machine lacks.
        torch.zeros(1, device=name).item()
    except (RuntimeError, AssertionError, NotImplementedError):
        argument_error("device", name, "a device that torch can use here, such as cpu")
