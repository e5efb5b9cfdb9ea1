"""Differentiable transforms of images for an augmented game, and a table of them by name.

A transform is a function of images x (B, C, H, W) and uniform numbers u (B, n) in [0, 1), and draws nothing itself, so that the
field of an augmented game stays a pure function of its batch. Source of color, translation and cutout, with the widths of
their distributions: Zhao et al. 2020 (DiffAugment, "Differentiable Augmentation for Data-Efficient GAN Training").
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from einops import rearrange, reduce

from odegan.utils.checks import argument_error, check_arity, check_function, check_int, check_number, choose

Tensor = torch.Tensor
Apply = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Transform:
    """One transform.

    Attributes:
        name: for messages.
        numbers: n, the number of uniform numbers that ``apply`` reads per image.
        apply: (x (B, C, H, W), u (B, n)) -> (B, C, H, W), differentiable in x, which treats each image independently.

    Examples:
        >>> darker = Transform("darker", 1, lambda x, u: x - u[:, :, None, None])
        >>> darker.apply(torch.ones(1, 1, 1, 1), torch.tensor([[0.25]]))
        tensor([[[[0.7500]]]])
    """

    name: str
    numbers: int
    apply: Apply

    def __post_init__(self) -> None:
        check_int("numbers", self.numbers, low=0)
        check_function("apply", self.apply, 2, "a function of images and uniform numbers")


def flipped(x: Tensor, u: Tensor) -> Tensor:
    """Every image mirrored left to right with probability 1/2; u (B, 1)."""
    return torch.where(_for_each(u[:, 0] < 0.5), x.flip(-1), x)


def colored(x: Tensor, u: Tensor) -> Tensor:
    """Brightness, then saturation, then contrast; u (B, 3).

    x + b with b in [-1/2, 1/2); m + s (x - m) with s in [0, 2) and m the mean over channels at each pixel; the same with
    s in [1/2, 3/2) and m the mean of the image. Values may leave the range of the data.
    """
    brightness, saturation, contrast = (_for_each(column) for column in u.unbind(1))
    x = x + (brightness - 0.5)
    gray = reduce(x, "b c h w -> b 1 h w", "mean")
    x = gray + 2 * saturation * (x - gray)
    mean = reduce(x, "b c h w -> b 1 1 1", "mean")
    return mean + (contrast + 0.5) * (x - mean)


def translated(x: Tensor, u: Tensor, ratio: float = 1 / 8) -> Tensor:
    """Shift by whole pixels, up to ``ratio`` of height and of width either way, with zeros moving in; u (B, 2)."""
    for axis, column in ((2, u[:, 0]), (3, u[:, 1])):
        size = x.shape[axis]
        most = int(size * ratio + 0.5)
        # Each output pixel's source: a gather, which is differentiable and needs no Python number for a shift.
        source = torch.arange(size, device=x.device) - (_whole(column, 2 * most + 1) - most)[:, None]
        inside = (source >= 0) & (source < size)
        form = "b p -> b 1 p 1" if axis == 2 else "b p -> b 1 1 p"
        moved = torch.take_along_dim(x, rearrange(source.clamp(0, size - 1), form), axis)
        x = moved * rearrange(inside, form).to(x.dtype)
    return x


def cut_out(x: Tensor, u: Tensor, ratio: float = 1 / 2) -> Tensor:
    """Zero in a rectangle of ``ratio`` of height and of width, as far as it lies in the image; u (B, 2) is its place."""
    covered = []
    for axis, column in ((2, u[:, 0]), (3, u[:, 1])):
        size = x.shape[axis]
        length = int(size * ratio + 0.5)
        first = _whole(column, size + 1 - length % 2)[:, None] - length // 2
        position = torch.arange(size, device=x.device)
        covered.append((position >= first) & (position < first + length))
    rows, columns = covered
    hole = rearrange(rows, "b h -> b 1 h 1") & rearrange(columns, "b w -> b 1 1 w")
    return x * (~hole).to(x.dtype)


TRANSFORMS = {
    transform.name: transform
    for transform in (
        Transform("flip", 1, flipped),
        Transform("color", 3, colored),
        Transform("translation", 2, partial(translated, ratio=1 / 8)),
        Transform("cutout", 2, partial(cut_out, ratio=1 / 2)),
    )
}
Given = str | Transform
# The parameter is Any, since a function of time may be written for floats or for tensors.
Probability = float | Callable[[Any], float | Tensor]


@dataclass(frozen=True)
class Augmentation:
    """Transforms in sequence, each of which acts on each sample with the same probability, independently.

    A sample's numbers (K,) are, for each transform, whether it acts (0 or 1), then the numbers that it reads.
    """

    transforms: tuple[Transform, ...]
    probability: Probability

    @property
    def numbers(self) -> int:
        """K, the uniform numbers that one sample needs."""
        return sum(1 + transform.numbers for transform in self.transforms)

    def decided(self, u: Tensor, probability: float | Tensor) -> Tensor:
        """Uniform numbers (..., K) -> a sample's numbers: a transform acts where its first number is below the probability."""
        check_probability("probability", probability)
        own = list(u.split([1 + transform.numbers for transform in self.transforms], -1))
        return torch.cat([torch.cat([(part[..., :1] < probability).to(u), part[..., 1:]], -1) for part in own], -1)

    def __call__(self, x: Tensor, numbers: Tensor) -> Tensor:
        """x (B, C, H, W) transformed with numbers (B, K)."""
        for transform, own in zip(
            self.transforms, numbers.split([1 + t.numbers for t in self.transforms], -1), strict=True
        ):
            # Computed for all samples and selected afterwards: a choice of samples would have a shape that depends on values.
            x = torch.where(_for_each(own[:, 0] > 0), transform.apply(x, own[:, 1:]), x)
        return x


def augmentation(transforms: str | Sequence[Given], probability: Probability) -> Augmentation:
    """Transforms by name, or your own, and their probability, checked."""
    given = [name.strip() for name in transforms.split(",")] if isinstance(transforms, str) else transforms
    if not isinstance(given, Sequence) or not given:
        argument_error("transforms", transforms, f"names of {list(TRANSFORMS)}, or Transforms: at least one")
    found = tuple(
        one if isinstance(one, Transform) else TRANSFORMS[choose("transforms", one, TRANSFORMS)] for one in given
    )
    if callable(probability):
        check_arity("probability", probability, 1, "a number from 0 to 1, or a function of time")
    else:
        check_probability("probability", probability)
    return Augmentation(found, probability)


def check_probability(name: str, value: float | Tensor) -> float:
    """Return a number in [0, 1]."""
    check_number(name, value, low=0.0)
    if float(value) > 1:
        argument_error(name, value, "a number from 0 to 1, or a function of time")
    return float(value)


def _for_each(column: Tensor) -> Tensor:
    return rearrange(column, "b -> b 1 1 1")


def _whole(u: Tensor, n: int) -> Tensor:
    """Uniform whole numbers 0, ..., n - 1 from u in [0, 1), which half precision may have rounded to 1."""
    return (u * n).long().clamp(max=n - 1)
