"""What a trained image GAN is made of: its game, its data, and a checkpoint's parameters."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import torch

from experiments.images.presets import RAW, Preset
from odegan import ArgumentError, gan, nets
from odegan.games.network import NetworkGame
from odegan.metrics import load_digits
from odegan.training.state import check_state
from odegan.utils import checkpoint
from odegan.utils.checks import choose, fail, one_line


def make_game(preset: Preset, **extras: Any) -> NetworkGame:
    """The game of the preset's networks and loss; extras are further keyword arguments of ``gan``."""
    pair = nets.get(preset.networks)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # spectral norm draws vectors that a resumed run must find as they were
        generator, discriminator = pair.generator(preset.latent), pair.discriminator()
    return gan(generator, discriminator, preset.loss, latent=preset.latent, **extras)


def open_data(preset: Preset, split: str = "train") -> Any:
    """The images (channels, size, size) in [-1, 1] that the preset names; all of scikit-learn's digits, as one tensor.

    Raises ``ArgumentError`` where they cannot be had.
    """
    if preset.data == "digits":
        if split != "train":
            fail("split", split, "train: scikit-learn's digits are one set")
        return load_digits()[0]
    from odegan.data import images

    crop = {"none": None, "center": "center"}.get(preset.crop) if not preset.crop.isdecimal() else int(preset.crop)
    return images(
        preset.data,
        size=preset.size,
        split=split,
        flip=preset.flip,
        crop=crop,
        dequantise=preset.dequantise,
        channels=preset.channels,
    )


def split_of(data: Any) -> str:
    """What scores call the part of the data that they are of."""
    return "all" if isinstance(data, torch.Tensor) else data.split


class Trained(NamedTuple):
    """A checkpoint of ``train``: the preset as it was run, its game, time, steps done, and parameters by name ("raw", or an
    average).
    """

    preset: Preset
    game: NetworkGame
    t: float
    step: int
    states: dict[str, torch.Tensor]

    def state(self, name: str | None) -> torch.Tensor:
        """The parameters of that name; None: those that the run itself scored."""
        name = self.preset.scored if name is None else choose("average", name, [RAW, *self.preset.averages])
        if name not in self.states:
            fail("average", name, f"one of {', '.join(self.states)}: it had not begun at step {self.step}")
        return self.states[name]


def to_plain(preset: Preset) -> dict[str, Any]:
    """The preset as a checkpoint keeps it."""
    return asdict(preset)


def load(path: Path, device: str) -> Trained:
    """Read a checkpoint of ``train``.

    Raises ``ArgumentError`` for a file that is missing, damaged, or of another program.
    """
    try:
        payload = checkpoint.load(path, device)
    except FileNotFoundError:
        fail("checkpoint", str(path), "an existing file")
    try:
        *averages, monitor = payload["callbacks"]
        preset = Preset(**monitor["preset"])
        preset.check()
        states = {RAW: payload["y"]} | {
            name: kept["y"] for name, kept in zip(preset.averages, averages, strict=True) if kept["y"] is not None
        }
        found = Trained(preset, make_game(preset), payload["t"], monitor["step"], states)
        for y in states.values():
            check_state(found.game, y)
    except (LookupError, TypeError, ValueError, AttributeError) as error:  # whatever a file may hold
        reason = one_line(error) or type(error).__name__
        raise ArgumentError(
            f"checkpoint: got {str(path)!r}, which is none of `experiments.images train` ({reason})"
        ) from error
    return found
