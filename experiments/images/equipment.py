"""What the command line says of the machine, made ready."""

from __future__ import annotations

from experiments.framework.folder import Folder
from experiments.images.board import Board
from experiments.images.ingredients import open_data
from experiments.images.options import Compare, Train
from experiments.images.preset import Preset
from experiments.images.scores import Scorer
from experiments.images.training import Equipment


def equip(options: Train | Compare, preset: Preset, folder: Folder, board: Board | None = None) -> Equipment:
    """Data, scorer and machine; where another process writes and scores, without a scorer."""
    data = open_data(preset)
    scorer = None
    if folder.writes:
        scorer = Scorer(preset, data, options.cache, options.device, options.progress, options.workers)
    return Equipment(
        data,
        scorer,
        options.device,
        options.grid,
        options.progress,
        options.for_game(),
        options.for_run(),
        board,
    )
