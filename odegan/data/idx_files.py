"""The idx format of MNIST's files: ``*-images-idx3-ubyte`` and ``*-labels-idx1-ubyte``, compressed by gzip or not.

A file consists of two zero bytes, one byte for the type (8: unsigned bytes), the number n of dimensions, n sizes as big-endian
32-bit integers, and the entries in row-major order.
Source: LeCun, Cortes and Burges, "The MNIST database of handwritten digits".
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import NoReturn

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from odegan.utils.checks import ArgumentError, argument_error, one_line

NAME = re.compile(r"(?P<set>.*?)[-_]?(?P<split>train|t10k|test)-(?P<kind>images|labels)[-.]idx[13]-ubyte(\.gz)?")
_UNSIGNED_BYTES = 8
_GZIP = b"\x1f\x8b"


def read_idx(path: Path, dimensions: int) -> Tensor:
    """The array in one file, uint8.

    Raises:
        ArgumentError: the file is damaged, truncated or too long, has another type or number of dimensions, or is not
            compressed as its name says.
    """
    content = _content(path)
    if content[:2] != b"\0\0" or len(content) < 4:
        _refuse(path, "it does not begin like one")
    if content[2] != _UNSIGNED_BYTES or content[3] != dimensions:
        kinds = f"type {content[2]} with {content[3]} dimensions, not unsigned bytes (8) with {dimensions}"
        _refuse(path, f"it holds numbers of {kinds}")
    start = 4 + 4 * dimensions
    if len(content) < start:
        _refuse(path, "it ends within its header")
    sizes = [int.from_bytes(content[i : i + 4], "big") for i in range(4, start, 4)]
    # Python integers: a damaged header can promise more than 64 bits hold.
    promised = int(np.prod(sizes, dtype=object))
    if len(content) - start != promised:
        _refuse(path, f"its header promises {promised} numbers, and {len(content) - start} follow")
    # A copy: the buffer belongs to bytes, which must not be written to.
    return torch.from_numpy(np.frombuffer(content, np.uint8, promised, start).reshape(sizes).copy())


def _content(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:  # a directory of this name, or a file that nobody may read
        _refuse(path, one_line(error))
    if (path.suffix == ".gz") != content.startswith(_GZIP):
        _refuse(path, "it is not compressed by gzip" if path.suffix == ".gz" else "it is compressed, and not named .gz")
    try:
        return gzip.decompress(content) if path.suffix == ".gz" else content
    except (OSError, EOFError, zlib.error) as error:
        _refuse(path, one_line(error))


def _refuse(path: Path, reason: str) -> NoReturn:
    raise ArgumentError(f"source: got {str(path)!r}, which is not a usable idx file ({reason})")


def read_pair(folder: Path, prefix: str, split: str) -> tuple[Tensor, Tensor]:
    """Images (N, H, W) uint8 and labels (N,) int64 of a split ("train" or "test") in a folder.

    Args:
        prefix: name of the set, if the folder has several, as EMNIST's does ("emnist-letters"); "": the only one.
    """
    found = [(path, match) for path in sorted(folder.iterdir()) if (match := NAME.fullmatch(path.name))]
    sets = sorted({match["set"] for _, match in found})
    chosen = prefix or (sets[0] if len(sets) == 1 else "")
    if chosen not in sets:
        _refuse_folder(folder, prefix, sets)
    # MNIST calls its test split t10k, EMNIST calls it test.
    names = ("train",) if split == "train" else ("t10k", "test")
    files: dict[str, Path] = {}
    for path, match in found:
        if match["set"] == chosen and match["split"] in names:
            _refuse_other(files.setdefault(match["kind"], path), path)
    if len(files) < 2:
        missing = " and ".join(sorted({"images", "labels"} - files.keys()))
        argument_error("split", split, f"a split of {str(folder)!r}, which has no file of its {missing}")
    images = read_idx(files["images"], 3)
    labels = read_idx(files["labels"], 1)
    if not images.numel():
        _refuse(files["images"], "it holds no images" if not len(images) else "its images have no pixels")
    if len(images) != len(labels):
        _refuse(files["labels"], f"it holds {len(labels)} labels of {len(images)} images")
    return upright(images, chosen), labels.long()


def _refuse_other(one: Path, other: Path) -> None:
    """Refuse a second file of the same images or labels, compressed or under another name, with other content."""
    if one != other and _content(one) != _content(other):
        _refuse(other, f"its content differs from that of {one.name}")


def upright(images: Tensor, name: str) -> Tensor:
    """Images (N, H, W) in reading orientation; EMNIST stores them transposed."""
    return (
        rearrange(images, "image column row -> image row column").contiguous() if name.startswith("emnist") else images
    )


def _refuse_folder(folder: Path, prefix: str, sets: Iterable[str]) -> NoReturn:
    known = ", ".join(repr(str(folder / name)) for name in sets)
    allowed = f"one of {known}" if known else "a folder with files like train-images-idx3-ubyte.gz"
    argument_error("source", str(folder / prefix), allowed)
