"""Where a run's reports go besides its folder: TensorBoard's event files, Weights & Biases."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image

from experiments.framework.folder import Folder, Row


class Board(Protocol):
    """A service that shows a run's scores and sample grids while it trains."""

    def add(self, name: str, row: Row, picture: Path) -> None:
        """Add one report: its numbers, and its picture if that file exists."""


class TensorBoard:
    """Reports as scalars and images of event files."""

    def __init__(self, folder: Folder) -> None:
        from torch.utils.tensorboard import SummaryWriter

        path = folder.path / "tensorboard"
        self.writer = SummaryWriter(str(path))
        for file in path.iterdir():
            folder.own(f"tensorboard/{file.name}")

    def add(self, name: str, row: Row, picture: Path) -> None:
        for key, value in numbers(row).items():
            self.writer.add_scalar(f"{name}/{key}", value, row["step"])
        if picture.exists():
            # Gray pictures have no third axis, which HWC needs.
            pixels = np.atleast_3d(np.asarray(Image.open(picture)))
            self.writer.add_image(name, pixels, row["step"], dataformats="HWC")
        self.writer.flush()


class WeightsAndBiases:
    """Reports of one run of Weights & Biases, which a resumed run continues."""

    def __init__(self, folder: Folder) -> None:
        import wandb

        self.wandb = wandb
        self.run = wandb.init(
            # The folder's name as the id: a resumed run finds its own curves.
            project="odegan",
            name=folder.path.name,
            id=folder.path.name,
            dir=folder.path,
            resume="allow",
        )

    def add(self, name: str, row: Row, picture: Path) -> None:
        shown = {name: self.wandb.Image(str(picture))} if picture.exists() else {}
        self.run.log({f"{name}/{key}": value for key, value in numbers(row).items()} | shown, step=row["step"])


INSTALLED_BY = {"tensorboard": "pip install 'odegan[tensorboard]'", "wandb": "pip install wandb"}
BOARDS: dict[str, Callable[[Folder], Board]] = {"tensorboard": TensorBoard, "wandb": WeightsAndBiases}


def numbers(row: Row) -> dict[str, float]:
    """The cells of a report that are numbers."""
    return {key: value for key, value in row.items() if isinstance(value, int | float)}


def make_boards(folder: Folder, wanted: Mapping[str, bool]) -> list[Board]:
    """Those that are wanted and installed; one line for each that is not installed."""
    chosen = [name for name, on in wanted.items() if on]
    missing = [name for name in chosen if importlib.util.find_spec(name) is None]
    for name in missing:
        print(f"{name}: not installed, so nothing is written for it ({INSTALLED_BY[name]})", file=sys.stderr)
    return [BOARDS[name](folder) for name in chosen if name not in missing]
