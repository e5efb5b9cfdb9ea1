"""``CSVLog``: a callback that writes a table of comma-separated values."""

from __future__ import annotations

import csv
import os
from pathlib import Path

from odegan.callbacks.periodic import Periodic, measured
from odegan.training.state import Info, State
from odegan.utils.checks import ArgumentError, check_bool
from odegan.utils.keywords import keywords


class CSVLog(Periodic):
    """Writes a row after every ``every``-th refresh interval: interval, t, step_size, error_ratio, losses and field norm.

    When a run resumes, the rows that were written after its checkpoint are removed.

    Args:
        path: path of the file.
        every: number of refresh intervals between rows.
        overwrite: replace an existing file, unless the run is resumed from a checkpoint.

    Raises:
        ArgumentError: the file exists; raised at the first row of a run that is not resumed.

    Examples:
        >>> import tempfile, torch, odegan
        >>> path = tempfile.mkdtemp() + "/log.csv"
        >>> log = CSVLog(path, every=2)
        >>> run = {"solver": "heun2", "step_size": 0.1, "callback": log}
        >>> solution = odegan.odeint_gan(odegan.games.bilinear(), torch.tensor([1.0, 0.0]), steps=4, **run)
        >>> open(path).readline().strip()
        'interval,t,step_size,error_ratio,loss/disc,loss/gen,field_norm'
        >>> sum(1 for line in open(path))
        3
    """

    @keywords()
    def __init__(self, path: str | os.PathLike[str], every: int = 10, overwrite: bool = False) -> None:
        super().__init__(every)
        self.path = Path(path)
        self.overwrite = check_bool("overwrite", overwrite)
        self._end: int | None = None  # bytes written by this run

    def __call__(self, state: State, info: Info) -> None:
        """Write one row for this interval."""
        row = {"interval": state.aux["index"], **measured(state, info)}
        # Not at construction: only now it is known whether the run resumes and the file is its own.
        if self._end is None and self.path.exists() and not self.overwrite:
            raise ArgumentError(f"path: got {str(self.path)!r}, which exists; choose another, or give overwrite=True")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # A resumed run whose file was deleted starts another one, with a header.
        goes_on = self._end is not None and self.path.exists()
        # newline="" leaves line ends to csv; otherwise Windows would write two returns.
        with open(self.path, "r+" if goes_on else "w", newline="") as file:
            if goes_on:
                file.seek(self._end or 0)
                # What follows was written after the checkpoint, by the part of the run that is lost.
                file.truncate()
            writer = csv.DictWriter(file, list(row))
            if not goes_on:
                writer.writeheader()
            writer.writerow(row)
            file.flush()
            self._end = file.tell()

    def state_dict(self) -> dict[str, int | None]:
        """The state for a checkpoint."""
        return {"end": self._end}

    def load_state_dict(self, kept: dict[str, int | None]) -> None:
        """Restore the state from a checkpoint."""
        self._end = kept["end"]
