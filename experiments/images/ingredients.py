"""What an image GAN is made of: its game and its data."""

from __future__ import annotations

from typing import Any

import torch

from experiments.images.preset import Preset
from odegan import gan, nets
from odegan.data import ImageDataset, images, load_digits
from odegan.games.network import NetworkGame
from odegan.utils.checks import argument_error

DIGITS = "digits"  # the data that are one tensor
Images = torch.Tensor | ImageDataset


def make_game(preset: Preset, **extras: Any) -> NetworkGame:
    """The game of the preset's networks and loss; extras are further keyword arguments of ``gan``."""
    pair = nets.get(preset.networks)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # spectral norm draws vectors that a resumed run must find as they were
        generator = pair.generator(preset.latent)
        discriminator = pair.discriminator()
    return gan(generator, discriminator, preset.loss, latent=preset.latent, **extras)


def open_data(preset: Preset, split: str = "train") -> Images:
    """The images (channels, size, size) in [-1, 1] that the preset names; all of scikit-learn's digits, as one tensor.

    Raises ``ArgumentError`` where they cannot be had.
    """
    if preset.data == DIGITS:
        if split != "train":
            argument_error("split", split, "train: scikit-learn's digits are one set")
        return load_digits()[0]
    crop = {"none": None, "center": "center"}.get(preset.crop) if not preset.crop.isdecimal() else int(preset.crop)
    return images(
        preset.data,
        size=preset.size,
        split=split,
        flip=preset.flip,
        crop=crop,
        dequantize=preset.dequantize,
        channels=preset.channels,
    )


def split_of(data: Images) -> str:
    """What scores call the part of the data that they are of."""
    return "all" if isinstance(data, torch.Tensor) else data.split
