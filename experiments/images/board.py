"""TensorBoard's event files in a run's folder."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from experiments.framework.folder import Folder, Row


class Board:
    """Reports as scalars and images."""

    def __init__(self, path: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.writer = SummaryWriter(str(path))

    def add(self, name: str, row: Row, picture: Path) -> None:
        """One report: its numbers, and its grid where there is one."""
        for key, value in row.items():
            if isinstance(value, int | float):
                self.writer.add_scalar(f"{name}/{key}", value, row["step"])
        if picture.exists():
            pixels = np.atleast_3d(np.asarray(Image.open(picture)))
            self.writer.add_image(name, pixels, row["step"], dataformats="HWC")
        self.writer.flush()


def make_board(folder: Folder, wanted: bool) -> Board | None:
    """A board, or None with a line that says why."""
    if wanted and importlib.util.find_spec("tensorboard") is None:
        print(
            "tensorboard: not installed, so nothing is written for it (pip install 'odegan[tensorboard]')",
            file=sys.stderr,
        )
        return None
    if not wanted:
        return None
    found = Board(folder.path / "tensorboard")
    for file in (folder.path / "tensorboard").iterdir():
        folder.own(f"tensorboard/{file.name}")
    return found
