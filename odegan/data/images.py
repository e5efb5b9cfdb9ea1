"""``images``: encoded images from anywhere as a map-style data set of tensors in [-1, 1]."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from odegan.data.sources import Encoded, Source, find
from odegan.utils.checks import ArgumentError, fail, flag, one_line, whole

RESIZE = "Pillow bicubic, antialiased, 8 bit"
_MODES = {1: "L", 3: "RGB"}
_PROBES = 64  # images whose bytes stand for all in a fingerprint


def images(
    source: Source,
    *,
    size: int,
    split: str = "train",
    flip: bool = False,
    crop: str | int | None = "center",
    dequantise: bool = False,
    channels: int = 3,
) -> ImageDataset:
    """A data set of images (channels, size, size) in [-1, 1], float32, each decoded when it is asked for.

    An image is turned as its EXIF says, converted to RGB or grey (ITU-R 601 luma; an alpha channel is dropped), cropped to a
    square, resized by Pillow's bicubic filter (antialiased, with 8-bit results), and scaled: level v = 0..255 becomes
    v / 127.5 - 1. With ``dequantise`` it becomes (v + u) / 128 - 1 with u uniform in [0, 1), which spreads every level over
    its own 8-bit bin and fills [-1, 1) evenly.

    Random parts draw from torch's global generator, which ``odeint_gan`` seeds for every minibatch: they are a function of
    (seed, index of the minibatch) whatever process loads it.

    Args:
        source: "cifar10", "celeba" or "imagenet" from the Hugging Face hub; or a path: a copy of a hub's repository, a data
            set saved by ``save_to_disk``, a folder of images (with subfolders, in the order of their paths), a parquet file or
            a list of them.
        size: height and width in pixels.
        split: "train", or another that the source has; of a folder, the subfolder of that name.
        flip: mirror left and right with probability 1/2.
        crop: "center": the largest square in the middle; a number: a square of so many pixels of the original in the middle;
            None: nothing, so that images must be square.
        dequantise: add noise as above.
        channels: 3 or 1.

    Raises:
        ArgumentError: a wrong argument; nothing at the source; the hub cannot be reached, with what to fetch where. Reading
            an image raises it with the file's name, where that is no 8-bit image or too small for the crop.

    Examples:
        >>> import tempfile
        >>> from PIL import Image
        >>> folder = tempfile.mkdtemp()
        >>> Image.new("RGB", (12, 8), (0, 255, 0)).save(f"{folder}/green.png")
        >>> data = images(folder, size=4)
        >>> len(data), data[0].shape, data[0][:, 0, 0]
        (1, torch.Size([3, 4, 4]), tensor([-1.,  1., -1.]))
    """
    size = whole("size", size, low=1)
    if crop is not None and crop != "center":
        crop = fail("crop", crop, "'center', a number or None") if isinstance(crop, str) else whole("crop", crop, low=1)
    if channels not in tuple(_MODES):
        fail("channels", channels, "1 or 3")
    for name, value in {"flip": flip, "dequantise": dequantise}.items():
        flag(name, value)
    if not isinstance(split, str) or not split:
        fail("split", split, "the name of a split")
    return ImageDataset(find(source, split), size, split, flip, crop, dequantise, channels)


@dataclass(frozen=True)
class ImageDataset(Dataset[torch.Tensor]):
    """Map-style: ``data[i]`` is a tensor (channels, size, size). Made by ``images``; travels to worker processes."""

    encoded: Encoded = field(repr=False)
    size: int
    split: str
    flip: bool
    crop: str | int | None
    dequantise: bool
    channels: int

    def __len__(self) -> int:
        """How many images there are."""
        return len(self.encoded)

    def __getitem__(self, i: int) -> torch.Tensor:
        """The i-th image."""
        n = len(self)
        if not -n <= i < n:
            raise IndexError(f"index {i} is out of range for {n} images")
        levels = self.levels(i % n)
        if self.flip and torch.rand(()) < 0.5:
            levels = levels.flip(-1)
        if self.dequantise:
            return (levels + torch.rand(levels.shape)) / 128 - 1
        return levels.float() / 127.5 - 1

    def levels(self, i: int) -> torch.Tensor:
        """The i-th image's 8-bit levels (channels, size, size), cropped and resized, without the random parts."""
        try:
            picture = _decoded(self.encoded.read(i), _MODES[self.channels])
            square = _cropped(picture, self.crop)
        except ArgumentError:
            raise
        except Exception as error:  # Pillow raises whatever its decoders raise
            reason = one_line(error).partition(" <_io.BytesIO")[0] or type(error).__name__
            raise ArgumentError(
                f"data: got {self.encoded.name(i)}, which is no image that can be used ({reason})"
            ) from error
        return _resized(square, self.size)

    def still(self) -> ImageDataset:
        """The same images without the random parts, as an evaluation needs them."""
        return replace(self, flip=False, dequantise=False)

    def fingerprint(self) -> Any:
        """Number of images, the contents of up to 64 of them spread over the whole, and what is done to them."""
        n = len(self)
        digest = hashlib.sha256()
        for i in sorted({k * (n - 1) // max(_PROBES - 1, 1) for k in range(_PROBES)}):
            digest.update(hashlib.sha256(self.encoded.read(i)).digest())
        shown = [self.size, self.split, self.flip, self.crop, self.dequantise, self.channels]
        return ["images", n, digest.hexdigest()[:16], *shown, RESIZE]


def _decoded(content: bytes, mode: str) -> Any:
    from PIL import Image, ImageOps

    with Image.open(io.BytesIO(content)) as picture:
        if picture.mode.startswith(("I", "F")):
            raise ValueError(f"it has more than 8 bits a channel, mode {picture.mode}")
        return ImageOps.exif_transpose(picture).convert(mode)


def _cropped(picture: Any, crop: str | int | None) -> Any:
    width, height = picture.size
    if crop is None and width != height:
        raise ValueError(f"it is {width} x {height} pixels, and not square as crop=None needs it")
    side = crop if isinstance(crop, int) else min(width, height)
    if side > min(width, height):
        raise ValueError(f"it is {width} x {height} pixels, too small for crop={crop}")
    left, top = (width - side) // 2, (height - side) // 2
    return picture.crop((left, top, left + side, top + side))


def _resized(picture: Any, size: int) -> torch.Tensor:
    """Square Pillow image -> (channels, size, size) uint8."""
    from PIL.Image import Resampling

    levels = torch.from_numpy(np.array(picture.resize((size, size), Resampling.BICUBIC)))
    return levels.reshape(size, size, -1).permute(2, 0, 1).contiguous()
