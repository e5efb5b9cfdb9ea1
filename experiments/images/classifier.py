"""A small classifier of scikit-learn's digits, whose features serve FID and coverage."""

import os
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm.auto import trange

from odegan.data import load_digits
from odegan.utils import checkpoint
from odegan.utils.checks import argument_error, check_int, one_line

_HELD_OUT = 397  # of the 1,797 images; 1,400 remain to train on
_EPOCHS = 20


class DigitClassifier(nn.Module):
    """Images (B, 1, 8, 8) -> logits (B, 10), linear in the 32 features of ``features``: images -> (B, 32).

    The features are layer-normalized (mean 0 and variance 1 over the 32), so that distances in them have the
    same scale however long the training; and taken before the ReLU, whose atoms at 0 would be far from the
    Gaussian FID assumes.
    """

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 16, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.Conv2d(16, 32, kernel_size=3, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(32 * 4 * 4, 32),
            nn.LayerNorm(32, elementwise_affine=False),
        )
        self.head = nn.Sequential(nn.ReLU(), nn.Linear(32, 10))

    def forward(self, images: Tensor) -> Tensor:
        """(B, 1, 8, 8) -> (B, 10)."""
        logits: Tensor = self.head(self.features(images))
        return logits


def train_classifier(
    seed: int = 0, path: str | os.PathLike[str] | None = None, progress: bool = False
) -> tuple[DigitClassifier, float]:
    """The classifier trained on 1,400 of the digits, in evaluation mode, and its accuracy on the other 397.

    Adam on the cross-entropy in batches of 50 for 20 epochs, with a cosine schedule from 3e-3 to 0: a few
    seconds on one CPU thread. The split is the same for every seed. Torch's global generator is left as it
    was.

    Args:
        seed: of the initialization and the order of the batches; the same seed gives the same classifier.
        path: where to keep it. An existing file is loaded instead of training, if it was made with the same
            seed.
        progress: show a bar over the epochs.
    """
    check_int("seed", seed)
    if path is not None and not isinstance(path, str | os.PathLike):
        argument_error("path", path, "None, or a path")
    path = None if path is None else Path(path)
    if path is not None and path.exists():
        return _load(path, seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        classifier = DigitClassifier()
        accuracy = _fit(classifier, progress)
    if path is not None:
        _save(path, classifier, accuracy, seed)
    return classifier, accuracy


def _fit(classifier: DigitClassifier, progress: bool) -> float:
    """Train in place, with torch's global generator for the batches; returns the held-out accuracy."""
    images, labels = load_digits()
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    held_out, train = order.split([_HELD_OUT, len(order) - _HELD_OUT])
    adam = torch.optim.Adam(classifier.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(adam, _EPOCHS)
    for _ in trange(_EPOCHS, desc="digit classifier", disable=not progress):
        for rows in train[torch.randperm(len(train))].split(50):
            loss = F.cross_entropy(classifier(images[rows]), labels[rows])
            adam.zero_grad()
            loss.backward()
            adam.step()
        schedule.step()
    classifier.eval().requires_grad_(False)
    return float((classifier(images[held_out]).argmax(1) == labels[held_out]).double().mean())


def _save(path: Path, classifier: DigitClassifier, accuracy: float, seed: int) -> None:
    """Keep it; where that fails, as on a full disk, the next call trains again."""
    try:
        checkpoint.save(path, {"seed": seed, "accuracy": accuracy, "state": classifier.state_dict()})
    except OSError as error:
        warnings.warn(f"path: {str(path)!r} could not be written ({one_line(error)})", stacklevel=3)


def _load(path: Path, seed: int) -> tuple[DigitClassifier, float]:
    classifier = DigitClassifier()
    try:
        saved = torch.load(path, weights_only=True)
        found = saved["seed"]
        accuracy = float(saved["accuracy"])
        classifier.load_state_dict(saved["state"])
    except Exception as error:  # a damaged file raises almost anything
        argument_error(
            "path", str(path), f"a new file, or a digit classifier's; this one cannot be read ({one_line(error)})"
        )
    if found != seed:
        argument_error("path", str(path), f"a new file or one of seed {seed}; this one has seed {found}")
    return classifier.eval().requires_grad_(False), accuracy
