"""What a trained image GAN is made of: its game, its data, and a checkpoint's parameters."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import torch

from experiments.presets import RAW, Preset
from odegan import ArgumentError, checkpoint, gan, nets
from odegan.checks import choose, fail
from odegan.metrics import load_digits
from odegan.network import NetworkGame


def make_game(preset: Preset, **extras: Any) -> NetworkGame:
    """The game of the preset's networks and loss; extras are further keyword arguments of ``gan``."""
    pair = nets.get(preset.networks)
    return gan(pair.generator(preset.latent), pair.discriminator(), preset.loss, latent=preset.latent, **extras)


def open_data(preset: Preset, split: str = "train") -> Any:
    """The images (channels, size, size) in [-1, 1] that the preset names; all of scikit-learn's digits, as one tensor.

    Raises ``ArgumentError`` where they cannot be had.
    """
    if preset.data == "digits":
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


class Trained(NamedTuple):
    """A checkpoint of ``train``: the preset as it was run, time, steps done, and parameters by name ("raw", or an average)."""

    preset: Preset
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
    callbacks = payload.get("callbacks") or [{}]
    *averages, monitor = callbacks
    if "preset" not in monitor:
        raise ArgumentError(f"checkpoint: got {str(path)!r}, which is none of `experiments.images train`")
    preset = Preset(**monitor["preset"])
    states = {RAW: payload["y"]}
    states |= {name: kept["y"] for name, kept in zip(preset.averages, averages, strict=True) if kept["y"] is not None}
    return Trained(preset, payload["t"], monitor["step"], states)
