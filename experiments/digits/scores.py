"""How good generated digits are: FID and per-class coverage in the features of a small classifier of the same digits."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch

from odegan import Game
from odegan.metrics import coverage, extract_features, fid, load_digits, train_classifier
from odegan.metrics.digits import DigitClassifier

SAMPLES_SEED = 1  # of the latents that are scored: the same at every report, so that curves show the generator alone


class Score(NamedTuple):
    """fid: of as many samples as there are real digits; coverage: share of the real digits covered, over all and by class."""

    fid: float
    coverage: float
    coverage_per_class: list[float]


@dataclass(frozen=True)
class Judge:
    """The real digits and the classifier in whose features samples are compared with them.

    FID on 1,797 digits in the 32 features of this classifier is a scale of its own: it compares runs of this experiment
    with the same classifier seed, and with ``floor``, and with nothing else.
    """

    images: torch.Tensor
    labels: torch.Tensor
    classifier: DigitClassifier
    accuracy: float

    @classmethod
    def trained(cls, path: Path, seed: int, device: str, progress: bool) -> Judge:
        """With the classifier at ``path``, trained first if there is none."""
        classifier, accuracy = train_classifier(seed, path, progress)
        images, labels = load_digits()
        return cls(images.to(device), labels.to(device), classifier.to(device), accuracy)

    def score(self, game: Game, y: torch.Tensor) -> Score:
        """Score the generator in y (P,) by as many samples as there are real digits."""
        samples = game.sample(y, len(self.images), seed=SAMPLES_SEED)
        features = self.classifier.features
        covered = coverage(extract_features(features, self.images), extract_features(features, samples), self.labels)
        return Score(fid(features, self.images, samples), covered.overall, covered.per_class.tolist())

    def floor(self) -> float:
        """FID of one random half of the real digits against the other: what chance alone makes of a perfect match.

        Halves are smaller than what ``score`` compares, and FID's bias falls with the number of samples, so this is an
        upper bound on what a perfect generator would score.
        """
        order = torch.randperm(len(self.images), generator=torch.Generator().manual_seed(0)).to(self.images.device)
        one, other = order.chunk(2)
        return fid(self.classifier.features, self.images[one], self.images[other])

    def by_class(self, images: torch.Tensor, each: int) -> torch.Tensor:
        """The first few of the images (n, 1, 8, 8) that the classifier takes for each digit, 0 to 9 in turn.

        Where it finds too few for a digit, white images fill its place.
        """
        with torch.no_grad():
            found = self.classifier(images).argmax(1)
        rows = [images[found == digit][:each] for digit in range(10)]
        return torch.cat([torch.cat([row, row.new_ones(each - len(row), *row.shape[1:])]) for row in rows])

    def named(self) -> dict[str, Any]:
        """What belongs beside every score."""
        return {"samples": len(self.images), "real": len(self.images), "classifier_accuracy": self.accuracy}
