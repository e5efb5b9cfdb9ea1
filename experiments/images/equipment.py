"""Data, scorer and machine settings of a run, made from the command line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from experiments.framework.folder import Folder
from experiments.images.board import Board
from experiments.images.compare_options import Compare
from experiments.images.ingredients import Training, open_data, training_data
from experiments.images.options import Train
from experiments.images.preset import Preset
from experiments.images.scores import Scorer


@dataclass(frozen=True)
class Equipment:
    """The means of training and measuring, for any preset. None of it changes the result, except for rounding.

    Args:
        data: the images, with their classes for class-conditional networks.
        scorer: measures samples; None where another process does.
        device: where to compute.
        grid: images of each sample grid.
        progress: show a bar.
        for_game: further keyword arguments of ``gan``.
        for_run: further keyword arguments of ``odeint_gan``.
        boards: take every report and its grid, too.
        quick: sample grids say that they are of a quick form.
    """

    data: Training
    scorer: Scorer | None
    device: str = "cpu"
    grid: int = 64
    progress: bool = False
    for_game: dict[str, Any] = field(default_factory=dict)
    for_run: dict[str, Any] = field(default_factory=dict)
    boards: Sequence[Board] = ()
    quick: bool = False


def equip(options: Train | Compare, preset: Preset, folder: Folder, boards: Sequence[Board] = ()) -> Equipment:
    """Data, scorer and machine; where another process writes and scores, without a scorer."""
    data = training_data(preset)
    scorer = None
    if folder.writes:
        real = open_data(preset, preset.reference) if isinstance(data, tuple) or preset.reference != "train" else data
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
