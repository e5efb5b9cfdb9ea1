"""The options that every experiment has."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar


@dataclass
class Options:
    """Options that all experiments have."""

    seed: int = 0
    """Seed of everything random; members of an ensemble take this one and those after it."""
    device: str = "cpu"
    """Device for the computation: cpu, cuda, cuda:1, mps."""
    output: Path | None = None
    """Output folder of the run; by default runs/NAME, and runs/NAME-quick for the quick form."""
    quick: bool = False
    """Run a quick form of a few seconds, to see that everything works; its numbers mean nothing. Options that you give
    explicitly still apply, except --full."""
    resume: bool = False
    """Continue the run in the output folder, which must have had the same options."""
    overwrite: bool = False
    """Replace an earlier run in the output folder."""
    progress: bool = True
    """Show progress: a bar on a terminal, elsewhere a line after every tenth of the run."""
    docs: Path | None = None
    """Also write figures and tables into this documentation folder, as figures/NAME_*.png and results/NAME.md and .json; by
    default only into the output folder."""

    # Options that may differ when a run is resumed.
    free: ClassVar[frozenset[str]] = frozenset({"output", "resume", "overwrite", "progress", "docs"})

    def name(self, experiment: str) -> str:
        """The name of the default folder and of the pages in the documentation."""
        return experiment

    def folder(self, experiment: str) -> Path:
        """The output folder.

        >>> Options(quick=True).folder("mog16").as_posix()
        'runs/mog16-quick'
        """
        return self.output or Path("runs") / (self.name(experiment) + "-quick" * self.quick)

    def used(self) -> dict[str, Any]:
        """Every option by name, with the values that the run uses; defaults that depend on other options are resolved here.
        The output folder is filled in where it is opened."""
        return asdict(self)

    def check(self) -> None:
        """Raise ``ArgumentError`` for invalid values, before anything is written."""

    def quick_form(self) -> Options:
        """A copy with settings small enough for a test; every experiment has its own."""
        raise NotImplementedError
