"""``images``: encoded images of any source as a map-style data set of tensors in [-1, 1]."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace

import torch
from torch.utils.data import Dataset

from odegan.data.decoding import MODES, RESIZE, decoded
from odegan.data.sources import Encoded, Source, find
from odegan.utils.checks import argument_error, check_bool, check_int

Item = torch.Tensor | tuple[torch.Tensor, int]
_READ_WHOLE = 2**28  # bytes of a data set that a fingerprint reads in full
_PROBES = 64  # images that it reads beyond these bytes, with a description of the rest by its source


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
    """A data set of images (channels, size, size) in [-1, 1], float32, each decoded when it is read.

    An image is rotated as its EXIF data say, converted to RGB or gray (ITU-R 601 luma; an alpha channel is dropped), cropped to
    a square, resized by Pillow's bicubic filter (antialiased, with 8-bit results), and scaled: level v = 0..255 becomes v /
    127.5 - 1. With ``dequantize`` it becomes (v + u) / 128 - 1 with u uniform in [0, 1), which spreads every level over its own
    8-bit bin and fills [-1, 1) evenly.

    Random transforms draw from torch's global generator, which ``odeint_gan`` seeds for every item, so that they depend only
    on the seed, the minibatch's index and the item's position in it, not on the process that loads it.

    Args:
        source: "cifar10", "celeba" or "imagenet" from the Hugging Face hub; or a path: a copy of a hub's repository, a data
            set saved by ``save_to_disk``, a folder of images (with subfolders, in the order of their paths), a parquet file or
            a list of them.
        size: height and width in pixels.
        split: "train", or another that the source has; of a folder, the subfolder of that name.
        flip: flip horizontally with probability 1/2.
        crop: "center": the largest central square; a number n: the central n x n pixels of the original; None: no crop, which
            requires square images.
        dequantize: add uniform noise as above.
        channels: 3 or 1.
        labels: return pairs (image, class). The class comes from the table's column, or is the index of the subfolder in
            alphabetical order, counted over all splits of the source (train, test, val, valid, validation), so that a split
            without images of a class numbers the others as the rest do.

    Raises:
        ArgumentError: a wrong argument; the source is empty; the hub cannot be reached (the message says what to fetch).
            Reading an item raises it, with the file's name, if the file is not an 8-bit image or is too small for the crop.

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
    # A tensor, not a list: worker processes share its memory.
    targets = torch.tensor(encoded.targets()) if labels else None
    return ImageDataset(encoded, size, split, flip, crop, dequantize, channels, targets)


@dataclass(frozen=True)
class ImageDataset(Dataset[Item]):
    """A map-style data set; made by ``images``, and picklable for worker processes.

    ``data[i]`` is a tensor (channels, size, size), or the pair of this and its class if there are ``targets`` (N,).

    Attributes:
        encoded: the N images as files hold them.
        size: pixels of a side.
        split: "train" or another one of the source.
        flip: whether images are mirrored at random.
        crop: None, "center", or pixels of a square in the middle.
        dequantize: whether uniform noise below one gray level is added.
        channels: 1 or 3.
        targets: (N,) classes, or None.

    Examples:
        >>> import tempfile
        >>> import numpy as np
        >>> from PIL import Image
        >>> from odegan.data import images
        >>> folder = tempfile.mkdtemp()
        >>> Image.fromarray(np.zeros((8, 8, 3), dtype=np.uint8)).save(f"{folder}/black.png")
        >>> data = images(folder, size=8)
        >>> len(data), data[0].shape, float(data[0].max())
        (1, torch.Size([3, 8, 8]), -1.0)
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
        # Python's iteration protocol ends at an IndexError; any other error would make ``for image in data`` fail.
        if not -n <= i < n:
            raise IndexError(f"index {i} is out of range for {n} images")
        image = self._image(i % n)
        return image if self.targets is None else (image, int(self.targets[i]))

    def _image(self, i: int) -> torch.Tensor:
        levels = self.levels(i)
        # Torch's generator, not Python's: it is the one that is seeded for each minibatch in every process.
        if self.flip and torch.rand(()) < 0.5:
            levels = levels.flip(-1)
        # Divided by 128, not 127.5: v + u lies in [0, 256), a whole number of bins.
        if self.dequantize:
            return (levels + torch.rand(levels.shape)) / 128 - 1
        return levels.float() / 127.5 - 1

    def levels(self, i: int) -> torch.Tensor:
        """The i-th image's 8-bit levels (channels, size, size), cropped and resized, without random transforms."""
        return decoded(self.encoded, i, self.channels, self.crop, self.size)

    def still(self) -> ImageDataset:
        """The same images without random transforms, for evaluation."""
        return replace(self, flip=False, dequantize=False)

    def __odegan_fingerprint__(self) -> list[object]:
        """A digest of the images and of what is done to them.

        Up to 256 MiB all bytes are read; beyond, those of 64 images, and file sizes or the table's own fingerprint for the
        rest.
        """
        n = len(self)
        size = 0
        read = 0
        digest = hashlib.sha256()
        # Hashed one by one, so that memory holds one image, and file borders count.
        while read < n and size <= _READ_WHOLE:
            content = self.encoded.read(read)
            size = size + len(content)
            read = read + 1
            digest.update(hashlib.sha256(content).digest())
        for i in sorted({read + k * (n - 1 - read) // (_PROBES - 1) for k in range(_PROBES)} if read < n else ()):
            digest.update(hashlib.sha256(self.encoded.read(i)).digest())
        # Reading all of ImageNet would take hours; names, sizes and a sample of contents do for telling sets apart.
        beyond = self.encoded.description(range(read, n)) if read < n else None
        shown = [self.size, self.split, self.flip, self.crop, self.dequantize, self.channels]
        return ["images", n, digest.hexdigest()[:16], beyond, *shown, RESIZE, self.targets]
