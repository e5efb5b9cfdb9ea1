"""A run's output folder: config, metrics, figures, checkpoints, summary."""

from __future__ import annotations

import json
import math
import re
import sys
import time
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure

import odegan
from experiments.framework.json_files import dump, load, with_infinities, write_whole
from experiments.framework.options import Options
from experiments.framework.tables import cell, markdown
from odegan import plots
from odegan.utils.checks import ArgumentError, argument_error

Row = dict[str, Any]

QUICK_FORM = "quick form"  # in figures of one, in this color
QUICK_COLOR = "#B00020"
_BETWEEN_REPORTS = 1.0  # least seconds between printed reports
_FIRST = {"files.txt", "files.part", "config.part"}  # all files that can exist before config.json


def file_name(title: str) -> str:
    """What the files of a setting are called.

    >>> file_name("euler@0.2, r1:1")
    'euler_0.2_r1_1'
    >>> file_name("JARE@1e+06"), file_name("JARE@1e-06")
    ('JARE_1e+06', 'JARE_1e-06')
    """
    return re.sub(r"[^\w.+-]+", "_", title)


class Folder:
    """``config.json``, ``metrics.jsonl``, ``figures/``, ``checkpoints/``, ``facts.json``, ``tables.json``, ``summary.md``,
    ``summary.json``.

    ``files.txt`` lists the files that the runner wrote, so that a new run removes only these. It removes them when it first
    writes something itself, so that a run that is refused at its start destroys nothing. Of several processes only one
    ``writes``; the others use only the paths.
    """

    def __init__(self, path: Path, name: str, command: str, writes: bool = True) -> None:
        self.path = path
        self.name = name
        self.command = command
        self.writes = writes
        self.figures = path / "figures"
        self._metrics = path / "metrics.jsonl"
        self._listing = path / "files.txt"
        self._logged: set[tuple[Any, ...]] = set()
        self._config: str | None = None  # not yet written; must be the first file
        self._replaces = False
        self.quick = False  # whether figures say that they are of a quick form
        self._reports = False  # whether to print logged rows
        self._reported = -math.inf
        self.facts: Row = {}  # measurements that do not belong to a row of the summary: name -> number
        self.tables: dict[str, Sequence[Row]] = {}  # further tables by title

    @classmethod
    def open(cls, options: Options, name: str, command: str, writes: bool = True) -> Folder:
        """The folder of an experiment with these options, which resumes or replaces an earlier run in it.

        Raises:
            ArgumentError: the folder holds something else, a run that these options cannot resume, or a run that the user did
                not ask to replace.
        """
        path = options.folder(name)
        if path.exists() and not path.is_dir():
            argument_error("output", str(path), "a folder")
        folder = cls(path, options.name(name), command, writes)
        folder._reports = not (options.progress and sys.stderr.isatty())  # printed lines would break a progress bar
        folder.quick = options.quick
        if not writes:
            return folder
        config = {"experiment": folder.name, "options": json.loads(dump(options.used() | {"output": str(path)}))}
        stored = load((path / "config.json").read_text()) if (path / "config.json").exists() else None
        if stored is not None and options.resume:
            folder._resume(stored, config, options)
        elif stored is not None:
            folder._check_replaceable(options)
            folder._replaces = True
        elif path.exists() and any(one.name not in _FIRST for one in path.iterdir()):
            argument_error("output", str(path), "a new or empty folder, or one of an earlier run")
        versions = {"odegan": odegan.__version__, "torch": torch.__version__, "torchdiffeq": version("torchdiffeq")}
        folder._config = dump(config | {"versions": versions, "command": command}, indent=2)
        return folder

    def _check_replaceable(self, options: Options) -> None:
        """Refuse to replace a run unless asked to, except a finished quick run, whose numbers are of no value."""
        finished = (self.path / "summary.json").exists()
        if options.overwrite or (finished and options.quick and options.output is None):
            return
        state = "a finished run" if finished else "an unfinished run, which --resume continues"
        raise ArgumentError(
            f"output: got {str(self.path)!r}, which holds {state}; --overwrite replaces it, --output names another folder"
        )

    def _resume(self, stored: Row, config: Row, options: Options) -> None:
        """Continue the stored run if it had the same options."""
        old, new = ({"experiment": c["experiment"]} | c["options"] for c in (stored, config))
        for key in (key for key in new if key not in options.free):
            if old.get(key) != new[key]:
                raise ArgumentError(
                    f"{key}: got {new[key]!r}, but the run in {str(self.path)!r} has {old.get(key)!r}; it must be the "
                    "same to resume"
                )
        self._read_metrics()

    def _begin(self) -> None:
        """Before the first file: remove an earlier run's files, unless it is resumed, and write the options."""
        config = self._config
        self._config = None
        if self._replaces:
            for name in self._files():
                if name != "config.json":  # removed last: without it, a run killed here could not be replaced
                    (self.path / name).unlink(missing_ok=True)
            self._listing.unlink(missing_ok=True)
        if config is not None:
            self._write("config.json", config)
            print(f"{self.name}: writing to {self.path}", file=sys.stderr)

    def _files(self) -> list[str]:
        return self._listing.read_text().splitlines() if self._listing.exists() else []

    def own(self, name: str) -> Path:
        """The path of a file NAME below the folder, registered so that a later run may remove it."""
        path = self.path / name
        if not self.writes:
            return path
        if self._config is not None:
            self._begin()
        path.parent.mkdir(parents=True, exist_ok=True)
        files = self._files()
        # Listed before it exists: a run killed in between must not leave a file that nobody removes.
        if name not in files:
            write_whole(self._listing, "\n".join([*files, name]))
        return path

    def _write(self, name: str, text: str) -> None:
        write_whole(self.own(name), text)

    def _read_metrics(self) -> None:
        """Read the lines of the resumed run; a last line truncated by a kill is dropped."""
        lines = self._metrics.read_text().splitlines() if self._metrics.exists() else []
        rows = [row for row in map(load, lines) if row is not None]
        self._logged = {_identity(row) for row in rows}
        if len(rows) < len(lines):
            self._write("metrics.jsonl", "\n".join(map(dump, rows)))

    def log(self, row: Row) -> None:
        """Append one line to metrics.jsonl, unless it has a line with the same ``run``, ``step`` and ``t``.

        Values may be numbers, strings, lists and tensors; non-finite numbers become null.
        """
        # As it will be read back: a resumed run compares with rows from the file.
        identity = _identity(json.loads(dump(row)))
        if identity in self._logged or not self.writes:
            return
        self._logged.add(identity)
        with self.own("metrics.jsonl").open("a") as file:
            file.write(f"{dump(row)}\n")
        if self._reports and time.monotonic() - self._reported >= _BETWEEN_REPORTS:
            self._reported = time.monotonic()
            shown = ", ".join(
                f"{key} {cell(value)}" for key, value in row.items() if isinstance(value, str | int | float)
            )
            print(f"{self.name}: {shown}", file=sys.stderr, flush=True)

    def checkpoint(self, name: str) -> Path:
        """The path of the checkpoint of one solution, for ``odeint_gan(checkpoint=...)``."""
        return self.own(f"checkpoints/{file_name(name)}.pt")

    def save(self, figure: Figure, name: str) -> Path:
        """Write a figure as figures/NAME.png."""
        return plots.save(self._marked(figure), self.own(f"figures/{name}.png"))

    def animate(self, frames: Iterable[Figure], name: str) -> Path:
        """Write figures of equal size as the frames of figures/NAME.gif."""
        return plots.save_animation(map(self._marked, frames), self.own(f"figures/{name}.gif"))

    def _marked(self, figure: Figure) -> Figure:
        """The figure, marked if it comes from a quick form."""
        if self.quick:
            figure.text(0.995, 0.005, QUICK_FORM, ha="right", va="bottom", fontsize=8, color=QUICK_COLOR)
        return figure

    def finish(self, rows: Sequence[Row]) -> None:
        """Write the summary table, further tables and the facts. A run with a summary counts as finished."""
        if self.facts:
            self._write("facts.json", dump(with_infinities(self.facts), indent=2))
        if self.tables:
            named = [{"title": title, "rows": part} for title, part in self.tables.items()]
            self._write("tables.json", dump(with_infinities(named), indent=2))
        elif self.writes:
            # Of an earlier end of a resumed run.
            (self.path / "tables.json").unlink(missing_ok=True)
        self._write("summary.md", markdown(rows))
        # Last, because its presence says that the run is finished.
        self._write("summary.json", dump(with_infinities(rows), indent=2))


def _identity(row: Row) -> tuple[Any, ...]:
    return row.get("run"), row.get("step"), row.get("t")
