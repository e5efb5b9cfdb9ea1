"""Latents: infer their shape from a generator, and draw them."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import nn

from odegan.utils.checks import check_int, check_number
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


def truncated(latents: torch.Tensor, a: float) -> torch.Tensor:
    """Standard normal latents, of any shape, mapped to standard normal ones truncated to [-a, a].

    z -> Phi^-1(Phi(-a) + (1 - 2 Phi(-a)) Phi(z)) in each entry, with the normal distribution function Phi: increasing, and
    nearly the identity for large a. A generator's samples become more typical and less varied as a falls. Source: the
    truncation trick of BigGAN (Brock, Donahue and Simonyan, 2019), which draws entries beyond a again; the law is the same.

    Args:
        latents: floating point.
        a: positive.

    Examples:
        >>> truncated(torch.tensor([-4.0, 0.0, 1.0]), 1.0).numpy().round(3)
        array([-1.   ,  0.   ,  0.622], dtype=float32)
    """
    a = check_number("truncation", a, low=0.0, strict=True)
    # On the CPU, as latents are drawn: some devices have no float64. By the lower tail, where Phi keeps its digits.
    z = latents.detach().cpu().double()
    below = _tail(torch.tensor(a, dtype=torch.float64))
    kept = torch.special.ndtri(below + (1 - 2 * below) * _tail(z.abs()))
    return torch.copysign(kept.clamp(-a, 0.0), z).to(latents)


def _tail(z: torch.Tensor) -> torch.Tensor:
    """Phi(-z), accurate for large z, where torch.special.ndtr(-z) is 0."""
    return torch.special.erfc(z / math.sqrt(2)) / 2


def placed(latent: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Latents moved to the device of ``like`` and, unless they are integers such as labels, converted to its dtype."""
    return latent.to(like) if latent.is_floating_point() else latent.to(like.device)
