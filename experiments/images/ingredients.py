"""The ingredients of an image GAN: its game and its data."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import nn

from experiments.images.preset import Preset
from odegan import gan, nets
from odegan.data import ImageDataset, LabeledImages, idx, images, load_digits
from odegan.data.labeled_images import HUB as IDX_HUB
from odegan.data.labeled_images import holds_idx
from odegan.data.sources import HUB
from odegan.games.network import NetworkGame
from odegan.utils.checks import ArgumentError, argument_error, did_you_mean, one_line
from odegan.utils.random_streams import check_seed

DIGITS = "digits"  # the data that are one tensor
HELD_OUT_DIGITS = 397  # of the 1,797; 1,400 remain for the classifier to train on
CLOTHES = ("T-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
DIGITS_SIZE = 8  # pixels of their sides
Images = torch.Tensor | LabeledImages | ImageDataset
Training = Images | tuple[torch.Tensor, torch.Tensor]  # images, or images and their classes


class Classes(NamedTuple):
    """Images (N, C, H, W), floating point in [-1, 1] or 8-bit levels, and their classes (N,)."""

    images: torch.Tensor
    labels: torch.Tensor

    def rows(self, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Some of the images, in [-1, 1], and their classes."""
        found = self.images[rows]
        return found if found.is_floating_point() else found.float() / 127.5 - 1, self.labels[rows]


def make_game(preset: Preset, seed: int = 0, **extras: Any) -> NetworkGame:
    """The game of the preset's networks and loss.

    Args:
        preset: names the networks, the loss and the width of the latents.
        seed: of what the networks draw when they are made. All commands make them with seed 0, so that what is not trained,
            such as the vectors of spectral norm, is the same in a resumed run and for its checkpoints.
        extras: further keyword arguments of ``gan``.

    Raises:
        ArgumentError: the networks cannot be made.
    """
    pair = nets.get(preset.networks)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(check_seed(seed))
        generator = _made(preset, "generator", lambda: pair.generator(preset.latent))
        discriminator = _made(preset, "discriminator", pair.discriminator)
    conditional = None if pair.classes is None else True
    return gan(generator, discriminator, preset.loss, latent=preset.latent, conditional=conditional, **extras)


def _made(preset: Preset, role: str, factory: Callable[[], nn.Module]) -> nn.Module:
    """What a factory of the preset's networks returns; whatever a user's own raises, in one line."""
    try:
        return factory()
    except Exception as error:
        reason = one_line(error) or type(error).__name__
        raise ArgumentError(f"networks: got {preset.networks!r}, whose {role} cannot be made ({reason})") from error


def open_data(preset: Preset, split: str = "train") -> Images:
    """The preset's images (channels, size, size) in [-1, 1]; scikit-learn's digits are one tensor.

    Raises ``ArgumentError`` if they are not available.
    """
    if preset.data == DIGITS:
        if split != "train":
            argument_error("split", split, "train: scikit-learn's digits are one set")
        return _digits(preset)[0]
    if holds_idx(preset.data):
        return _gray(preset, split)
    known = [DIGITS, *HUB, *IDX_HUB]
    if preset.data not in known and not os.path.exists(os.path.expanduser(preset.data)):
        near = did_you_mean(preset.data, known)
        argument_error("data", preset.data, f"one of {', '.join(known)}, or an existing path{near}")
    crop = {"none": None, "center": "center"}.get(preset.crop) if not preset.crop.isdecimal() else int(preset.crop)
    found = images(
        preset.data,
        size=preset.size,
        split=split,
        flip=preset.flip,
        crop=crop,
        dequantize=preset.dequantize,
        channels=preset.channels,
        labels=preset.classes is not None,
    )
    if found.targets is not None:
        _check_classes(preset, found.targets)
    return found


def training_data(preset: Preset) -> Training:
    """The preset's training images, and for class-conditional networks their classes."""
    data = open_data(preset)
    return _digits(preset) if preset.data == DIGITS and preset.classes is not None else data


def _digits(preset: Preset) -> Classes:
    """The digits with their classes, refused for networks of another size or of fewer classes."""
    _check_held(preset)
    if preset.size != DIGITS_SIZE:
        argument_error(
            "networks", f"{preset.networks}, of size {preset.size}", f"of size {DIGITS_SIZE}, as the digits are"
        )
    found = Classes(*load_digits())
    _check_classes(preset, found.labels)
    return found


def _gray(preset: Preset, split: str) -> LabeledImages:
    """A set of idx files, padded to the size of the networks."""
    _check_held(preset)
    found = idx(preset.data, split=split, size=preset.size)
    _check_classes(preset, found.targets)
    return found


def _check_held(preset: Preset) -> None:
    """Refuse what does not fit gray images that are held in memory, of which nothing changes but the padding."""
    if preset.channels != 1:
        argument_error("networks", preset.networks, f"networks for images of one channel, as those of {preset.data!r}")
    for name, left_out in {"flip": False, "crop": "center", "dequantize": False}.items():
        if getattr(preset, name) != left_out:
            argument_error(
                name, getattr(preset, name), f"{left_out} with {preset.data!r}, whose images are held as they are"
            )


def _check_classes(preset: Preset, labels: torch.Tensor) -> None:
    """Refuse data of more classes than class-conditional networks have."""
    highest = int(labels.max())
    if preset.classes is not None and highest >= preset.classes:
        argument_error(
            "data", preset.data, f"of at most {preset.classes} classes, as the networks; it has {highest + 1}"
        )


def classes_of(preset: Preset) -> tuple[Classes, Classes] | None:
    """Training and held-out images with their classes, for a classifier; None if the data have no classes."""
    if preset.data == DIGITS:
        found = Classes(*load_digits())
        order = torch.randperm(len(found.images), generator=torch.Generator().manual_seed(0))
        held_out, train = order.split([HELD_OUT_DIGITS, len(order) - HELD_OUT_DIGITS])
        return Classes(*found.rows(train)), Classes(*found.rows(held_out))
    if not holds_idx(preset.data):
        return None
    train, test = (_gray(preset, split) for split in ("train", "test"))
    return Classes(train.levels, train.targets), Classes(test.levels, test.targets)


def names_of_classes(preset: Preset) -> list[str]:
    """The names of the classes of a class-conditional preset; numbers if they have no names."""
    assert preset.classes is not None
    return list(CLOTHES) if "fashion" in preset.data else list(map(str, range(preset.classes)))


def split_of(data: Images) -> str:
    """The name of the split, as scores record it."""
    return "all" if isinstance(data, torch.Tensor) else data.split
