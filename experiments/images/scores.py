"""Scores of a run's samples, with an extractor and statistics of the real images that are made once."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from einops import rearrange, repeat

from experiments.images.classifier import TrainedClassifier, train_classifier
from experiments.images.ingredients import DIGITS, Classes, Images, classes_of, split_of
from experiments.images.preset import Preset
from experiments.images.sampling import PIECE
from odegan.data import LabeledImages, load_digits
from odegan.games.sampling import GameSampler
from odegan.metrics import coverage, evaluation
from odegan.metrics.features import Extractor, find_extractor
from odegan.metrics.frechet import frechet_distance, moments
from odegan.metrics.real_data import RealData
from odegan.metrics.statistics_cache import short_digest
from odegan.utils.checks import argument_error, choose

CLASSIFIER = "classifier"  # the extractor that is trained on the data's classes
CLASSIFIER_SEED = 0
COVERAGE = "coverage"  # by class: of data with labels
RECOGNITION = "recognition"  # by class: of class-conditional generators
NEIGHBOR = 5  # whose distance is the radius of a ball in coverage
METRICS = (*evaluation.METRICS, COVERAGE, RECOGNITION)
LOWER = ("fid", "kid")  # of which lower is better

Score = dict[str, Any]  # a metric's value, and everything that it depends on


class Scorer:
    """``scorer(sampler, seed)``: the preset's metrics by name, each a dict of its value and all that it depends on.

    Args:
        preset: names the metrics, the extractor and the number of samples.
        data: the real images to compare with.
        cache: folder for the real images' statistics and the classifiers.
        device: where features are computed.
        progress: show bars.
        workers: processes that read the real images.
        quick: train the classifier briefly, as quick forms of experiments do.

    Raises:
        ArgumentError: an unknown metric or extractor, or one whose weights cannot be had: before any training.
    """

    def __init__(
        self,
        preset: Preset,
        data: Images,
        cache: Path,
        device: str,
        progress: bool = False,
        workers: int = 0,
        quick: bool = False,
    ) -> None:
        self.names = () if preset.metrics == ("none",) else preset.metrics
        self.classes = labeled(preset, data)
        for name in self.names:
            choose("metrics", name, METRICS)
        if COVERAGE in self.names and self.classes is None:
            argument_error("metrics", COVERAGE, f"left out unless data are {DIGITS} or idx files, which have classes")
        if RECOGNITION in self.names and (preset.extractor != CLASSIFIER or preset.classes is None):
            argument_error(
                "metrics",
                RECOGNITION,
                f"left out unless networks are class-conditional and the extractor is {CLASSIFIER}",
            )
        self.preset = preset
        self.data = data
        self.cache = cache
        self.device = device
        self.progress = progress
        self.workers = workers
        self.quick = quick
        self.classifier = self._classifier() if self.names and preset.extractor == CLASSIFIER else None
        self.extractor = self._extractor() if self.names else None

    def _classifier(self) -> TrainedClassifier:
        sets = classes_of(self.preset)
        if sets is None:
            argument_error(
                "extractor", CLASSIFIER, f"inception, unless data are {DIGITS} or idx files, which have classes"
            )
        return train_classifier(*sets, CLASSIFIER_SEED, self.cache, self.progress, self.quick)

    def _extractor(self) -> Extractor:
        if self.classifier is None:
            return find_extractor(self.preset.extractor, self.device)
        trained = self.classifier.network.to(self.device)

        def network(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            features = trained.features(images)
            return features, trained.head(features)

        # The name identifies the extractor in the cache of statistics.
        length = ", trained briefly" if self.quick else ""
        name = f"classifier of {Path(self.preset.data).name}, seed {CLASSIFIER_SEED}{length}"
        return Extractor(name, "none", network, torch.device(self.device))

    @cached_property
    def fingerprint(self) -> str:
        """A digest that identifies the real images; they are read for it once per run, not for every score."""
        return short_digest(RealData(self.data, batch_size=PIECE, workers=self.workers).identity())

    def __call__(self, sampler: GameSampler, seed: int) -> dict[str, Score]:
        """Scores of the sampler's images."""
        names = [name for name in self.names if name in evaluation.METRICS]
        found: dict[str, Score] = {}
        if names and self.extractor is not None:
            found = evaluation.scores(
                sampler,
                self.data,
                names,
                extractor=self.extractor,
                n=self.preset.samples,
                split=split_of(self.data),
                seed=seed,
                cache=self.cache,
                fingerprint=self.fingerprint,
                batch_size=piece_of(self.preset),
                workers=self.workers,
                progress=self.progress,
            )
        found |= {name: OWN[name](self, sampler, seed) for name in self.names if name in OWN}
        further = {} if sampler.truncation is None else {"truncation": sampler.truncation}
        if self.classifier is not None:
            further |= {"extractor_accuracy": self.classifier.accuracy}
        return {name: score | further for name, score in found.items()}

    def coverage(self, sampler: GameSampler, seed: int) -> Score:
        """Share of the real images with a generated one nearby, overall and by class."""
        assert self.extractor is not None
        assert self.classes is not None
        real = self._features(
            self.classes.rows(rows)[0] for rows in torch.arange(len(self.classes.images)).split(PIECE)
        )
        generated = self._features(sampler(self.preset.samples, seed).split(PIECE))
        covered = coverage(real, generated, self.classes.labels.to(self.device), NEIGHBOR)
        settings = {"extractor": self.extractor.name, "n": len(generated), "n_real": len(real), "k": NEIGHBOR}
        return {"value": covered.overall, "per_class": covered.per_class.tolist()} | settings | {"seed": seed}

    def _features(self, pieces: Iterable[torch.Tensor]) -> torch.Tensor:
        assert self.extractor is not None
        return torch.cat([self.extractor(piece)[0] for piece in pieces])

    def recognition(self, sampler: GameSampler, seed: int) -> Score:
        """Share of the samples that the classifier assigns to the class they were drawn for, overall and by class."""
        assert self.extractor is not None
        assert self.preset.classes is not None
        each = max(1, self.preset.samples // self.preset.classes)
        # As many of each class, so that the overall share is the mean over the classes.
        labels = repeat(torch.arange(self.preset.classes), "label -> (label each)", each=each)
        logits = [self.extractor(piece)[1] for piece in sampler(len(labels), seed, labels).split(PIECE)]
        answers = torch.cat([part.argmax(1).cpu() for part in logits if part is not None])
        per_class = rearrange((answers == labels).double(), "(label each) -> label each", each=each).mean(1)
        settings = {"extractor": self.extractor.name, "n": len(labels), "seed": seed}
        return {"value": per_class.mean().item(), "per_class": per_class.tolist()} | settings

    def nothing(self) -> dict[str, Score]:
        """The scores of a generator that is not finite."""
        return {name: {"value": math.nan} for name in self.names}

    def floor(self, name: str) -> float | None:
        """FID of one random half of the real images against the other, if they are held in memory.

        This is the FID of a perfect match by chance alone, from fewer images than a score has.
        """
        if name != "fid" or self.extractor is None or self.classes is None:
            return None
        # Random halves: sets are often stored class by class.
        order = torch.randperm(len(self.classes.images), generator=torch.Generator().manual_seed(0))
        halves = (self._features(self.classes.rows(rows)[0] for rows in half.split(PIECE)) for half in order.chunk(2))
        one, other = (moments(features) for features in halves)
        return frechet_distance(one, other)


OWN: dict[str, Callable[[Scorer, GameSampler, int], Score]] = {
    COVERAGE: Scorer.coverage,
    RECOGNITION: Scorer.recognition,
}


def labeled(preset: Preset, data: Images) -> Classes | None:
    """The images with their classes, where they are held in memory."""
    if isinstance(data, LabeledImages):
        return Classes(data.levels, data.targets)
    return Classes(*load_digits()) if preset.data == DIGITS else None


def piece_of(preset: Preset) -> int:
    """Images drawn at once for scores: as many of each class, and with batch statistics whole minibatches."""
    if preset.batch_statistics:
        return math.lcm(preset.batch_size, preset.classes or 1)
    return PIECE if preset.classes is None else max(1, PIECE // preset.classes) * preset.classes


def values(scores: dict[str, Score]) -> dict[str, float]:
    """The scores as plain numbers, without their settings."""
    return {name: float(score["value"]) for name, score in scores.items()}


def loss(metric: str, value: float) -> float:
    """A number that is lower for a better value of a metric; infinite if the value is not finite.

    >>> loss("fid", 3.0), loss("coverage", 0.9), loss("fid", math.nan)
    (3.0, -0.9, inf)
    """
    if not math.isfinite(value):
        return math.inf
    return value if metric in LOWER else -value


def label(metric: str) -> str:
    """The name of a metric in figures.

    >>> label("fid"), label("inception_score")
    ('FID', 'inception score')
    """
    return metric.upper() if len(metric) < 4 else metric.replace("_", " ")
