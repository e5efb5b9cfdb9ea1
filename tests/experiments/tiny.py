"""An experiment that shows what the runner itself does, without an experiment's cost."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

from experiments.framework import runner
from experiments.framework.folder import Folder
from experiments.framework.options import Options
from odegan import plots


@dataclass
class Tiny(Options):
    """One number."""

    size: float = 1.0
    """Size."""

    def quick_form(self) -> Tiny:
        return self


def run_tiny(options: Tiny, folder: Folder) -> list[dict]:
    folder.log({"run": "tiny", "step": 0, "size": options.size})
    folder.save(plots.curves({"a": ([0, 1], [0, options.size])}, "x", "y"), "line")
    return [{"run": "tiny", "size": options.size}]


def main(*arguments: str) -> int:
    """The command line."""
    return runner.main(Tiny, run_tiny, arguments)


def call(folder: Path, *more: str) -> int:
    """The quick form in a folder."""
    return main("--quick", "--no-progress", "--output", str(folder), *more)


def paths_in(printed: str, folder: Path) -> list[Path]:
    """The paths of a run's folder and within it that a run printed."""
    return [Path(found.rstrip(".")) for found in re.findall(rf"{re.escape(str(folder))}[\w./-]*", printed)]


def summary(folder: Path) -> list[dict]:
    """The rows of a finished run."""
    return json.loads((folder / "summary.json").read_text())
