"""The options of the commands that read a checkpoint: evaluate, sample, interpolate."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from tyro.conf import Positional

from experiments.framework.options import Options
from experiments.images.checkpoints import TrainingCheckpoint, load
from experiments.images.options import Cached
from experiments.images.preset import Preset, changed
from odegan.utils.checks import argument_error, check_int, check_number

SCORED = ("data", "metrics", "extractor", "samples")  # what scores depend on beside the generator


@dataclass(kw_only=True)
class OfCheckpoint(Options):
    """A checkpoint of a finished or running training."""

    checkpoint: Positional[Path] = field()
    """A file in the checkpoints folder of a run of train: seed0.pt its end, seed0_best.pt the best score."""
    average: Literal["raw", "exponential", "uniform"] | None = None
    """Parameters to use: those of the run (raw), or an average; by default those that the run scored."""
    truncation: float | None = None
    """Draw latents from the normal law truncated to [-a, a]: a smaller a gives more typical, less varied images; by default
    no limit."""

    def used(self) -> dict[str, Any]:
        """Every option, with which parameters are read."""
        return super().used() | {"average": self.trained().weights(self.average)}

    def check(self) -> None:
        """Refuse to replace the run that the checkpoint belongs to, and a truncation that leaves nothing."""
        if self.truncation is not None:
            check_number("truncation", self.truncation, low=0.0, strict=True)
        if (
            self.overwrite
            and self.output is not None
            and self.output.resolve() in self.checkpoint.resolve().parents[:2]
        ):
            argument_error("output", str(self.output), "another folder than that of the run that the checkpoint is of")

    def trained(self) -> TrainingCheckpoint:
        """What the checkpoint holds."""
        return load(self.checkpoint, self.device)

    def quick_form(self) -> OfCheckpoint:
        """The same options, which are quick already."""
        return self


@dataclass(kw_only=True)
class Evaluate(OfCheckpoint, Cached):
    """Score the generator of a checkpoint."""

    data: str | None = None
    """Real images to compare with; by default the run's."""
    split: str | None = None
    """Of the real images; by default the one that the run took."""
    metrics: tuple[str, ...] | None = None
    """fid, kid, inception_score, precision, recall, coverage, recognition; by default the run's."""
    extractor: str | None = None
    """inception, classifier, or the path of Inception's weights; by default the run's."""
    samples: int | None = None
    """Generated images; by default as many as the run took."""

    def name(self, experiment: str) -> str:
        """The name of the output folder, beside the training's."""
        return f"{experiment}_evaluate"

    def used(self) -> dict[str, Any]:
        """Every option, with what the run took for those that were left out."""
        preset = self.preset(self.trained().preset)
        return super().used() | {name: getattr(preset, name) for name in SCORED} | {"split": preset.reference}

    def preset(self, trained: Preset) -> Preset:
        """The run's preset, with what is scored here."""
        return changed(trained, {name: getattr(self, name) for name in SCORED} | {"reference": self.split})


@dataclass(kw_only=True)
class Sample(OfCheckpoint):
    """Draw images from the generator of a checkpoint: a grid, or with --separate a file each."""

    n: int = 64
    """Number of images."""
    label: int | None = None
    """Class of all images, for class-conditional networks; by default one row per class."""
    separate: bool = False
    """Write one PNG file per image."""

    def name(self, experiment: str) -> str:
        """The name of the output folder, beside the training's."""
        return f"{experiment}_sample"

    def check(self) -> None:
        """Refuse a number of images that is not positive."""
        super().check()
        check_int("n", self.n, low=1)


@dataclass(kw_only=True)
class Interpolate(OfCheckpoint):
    """Images between pairs of latents, one row per pair. --truncation holds for the pairs, not for what lies between them."""

    rows: int = 8
    """Number of pairs of latents."""
    columns: int = 10
    """Images per row, including both ends."""

    def name(self, experiment: str) -> str:
        """The name of the output folder, beside the training's."""
        return f"{experiment}_interpolate"

    def check(self) -> None:
        """Refuse rows that lead nowhere."""
        super().check()
        check_int("rows", self.rows, low=1)
        check_int("columns", self.columns, low=2)
