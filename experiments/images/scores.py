"""Scores of a run's samples, with an extractor and statistics of the real images that are made once."""

from __future__ import annotations

import math
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from experiments.images.classifier import DigitClassifier, train_classifier
from experiments.images.ingredients import DIGITS, Images
from experiments.images.preset import Preset
from experiments.images.sampling import PIECE
from odegan.data import load_digits
from odegan.games.sampling import GameSampler
from odegan.metrics import coverage, evaluation
from odegan.metrics.features import Extractor, find_extractor
from odegan.metrics.frechet import frechet_distance, moments
from odegan.metrics.real_data import RealData
from odegan.metrics.statistics_cache import short_digest
from odegan.utils.checks import argument_error, choose

CLASSIFIER_SEED = 0
COVERAGE = "coverage"  # by class: of data with labels
NEIGHBOR = 5  # whose distance is the radius of a ball in coverage
METRICS = (*evaluation.SCORES, COVERAGE)

Score = dict[str, Any]  # a metric's value, and all that it depends on


def digit_classifier(cache: Path, progress: bool) -> tuple[DigitClassifier, float]:
    """The classifier of the digits, from the cache if it is there, and its accuracy on held-out digits."""
    return train_classifier(CLASSIFIER_SEED, cache / "digit_classifier.pt", progress)


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
        self, preset: Preset, data: Images, cache: Path, device: str, progress: bool = False, workers: int = 0
    ) -> None:
        self.names = () if preset.metrics == ("none",) else preset.metrics
        for name in self.names:
            choose("metrics", name, METRICS)
        if COVERAGE in self.names and preset.data != DIGITS:
            argument_error("metrics", COVERAGE, f"left out unless data are {DIGITS}, which have labels")
        self.preset = preset
        self.data = data
        self.cache = cache
        self.device = device
        self.progress = progress
        self.workers = workers
        self.extractor = self._extractor(preset.extractor) if self.names else None

    def _extractor(self, name: str) -> Extractor:
        if name != "digits":
            return find_extractor(name, self.device)
        classifier = digit_classifier(self.cache, self.progress)[0].to(self.device)

        def network(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return classifier.features(images), classifier(images)

        return Extractor(f"digit classifier, seed {CLASSIFIER_SEED}", "none", network, torch.device(self.device))

    @cached_property
    def fingerprint(self) -> str:
        """What tells the real images from others; they are read for it once a run, not for every score."""
        return short_digest(RealData(self.data, batch_size=PIECE, workers=self.workers).identity())

    def __call__(self, sampler: GameSampler, seed: int) -> dict[str, Score]:
        """Scores of the sampler's images."""
        names = [name for name in self.names if name != COVERAGE]
        found: dict[str, Score] = {}
        if names and self.extractor is not None:
            found = evaluation.scores(
                sampler,
                self.data,
                names,
                extractor=self.extractor,
                n=self.preset.samples,
                seed=seed,
                cache=self.cache,
                fingerprint=self.fingerprint,
                batch_size=self.preset.batch_size if self.preset.batch_statistics else PIECE,
                workers=self.workers,
                progress=self.progress,
            )
        if COVERAGE in self.names:
            found |= {COVERAGE: self._coverage(sampler, seed)}
        return found

    def _coverage(self, sampler: GameSampler, seed: int) -> Score:
        """Share of the real images that have a generated one near, in all and by class."""
        assert self.extractor is not None
        real, labels = load_digits()
        generated = sampler(self.preset.samples, seed)
        covered = coverage(self.extractor(real)[0], self.extractor(generated)[0], labels.to(self.device), NEIGHBOR)
        settings = {"extractor": self.extractor.name, "n": len(generated), "n_real": len(real), "k": NEIGHBOR}
        return {"value": covered.overall, "per_class": covered.per_class.tolist()} | settings | {"seed": seed}

    def nothing(self) -> dict[str, Score]:
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


def values(scores: dict[str, Score]) -> dict[str, float]:
    """The numbers alone."""
    return {name: float(score["value"]) for name, score in scores.items()}


def label(metric: str) -> str:
    """What a figure calls a metric.

    >>> label("fid"), label("inception_score")
    ('FID', 'inception score')
    """
    return metric.upper() if len(metric) < 4 else metric.replace("_", " ")
