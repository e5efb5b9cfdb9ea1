"""``images``: encoded images from anywhere as a map-style data set of tensors in [-1, 1]."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace

import torch
from torch.utils.data import Dataset

from odegan.data.decoding import MODES, RESIZE, decoded
from odegan.data.sources import Encoded, Source, find
from odegan.utils.checks import argument_error, check_bool, check_int

Item = torch.Tensor | tuple[torch.Tensor, int]
_READ_WHOLE = 2**28  # bytes of a data set that a fingerprint reads; beyond it
_PROBES = 64  # images, and what their source tells


def images(
    source: Source,
    *,
    size: int,
    split: str = "train",
    flip: bool = False,
    crop: str | int | None = "center",
    dequantize: bool = False,
    channels: int = 3,
    labels: bool = False,
) -> ImageDataset:
    """A data set of images (channels, size, size) in [-1, 1], float32, each decoded when it is asked for.

    An image is turned as its EXIF says, converted to RGB or grey (ITU-R 601 luma; an alpha channel is dropped), cropped to a
    square, resized by Pillow's bicubic filter (antialiased, with 8-bit results), and scaled: level v = 0..255 becomes
    v / 127.5 - 1. With ``dequantize`` it becomes (v + u) / 128 - 1 with u uniform in [0, 1), which spreads every level over
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
        dequantize: add noise as above.
        channels: 3 or 1.
        labels: give pairs (image, class): the table's column of classes, or the numbers of the subfolders in the order of their
            names.

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
    size = check_int("size", size, low=1)
    if crop is not None and crop != "center":
        crop = (
            argument_error("crop", crop, "'center', a number or None")
            if isinstance(crop, str)
            else check_int("crop", crop, low=1)
        )
    if channels not in tuple(MODES):
        argument_error("channels", channels, "1 or 3")
    for name, value in {"flip": flip, "dequantize": dequantize, "labels": labels}.items():
        check_bool(name, value)
    if not isinstance(split, str) or not split:
        argument_error("split", split, "the name of a split")
    encoded = find(source, split)
    targets = torch.tensor(encoded.targets()) if labels else None
    return ImageDataset(encoded, size, split, flip, crop, dequantize, channels, targets)


@dataclass(frozen=True)
class ImageDataset(Dataset[Item]):
    """Map-style: ``data[i]`` is a tensor (channels, size, size), or with ``targets`` (N,) a pair of it and its class. Made by
    ``images``; travels to worker processes.
    """

    encoded: Encoded = field(repr=False)
    size: int
    split: str
    flip: bool
    crop: str | int | None
    dequantize: bool
    channels: int
    targets: torch.Tensor | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.encoded)

    def __getitem__(self, i: int) -> Item:
        n = len(self)
        if not -n <= i < n:
            raise IndexError(f"index {i} is out of range for {n} images")
        image = self._image(i % n)
        return image if self.targets is None else (image, int(self.targets[i]))

    def _image(self, i: int) -> torch.Tensor:
        levels = self.levels(i)
        if self.flip and torch.rand(()) < 0.5:
            levels = levels.flip(-1)
        if self.dequantize:
            return (levels + torch.rand(levels.shape)) / 128 - 1
        return levels.float() / 127.5 - 1

    def levels(self, i: int) -> torch.Tensor:
        """The i-th image's 8-bit levels (channels, size, size), cropped and resized, without the random parts."""
        return decoded(self.encoded, i, self.channels, self.crop, self.size)

    def still(self) -> ImageDataset:
        """The same images without the random parts, as an evaluation needs them."""
        return replace(self, flip=False, dequantize=False)

    def __odegan_fingerprint__(self) -> list[object]:
        """The images' bytes up to 256 MiB in all; of those beyond, 64 and what their source says of the rest: the files'
        sizes, or the table's own fingerprint. And what is done to them.
        """
        n = len(self)
        size = 0
        read = 0
        digest = hashlib.sha256()
        while read < n and size <= _READ_WHOLE:
            content = self.encoded.read(read)
            size = size + len(content)
            read = read + 1
            digest.update(hashlib.sha256(content).digest())
        for i in sorted({read + k * (n - 1 - read) // (_PROBES - 1) for k in range(_PROBES)} if read < n else ()):
            digest.update(hashlib.sha256(self.encoded.read(i)).digest())
        beyond = self.encoded.told(range(read, n)) if read < n else None
        shown = [self.size, self.split, self.flip, self.crop, self.dequantize, self.channels]
        return ["images", n, digest.hexdigest()[:16], beyond, *shown, RESIZE, self.targets]
