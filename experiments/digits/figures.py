"""Figures of the digits experiment."""

from __future__ import annotations

import torch
from matplotlib.figure import Figure
from PIL import Image

from experiments.framework.folder import Folder
from experiments.images import figures
from experiments.images.sampling import sampler
from experiments.images.scores import Scorer
from experiments.images.training import TrainingRun, frames
from odegan import plots
from odegan.data import load_digits
from odegan.plots.style import panels

DRAWN = 1000  # samples among which the figures that are ordered by digit find theirs
EACH = 10  # images of each digit
MOMENTS = 9  # grids over time, besides the start


def of_run(run: TrainingRun, scorer: Scorer, folder: Folder) -> dict[str, Figure]:
    """Samples over time and at the end, scores and losses of one run; at the end there is nothing of a run that diverged."""
    drawn = {"over_time": over_time(run, folder)} | figures.of_run(run, scorer)
    return drawn if run.diverged else {"samples": samples(run, scorer)} | drawn


def samples(run: TrainingRun, scorer: Scorer) -> Figure:
    """Ten generated and ten real images of every digit, a row each: the first that the classifier takes for it."""
    generated = sampler(run.game, run.y, run.preset)(DRAWN, 0)
    real, _ = load_digits()
    frames = [("generated", by_class(generated, scorer)), ("real", by_class(real, scorer))]
    figure = plots.image_grid_over_time(frames, columns=2)
    figure.set_size_inches(9.6, 5.0)
    return figure


def by_class(images: torch.Tensor, scorer: Scorer) -> torch.Tensor:
    """The first few of the images (n, 1, 8, 8) that the classifier takes for each digit, 0 to 9 in turn.

    Where it finds too few for a digit, white images fill its place.
    """
    assert scorer.extractor is not None
    _, logits = scorer.extractor(images)
    assert logits is not None
    digits = logits.argmax(1).cpu()
    rows = [images.cpu()[digits == digit][:EACH] for digit in range(10)]
    return torch.cat([torch.cat([row, row.new_ones(EACH - len(row), *row.shape[1:])]) for row in rows])


def over_time(run: TrainingRun, folder: Folder) -> Figure:
    """The sample grids, from the same latents at every report."""
    first, *others = frames(folder, run).items()
    shown = [first, *others[-MOMENTS:]]
    with plots.style():
        figure, axes = panels(len(shown), None, share=False)
        for panel, (evaluations, path) in zip(axes, shown, strict=True):
            # From the files, since a resumed run has not drawn its earlier grids itself.
            panel.imshow(Image.open(path), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
            panel.set_axis_off()
            panel.set_title(f"{evaluations:,} evaluations")
    return figure
