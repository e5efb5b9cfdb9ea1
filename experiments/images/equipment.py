"""Data, scorer and machine settings of a run, made from the command line."""

from __future__ import annotations

from collections.abc import Sequence

from experiments.framework.folder import Folder
from experiments.images.board import Board
from experiments.images.ingredients import open_data
from experiments.images.options import Compare, Train
from experiments.images.preset import Preset
from experiments.images.scores import Scorer
from experiments.images.training import Equipment


def equip(options: Train | Compare, preset: Preset, folder: Folder, boards: Sequence[Board] = ()) -> Equipment:
    """Data, scorer and machine; where another process writes and scores, without a scorer."""
    data = open_data(preset)
    scorer = None
    if folder.writes:
        real = data if preset.reference == "train" else open_data(preset, preset.reference)
        scorer = Scorer(preset, real, options.cache, options.device, options.progress, options.workers, options.quick)
    return Equipment(
        data,
        scorer,
        options.device,
        options.grid,
        options.progress,
        options.for_game(),
        options.for_run(),
        boards,
        options.quick,
    )
