"""Samplers of a preset's generator, and interpolations between latents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from einops import rearrange, repeat
from torch.nn.modules.batchnorm import _BatchNorm

from experiments.images.preset import Preset
from odegan import Batch
from odegan.games.labels import Label
from odegan.games.latents import draw_latents
from odegan.games.network import NetworkGame
from odegan.games.sampling import GameSampler
from odegan.utils.checks import argument_error

ESTIMATED = 100  # minibatches over which BatchNorm's statistics are averaged for an export
STATISTICS_SEED = 7  # of their latents: other ones than any score's
PIECE = 256  # images at once where no layer couples them


class MixedSampler(GameSampler):
    """A sampler with batch statistics whose pieces have all classes in like number, in whatever order they are asked for."""

    def images(self, latents: torch.Tensor, label: Label = None) -> torch.Tensor:
        """Samples (n, ...) for latents (n, ...) and labels (n,)."""
        labels = self._game.labels_to_draw(label, len(latents), self._y)
        if labels is None:
            return super().images(latents)
        pieces = -(-len(labels) // (self._piece or len(labels)))
        by_class = labels.argsort(stable=True)
        # Dealt to the pieces in turn.
        dealt = [by_class[first::pieces] for first in range(pieces)]
        drawn = torch.cat([super(MixedSampler, self).images(latents[own], labels[own]) for own in dealt])
        return drawn[torch.cat(dealt).argsort()]


def sampler(game: NetworkGame, y: torch.Tensor, preset: Preset, truncation: float | None = None) -> GameSampler:
    """A sampler of the generator at y (P,), of latents truncated to [-truncation, truncation] if that is given.

    Batch normalization uses statistics estimated for this y over 100 minibatches of latents that are not truncated, so that
    the generator stays the same function. With the preset's ``batch_statistics``, it uses those of each minibatch that is
    drawn, of the training's size, whose latents are truncated.
    """
    if not any(isinstance(part, _BatchNorm) for part in game.generator.template.modules()):
        return GameSampler(game, y, piece=PIECE, truncation=truncation)
    if preset.batch_statistics:
        return MixedSampler(game, y, piece=preset.batch_size, truncation=truncation)
    drawn = draw_latents((preset.latent,), ESTIMATED * preset.batch_size, STATISTICS_SEED, y)
    latents = rearrange(drawn, "(minibatch sample) ... -> minibatch sample ...", minibatch=ESTIMATED)
    labels: Sequence[torch.Tensor | None] = [None] * ESTIMATED
    if preset.classes is not None:
        # In one cycle through all minibatches, which need not be a multiple of the classes.
        cycle = torch.arange(len(drawn), device=y.device) % preset.classes
        labels = cycle.split(preset.batch_size)
    # Without real samples: only the generator is exported, and its norms see none.
    batches = [
        Batch(z.new_empty(0), z, label=None if label is None else label[:0], fake_label=label)
        for z, label in zip(latents, labels, strict=True)
    ]
    return GameSampler(game, y, batches, piece=PIECE, truncation=truncation)


class Grid(NamedTuple):
    """Images (n, C, H, W) and the columns of their grid; None: as nearly square as it can be."""

    images: torch.Tensor
    columns: int | None


def grid(draw: GameSampler, preset: Preset, count: int, seed: int) -> Grid:
    """At most ``count`` images of a generator, but at least one per class: one row per class if it is class-conditional."""
    if preset.classes is None:
        return Grid(draw(count, seed), None)
    columns = max(1, count // preset.classes)
    labels = repeat(torch.arange(preset.classes), "row -> (row column)", column=columns)
    return Grid(draw(len(labels), seed, labels), columns)


def of_class(draw: GameSampler, preset: Preset, count: int, seed: int, label: int) -> torch.Tensor:
    """Images (count, C, H, W) of one class; with batch statistics from minibatches of all classes, as in training."""
    if preset.classes is None or draw.normalization != "batch":
        return draw(count, seed, label)
    if not 0 <= label < preset.classes:
        argument_error("label", label, f"a class from 0 to {preset.classes - 1}")
    labels = torch.arange(count * preset.classes) % preset.classes
    return draw(len(labels), seed, labels)[labels == label]


def interpolations(starts: torch.Tensor, ends: torch.Tensor, count: int) -> torch.Tensor:
    """(n, d), (n, d) -> (n, count, d): on the great circle from each start to its end, both included.

    Points between two Gaussian latents keep their typical length this way; a straight line passes too near 0.

    >>> interpolations(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]]), 3)[0, 1]
    tensor([0.7071, 0.7071])
    """
    unit = torch.nn.functional.normalize
    # Clamped: rounding puts the cosine of equal latents above 1.
    angle = (unit(starts, dim=1) * unit(ends, dim=1)).sum(1).clamp(-1, 1).acos()[:, None, None]
    share = torch.linspace(0, 1, count).to(starts)[None, :, None]

    def weight(part: torch.Tensor) -> torch.Tensor:
        # sin(part angle) / sin(angle), by sinc, which is 1 where the angle between equal latents is 0.
        return part * torch.sinc(part * angle / torch.pi) / torch.sinc(angle / torch.pi)

    return weight(1 - share) * starts[:, None] + weight(share) * ends[:, None]
