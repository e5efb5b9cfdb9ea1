"""A small classifier of a set's classes: its features serve FID and coverage, its predictions recognition.

It is trained once for each set, with a fixed seed, and kept in the cache.
"""

from __future__ import annotations

import math
import os
import warnings
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from experiments.framework.progress import shown
from experiments.images.ingredients import Classes
from odegan.metrics.statistics_cache import short_digest
from odegan.utils import checkpoint
from odegan.utils.checks import argument_error, check_int, one_line
from odegan.utils.fingerprint import describe

SMALLEST = 8  # pixels of the side of the smallest images
PIECE = 500  # held-out images at once
DROPOUT = 0.3


class Length(NamedTuple):
    """How long a training is.

    images: as many of the first are used; None: all.
    shift: each batch is moved by up to so many pixels each way, at random.
    """

    epochs: int
    batch_size: int
    images: int | None = None
    shift: int = 0


SMALL = Length(20, 50)
LARGE = Length(10, 100, shift=1)  # from so many images on
MANY = 10_000
QUICK = Length(2, 50, 1000)


class Classifier(nn.Module):
    """Images (B, channels, size, size) -> logits (B, classes), linear in the features of ``features``: images -> (B, d).

    A 3x3 convolution to 16 channels, then 3x3 stride-2 convolutions to 32, 64, ... channels down to 4 x 4, each with ReLU, and
    a linear layer to d = 32 features for 8 x 8 images and 64 for larger ones. For larger images, the convolutions have batch
    normalization, and the linear layer dropout of 0.3 at its input. The features are layer-normalized
    (mean 0 and variance 1 over them), so that distances in them have the same scale however long the training; and taken
    before the ReLU, whose atoms at 0 would be far from the Gaussian that FID assumes.

    Args:
        size: of the images, a power of two from 8 on.
        channels: of the images.
        classes: how many.
    """

    def __init__(self, size: int, channels: int, classes: int) -> None:
        super().__init__()
        halvings = int(math.log2(size / 4))
        widths = [16 * 2**i for i in range(halvings + 1)]
        large = size > SMALLEST
        count = 64 if large else 32
        layers: list[nn.Module] = []
        for n_in, n_out, stride in [(channels, widths[0], 1), *((a, b, 2) for a, b in pairwise(widths))]:
            norm = [nn.BatchNorm2d(n_out)] if large else []
            layers += [nn.Conv2d(n_in, n_out, kernel_size=3, stride=stride, padding=1), *norm, nn.ReLU()]
        dropout = [nn.Dropout(DROPOUT)] if large else []
        layers += [nn.Flatten(), *dropout, nn.Linear(widths[-1] * 4 * 4, count)]
        layers += [nn.LayerNorm(count, elementwise_affine=False)]
        self.features = nn.Sequential(*layers)
        self.head = nn.Sequential(nn.ReLU(), nn.Linear(count, classes))

    def forward(self, images: Tensor) -> Tensor:
        """(B, channels, size, size) -> (B, classes)."""
        logits: Tensor = self.head(self.features(images))
        return logits


@dataclass(frozen=True)
class TrainedClassifier:
    """A classifier in evaluation mode, the seed that it was trained with, and its accuracy on the held-out images."""

    network: Classifier
    seed: int
    accuracy: float
    per_class: list[float]


def train_classifier(
    train: Classes,
    held_out: Classes,
    seed: int = 0,
    cache: str | os.PathLike[str] | None = None,
    progress: bool = False,
    quick: bool = False,
) -> TrainedClassifier:
    """The classifier trained on some images, and its accuracy on others.

    Adam on the cross-entropy with a cosine schedule from 3e-3 to 0: 20 epochs in batches of 50; for sets from 10,000 images on,
    10 epochs in batches of 100 that are shifted by up to a pixel (some ten minutes on one CPU thread for 60,000 images of
    32 x 32). Torch's global generator is left as it was.

    Args:
        train: images and classes to train on.
        held_out: those on which the accuracy is measured.
        seed: of the initialization and the order of the batches; the same seed gives the same classifier.
        cache: a folder that keeps it, under a name made of its layers, its training, the images and the seed; a file of that
            name is loaded in the place of a training.
        progress: show a bar over the epochs.
        quick: train for 2 epochs on the first 1,000 images only, for quick forms of experiments.
    """
    check_int("seed", seed)
    if cache is not None and (not isinstance(cache, str | os.PathLike) or Path(cache).is_file()):
        argument_error("cache", cache, "None, or a folder")
    size = train.images.shape[-1]
    # size & (size - 1) is 0 only for powers of two.
    if size < SMALLEST or size & (size - 1):
        argument_error("train", train.images, f"images whose side is a power of two from {SMALLEST} on")
    classes = int(train.labels.max()) + 1
    length = QUICK if quick else SMALL if len(train.images) < MANY else LARGE
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Classifier(size, train.images.shape[1], classes)
        name = f"classifier_{_identity(network, length, train, held_out)}_seed{seed}.pt"
        path = None if cache is None else Path(cache) / name
        if path is not None and path.exists():
            # Within ``fork_rng`` as well: the network just made has drawn from the global generator.
            return _load(path, network)
        _fit(network, train, length, progress)
    found = TrainedClassifier(network.eval().requires_grad_(False), seed, *accuracy(network, held_out, classes))
    if path is not None:
        _save(path, found)
    return found


def _identity(network: Classifier, length: Length, *sets: Classes) -> str:
    """A digest that identifies the layers, the training and the images."""
    return short_digest([repr(network), list(length), *([describe(part) for part in one] for one in sets)])


def _fit(network: Classifier, train: Classes, length: Length, progress: bool) -> None:
    """Train in place, with torch's global generator for the batches."""
    used = len(train.images[: length.images])
    # Not odegan's: a classifier is a minimization, not a game.
    adam = torch.optim.Adam(network.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(adam, length.epochs)
    for _ in shown(range(length.epochs), "classifier", progress):
        for rows in torch.randperm(used).split(length.batch_size):
            images, labels = train.rows(rows)
            if length.shift:
                moved = torch.randint(-length.shift, length.shift + 1, (2,)).tolist()
                images = images.roll(moved, (2, 3))
            loss = F.cross_entropy(network(images), labels)
            adam.zero_grad()
            loss.backward()
            adam.step()
        schedule.step()


@torch.no_grad()
def accuracy(network: Classifier, held_out: Classes, classes: int) -> tuple[float, list[float]]:
    """The share of images that are recognized, of all and of each class."""
    pieces = (held_out.rows(rows) for rows in torch.arange(len(held_out.images)).split(PIECE))
    right = torch.cat([network(images).argmax(1) == labels for images, labels in pieces]).double()
    sums = torch.bincount(held_out.labels, weights=right, minlength=classes)
    return float(right.mean()), (sums / torch.bincount(held_out.labels, minlength=classes)).tolist()


def _save(path: Path, found: TrainedClassifier) -> None:
    """Keep it; where that fails, as on a full disk, the next call trains again."""
    content = {name: getattr(found, name) for name in ("seed", "accuracy", "per_class")}
    try:
        checkpoint.save(path, content | {"state": found.network.state_dict()})
    except OSError as error:
        warnings.warn(f"cache: {str(path)!r} could not be written ({one_line(error)})", stacklevel=3)


def _load(path: Path, network: Classifier) -> TrainedClassifier:
    try:
        saved = torch.load(path, weights_only=True)
        network.load_state_dict(saved["state"])
        found = TrainedClassifier(
            network.eval().requires_grad_(False), saved["seed"], saved["accuracy"], saved["per_class"]
        )
    except Exception as error:  # a damaged file raises almost anything
        argument_error(
            "cache", str(path), f"a new file, or a classifier's; this one cannot be read ({one_line(error)})"
        )
    return found
