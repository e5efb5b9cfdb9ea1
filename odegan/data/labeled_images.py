"""``idx``: MNIST and similar sets, 8-bit images and their classes held as two tensors."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor
from torch.utils.data import Dataset

from odegan.data.decoding import decoded
from odegan.data.idx_files import NAME, read_pair, upright
from odegan.data.sources import Encoded, from_hub, parquet_folder
from odegan.utils.checks import ArgumentError, argument_error, check_int, choose, did_you_mean

SPLITS = ("train", "test")
# Repositories of the hub with sets in this format, and Debian packages with the folder that each installs.
HUB = {
    "mnist": "ylecun/mnist",
    "fashion_mnist": "zalando-datasets/fashion_mnist",
    "kmnist": "tanganke/kmnist",
    "emnist_letters": "tanganke/emnist_letters",
    "emnist_mnist": "tanganke/emnist_mnist",
}
INSTALLED = {"fashion_mnist": (Path("/usr/share/datasets/fashion-mnist"), "dataset-fashion-mnist")}


@dataclass(frozen=True, eq=False)
class LabeledImages(Dataset[tuple[Tensor, int]]):
    """A map-style data set: ``data[i]`` is an image (C, H, W) in [-1, 1], float32, and its class.

    ``odeint_gan`` holds the 8-bit levels on its device and scales them in each minibatch, v / 127.5 - 1.

    Attributes:
        levels: (N, C, H, W) uint8.
        targets: (N,) int64, the classes.
        name: name of the set.
        split: "train" or "test".

    Examples:
        >>> levels = torch.tensor([0, 255], dtype=torch.uint8).reshape(2, 1, 1, 1)
        >>> data = LabeledImages(levels, torch.tensor([3, 7]), "two", "train")
        >>> data[1]
        (tensor([[[1.]]]), 7)
    """

    levels: Tensor = field(repr=False)
    targets: Tensor = field(repr=False)
    name: str
    split: str

    def __len__(self) -> int:
        return len(self.levels)

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        if not -len(self) <= i < len(self):
            raise IndexError(f"index {i} is out of range for {len(self)} images")
        return self.levels[i].float() / 127.5 - 1, int(self.targets[i])

    def __odegan_fingerprint__(self) -> list[str | int]:
        """A digest of all images and classes."""
        digest = hashlib.sha256()
        # Content only: the same images from a folder or from the hub may resume each other.
        for part in (self.levels, self.targets):
            digest.update(part.contiguous().numpy().tobytes())
        return ["labeled images", self.split, len(self), digest.hexdigest()[:16]]


def idx(source: str | os.PathLike[str], *, split: str = "train", size: int | None = None) -> LabeledImages:
    """Fashion-MNIST, MNIST, and other sets in the same format: images (1, H, W) with their classes, all in memory.

    Args:
        source: "mnist", "fashion_mnist", "kmnist", "emnist_letters" or "emnist_mnist", taken from an installed system package
            (such as Debian's dataset-fashion-mnist) or from the Hugging Face hub. Or a folder with idx files
            (``train-images-idx3-ubyte.gz`` and so on, compressed or not) or with a copy of the hub's repository. If a folder
            has several sets, as EMNIST's does, append the common beginning of the file names: "gzip/emnist-letters".
        split: "train" or "test".
        size: pad images with level 0 on all sides to this size; 32 makes 28 x 28 images fit networks for powers of two.

    Raises:
        ArgumentError: the source is missing (the message says how to get it), a file is damaged, or a file is there both
            compressed and uncompressed, with different contents.

    Examples:
        >>> import tempfile
        >>> folder = tempfile.mkdtemp()
        >>> images, labels = bytes([0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 2]), bytes([0, 0, 8, 1, 0, 0, 0, 1])
        >>> _ = Path(folder, "train-images-idx3-ubyte").write_bytes(images + bytes([0, 255, 0, 0]))
        >>> _ = Path(folder, "train-labels-idx1-ubyte").write_bytes(labels + bytes([7]))
        >>> image, label = idx(folder, size=4)[0]
        >>> image.shape, image[0, 1], label
        (torch.Size([1, 4, 4]), tensor([-1., -1.,  1., -1.]), 7)
    """
    choose("split", split, SPLITS)
    if not isinstance(source, str | os.PathLike) or not str(source):
        argument_error("source", source, f"one of {', '.join(HUB)}, or a folder")
    levels, targets = _read(source, split)
    return LabeledImages(_padded(levels, size), targets, str(source), split)


def holds_idx(source: str | os.PathLike[str]) -> bool:
    """Whether ``idx`` is the function for a source: one of its names, or idx files in a folder.

    Examples:
        >>> holds_idx("fashion_mnist"), holds_idx("cifar10")
        (True, False)
    """
    path = Path(os.path.expanduser(source))
    if str(source) in HUB and not path.exists():
        return True
    folder, prefix = (path, "") if path.is_dir() else (path.parent, path.name)
    if not folder.is_dir():
        return False
    found = [match["set"] for file in folder.iterdir() if (match := NAME.fullmatch(file.name))]
    return prefix in found if prefix else bool(found)


def _read(source: str | os.PathLike[str], split: str) -> tuple[Tensor, Tensor]:
    """Images (N, H, W) uint8 and labels (N,) int64."""
    path = Path(os.path.expanduser(source))
    if str(source) in HUB and not path.exists():
        # A system package before the hub: it needs no network.
        installed = INSTALLED.get(str(source))
        there = installed is not None and installed[0].is_dir()
        return read_pair(installed[0], "", split) if installed and there else _from_hub(str(source), split)
    folder, prefix = (path, "") if path.is_dir() else (path.parent, path.name)
    # A bare word that begins no file here is a misspelled name.
    missing = prefix == str(source) and not any(one.name.startswith(prefix) for one in folder.iterdir())
    if not folder.is_dir() or NAME.fullmatch(prefix) or missing:
        near = did_you_mean(source, HUB)
        argument_error("source", str(source), f"one of {', '.join(HUB)}, or a folder with idx files{near}")
    if path.is_dir() and not any(NAME.fullmatch(file.name) for file in path.iterdir()) and any(path.rglob("*.parquet")):
        return _decoded(parquet_folder(path, split))
    return read_pair(folder, prefix, split)


def _from_hub(name: str, split: str) -> tuple[Tensor, Tensor]:
    try:
        levels, targets = _decoded(from_hub(name, HUB[name], split))
    except ArgumentError as error:
        if name not in INSTALLED:
            raise
        folder, package = INSTALLED[name]
        raise ArgumentError(f"{error}; or 'apt-get install {package}', which puts it into {folder}") from error
    return upright(levels, name), targets


def _decoded(table: Encoded) -> tuple[Tensor, Tensor]:
    """All images of a table (N, H, W) uint8, and their classes."""
    return torch.stack([decoded(table, i, 1)[0] for i in range(len(table))]), torch.tensor(table.targets())


def _padded(levels: Tensor, size: int | None) -> Tensor:
    """Pad images (N, H, W) to (N, 1, size, size), centered."""
    levels = rearrange(levels, "image row column -> image 1 row column")
    if size is None:
        return levels
    size = check_int("size", size, low=1)
    rows, columns = levels.shape[2:]
    if size < max(rows, columns):
        argument_error("size", size, f"at least that of the images, {rows} x {columns} pixels")
    top = (size - rows) // 2
    left = (size - columns) // 2
    # Both margins from the left and top ones, which differ by a pixel where the difference is odd.
    return F.pad(levels, (left, size - columns - left, top, size - rows - top))
