"""Latents: infer their shape from a generator, and draw them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from odegan.utils.checks import check_int
from odegan.utils.random_streams import reseed

LatentFunction = Callable[[int, torch.Generator], torch.Tensor]
Latent = int | tuple[int, ...] | LatentFunction | None
LatentShape = tuple[int, ...] | LatentFunction | None


def latent_shape(generator: nn.Module, latent: Latent) -> LatentShape:
    """The shape of one latent or the function that draws latents; by default the input shape of the generator's first layer.

    None if the first layer does not determine the shape.
    """
    if callable(latent):
        return latent
    if latent is not None:
        return tuple(check_int("latent", n, low=1) for n in (latent if isinstance(latent, tuple | list) else (latent,)))
    for part in generator.modules():
        if isinstance(part, nn.Linear):
            return (part.in_features,)
        if isinstance(part, nn.ConvTranspose2d):
            return (part.in_channels, 1, 1)
        if isinstance(part, nn.Embedding):  # of labels
            continue
        # Another layer with parameters comes first, as a Conv2d, and its input's shape is not in its weights.
        if next(iter(part.parameters(recurse=False)), None) is not None:
            return None
    return None


def draw_latents(latent: LatentShape, n: int, seed: int, like: torch.Tensor) -> torch.Tensor:
    """n latents (n, ...) on the device of ``like``, drawn on the CPU so that every device gets the same ones."""
    draw = reseed(torch.Generator(), seed)
    if callable(latent):
        return placed(latent(n, draw), like)
    # In float32 whatever the default is, as runs draw them.
    return placed(torch.randn(n, *latent or (), generator=draw, dtype=torch.float32), like)


def placed(latent: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Latents moved to the device of ``like`` and, unless they are integers such as labels, converted to its dtype."""
    return latent.to(like) if latent.is_floating_point() else latent.to(like.device)
