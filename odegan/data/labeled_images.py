"""Images of 8 bits and their classes, held as two tensors."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from torch import Tensor
from torch.utils.data import Dataset


@dataclass(frozen=True, eq=False)
class LabeledImages(Dataset[tuple[Tensor, int]]):
    """Map-style: ``data[i]`` is an image (C, H, W) in [-1, 1], float32, and its class.

    ``odeint_gan`` keeps the levels on its device as they are and scales them in the minibatch, v / 127.5 - 1.

    Attributes:
        levels: (N, C, H, W) uint8.
        labels: (N,) int64.
        name: what they are.
        split: "train" or "test".
    """

    levels: Tensor = field(repr=False)
    labels: Tensor = field(repr=False)
    name: str
    split: str

    def __len__(self) -> int:
        return len(self.levels)

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        if not -len(self) <= i < len(self):
            raise IndexError(f"index {i} is out of range for {len(self)} images")
        return self.levels[i].float() / 127.5 - 1, int(self.labels[i])

    def fingerprint(self) -> list[str | int]:
        """What a checkpoint compares: a digest of all images and labels."""
        digest = hashlib.sha256()
        for part in (self.levels, self.labels):
            digest.update(part.cpu().contiguous().numpy().tobytes())
        return ["labeled images", self.name, self.split, len(self), digest.hexdigest()[:16]]
