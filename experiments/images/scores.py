"""Scores of a run's samples, with an extractor and statistics of the real images that are made once."""

from __future__ import annotations

import math
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from experiments.framework.runner import Folder
from experiments.images.presets import Preset
from experiments.images.sampling import PIECE
from odegan.games.sampling import GameSampler
from odegan.metrics import evaluation, train_classifier
from odegan.metrics.features import Extractor, find_extractor
from odegan.metrics.frechet import frechet_distance, moments
from odegan.metrics.real_data import RealData
from odegan.metrics.statistics_cache import short_digest
from odegan.utils.checks import choose

CLASSIFIER_SEED = 0


class Scorer:
    """``scorer(sampler, seed)``: the preset's metrics by name, each a dict of its value and all that it depends on.

    Args:
        preset: names the metrics, the extractor and the number of samples.
        data: the real images.
        cache: folder for the real images' statistics and the digits' classifier.
        device: where features are computed.
        progress: show bars.
        workers: processes that read the real images.

    Raises:
        ArgumentError: an unknown metric or extractor, or one whose weights cannot be had: before any training.
    """

    def __init__(
        self, preset: Preset, data: Any, cache: Path, device: str, progress: bool = False, workers: int = 0
    ) -> None:
        self.names = () if preset.metrics == ("none",) else preset.metrics
        for name in self.names:
            choose("metrics", name, evaluation.SCORES)
        self.preset, self.data, self.cache = preset, data, cache
        self.device, self.progress, self.workers = device, progress, workers
        self.extractor = self._extractor(preset.extractor) if self.names else None

    @classmethod
    def of(cls, preset: Preset, data: Any, options: Any, folder: Folder) -> Scorer | None:
        """As the command line says; None where another process writes and scores."""
        if not folder.writes:
            return None
        return cls(preset, data, options.cache, options.device, options.progress, options.workers)

    def _extractor(self, name: str) -> Extractor:
        if name != "digits":
            return find_extractor(name, self.device)
        classifier, _ = train_classifier(CLASSIFIER_SEED, self.cache / "digit_classifier.pt", self.progress)
        classifier.to(self.device)

        def network(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return classifier.features(images), classifier(images)

        return Extractor(f"digit classifier, seed {CLASSIFIER_SEED}", "none", network, torch.device(self.device))

    @cached_property
    def fingerprint(self) -> str:
        """What tells the real images from others; they are read for it once a run, not for every score."""
        return short_digest(RealData(self.data, batch_size=PIECE, workers=self.workers).identity())

    def __call__(self, sampler: GameSampler, seed: int) -> dict[str, dict[str, Any]]:
        """Scores of the sampler's images."""
        if self.extractor is None:
            return {}
        return evaluation.scores(
            sampler,
            self.data,
            self.names,
            extractor=self.extractor,
            n=self.preset.samples,
            seed=seed,
            cache=self.cache,
            fingerprint=self.fingerprint,
            batch_size=self.preset.batch_size if self.preset.batch_statistics else PIECE,
            workers=self.workers,
            progress=self.progress,
        )

    def nothing(self) -> dict[str, dict[str, Any]]:
        """The scores of a generator that is not finite."""
        return {name: {"value": math.nan} for name in self.names}

    def floor(self, name: str) -> float | None:
        """FID of one random half of the real images against the other, where they are one tensor: what chance alone makes of
        a perfect match, from fewer images than a score has.
        """
        if name != "fid" or self.extractor is None or not isinstance(self.data, torch.Tensor):
            return None
        order = torch.randperm(len(self.data), generator=torch.Generator().manual_seed(0))
        one, other = (moments(self.extractor(self.data[rows])[0]) for rows in order.chunk(2))
        return frechet_distance(one, other)


def values(scores: dict[str, dict[str, Any]]) -> dict[str, float]:
    """The numbers alone."""
    return {name: float(score["value"]) for name, score in scores.items()}


def label(metric: str) -> str:
    """What a figure calls a metric.

    >>> label("fid"), label("inception_score")
    ('FID', 'inception score')
    """
    return metric.upper() if len(metric) < 4 else metric.replace("_", " ")
