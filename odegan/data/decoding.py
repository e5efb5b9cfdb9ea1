"""Decode images to 8-bit levels with Pillow."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
import torch
from einops import rearrange

from odegan.data.sources import Encoded
from odegan.utils.checks import ArgumentError, one_line

if TYPE_CHECKING:
    from PIL.Image import Image

RESIZE = "Pillow bicubic, antialiased, 8 bit"
MODES = {1: "L", 3: "RGB"}


def decoded(
    encoded: Encoded, i: int, channels: int, crop: str | int | None = None, size: int | None = None
) -> torch.Tensor:
    """The i-th image's levels (channels, size, size) uint8, cropped to a square and resized; unchanged if ``size`` is None."""
    try:
        picture = _picture(encoded.read(i), MODES[channels])
        square = picture if size is None else _cropped(picture, crop)
    except ArgumentError:
        raise
    except Exception as error:  # Pillow's decoders raise errors of many kinds
        reason = one_line(error).partition(" <_io.BytesIO")[0] or type(error).__name__
        raise ArgumentError(f"data: got {encoded.name(i)}, which is not a usable image ({reason})") from error
    return _levels(square if size is None else _resized(square, size))


def _picture(content: bytes, mode: str) -> Image:
    from PIL import Image, ImageOps

    with Image.open(io.BytesIO(content)) as picture:
        # Pillow would clip such levels to 8 bits without a word.
        if picture.mode.startswith(("I", "F")):
            raise ValueError(f"it has more than 8 bits per channel, mode {picture.mode}")
        # Cameras store the pixels as the sensor gave them, and the orientation in the metadata.
        return ImageOps.exif_transpose(picture).convert(mode)


def _cropped(picture: Image, crop: str | int | None) -> Image:
    width, height = picture.size
    if crop is None and width != height:
        raise ValueError(f"it is {width} x {height} pixels, and not square as crop=None needs it")
    side = crop if isinstance(crop, int) else min(width, height)
    if side > min(width, height):
        raise ValueError(f"it is {width} x {height} pixels, too small for crop={crop}")
    left = (width - side) // 2
    top = (height - side) // 2
    return picture.crop((left, top, left + side, top + side))


def _resized(picture: Image, size: int) -> Image:
    from PIL.Image import Resampling

    return picture.resize((size, size), Resampling.BICUBIC)


def _levels(picture: Image) -> torch.Tensor:
    """A Pillow image as levels (channels, H, W) uint8."""
    levels = np.array(picture)
    pattern = "row column -> 1 row column" if levels.ndim == 2 else "row column channel -> channel row column"
    # A copy in this memory order, since from_numpy would keep the strides of a channels-last view.
    return torch.from_numpy(rearrange(levels, pattern).copy())
