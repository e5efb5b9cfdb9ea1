"""The Inception network of the literature's FID, KID and Inception Score: TensorFlow's of 2015-12-05, with its input resize."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from odegan.utils.checks import ArgumentError, fail, one_line

# TensorFlow's weights as torch-fidelity converted them; the hexadecimal digits begin the file's SHA-256.
WEIGHTS = "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth"
SIZE = 299
RESIZE = f"8-bit levels, TensorFlow 1 bilinear to {SIZE} x {SIZE} (corners not aligned, not antialiased)"

Kernel = int | tuple[int, int]
# A branch is a name and its convolutions (channels, kernel) one after the other; a list of two stands side by side.
Step = tuple[int, Kernel]
Branches = dict[str, "list[Step | list[Step]]"]


def inception(weights: str | os.PathLike[str] | None = None) -> Inception:
    """The network in evaluation mode.

    Args:
        weights: a local copy of the file ``WEIGHTS``; None: fetched into torch.hub's folder, unless it is there.

    Raises:
        ArgumentError: it cannot be fetched, with what to fetch; or the file is damaged or other than these weights.
    """
    network = Inception()
    try:
        network.load_state_dict(_fetched() if weights is None else _read(weights))
    except (RuntimeError, TypeError) as error:
        fail("extractor", str(weights), f"the weights of {Path(WEIGHTS).name} ({one_line(error)})")
    return network.eval().requires_grad_(False)


def _read(path: str | os.PathLike[str]) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        reason = "there is no such file" if isinstance(error, FileNotFoundError) else one_line(error)
        raise ArgumentError(f"extractor: got {os.fspath(path)!r}, which cannot be read ({reason})") from error


def _fetched() -> Any:
    try:
        return torch.hub.load_state_dict_from_url(WEIGHTS, map_location="cpu", check_hash=True, weights_only=True)
    except (OSError, RuntimeError) as error:
        raise ArgumentError(
            f"extractor: got 'inception', whose weights could not be fetched ({one_line(error)}); fetch {WEIGHTS} "
            "where there is a network, and give the file's path as extractor"
        ) from error


def resize_tf1(images: Tensor, size: int) -> Tensor:
    """(B, C, H, W) -> (B, C, size, size) as TensorFlow 1's bilinear resize: output i lies at i H / size of the input.

    Modern resizes put it at (i + 1/2) H / size - 1/2, and may smooth before: other features, and another FID.

    Examples:
        >>> resize_tf1(torch.tensor([[[[0.0, 4.0], [8.0, 12.0]]]]), 4)[0, 0, 0]
        tensor([0., 2., 4., 4.])
    """
    for axis in (3, 2):
        n = images.shape[axis]
        at = torch.arange(size, dtype=images.dtype, device=images.device) * torch.tensor(n / size, dtype=images.dtype)
        low = at.long()
        weight = (at - low).reshape(-1, *(1,) * (3 - axis))
        left, right = images.index_select(axis, low), images.index_select(axis, (low + 1).clamp(max=n - 1))
        images = left + (right - left) * weight
    return images


class Inception(nn.Module):
    """Images (B, 3, H, W) in [-1, 1] -> pool features (B, 2048), and logits (B, 1008) without the last bias.

    Images are rounded to 8-bit levels first, as the literature's are files; the Inception Score of the literature leaves
    out the bias, as here. Parameters are named as in torch-fidelity's file of weights.

    Source: Szegedy et al. 2016, "Rethinking the Inception Architecture for Computer Vision"; the frozen graph of 2015-12-05.
    """

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = _Convolution(3, 32, 3, stride=2)
        self.Conv2d_2a_3x3 = _Convolution(32, 32, 3, padded=False)
        self.Conv2d_2b_3x3 = _Convolution(32, 64, 3)
        self.Conv2d_3b_1x1 = _Convolution(64, 80, 1)
        self.Conv2d_4a_3x3 = _Convolution(80, 192, 3, padded=False)
        self.Mixed_5b = _Mixed(192, _a(32))
        self.Mixed_5c = _Mixed(256, _a(64))
        self.Mixed_5d = _Mixed(288, _a(64))
        self.Mixed_6a = _Mixed(288, _b(), stride=2)
        self.Mixed_6b = _Mixed(768, _c(128))
        self.Mixed_6c = _Mixed(768, _c(160))
        self.Mixed_6d = _Mixed(768, _c(160))
        self.Mixed_6e = _Mixed(768, _c(192))
        self.Mixed_7a = _Mixed(768, _d(), stride=2)
        self.Mixed_7b = _Mixed(1280, _e())
        self.Mixed_7c = _Mixed(2048, _e(), pool="max")  # the graph has a maximum here, and averages in all others
        self.fc = nn.Linear(2048, 1008)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, H, W) -> (B, 2048), (B, 1008)."""
        if images.dim() != 4 or images.shape[1] != 3:
            fail("images", images, "of shape (n, 3, height, width) for Inception")
        levels = ((images.to(self.fc.weight.dtype) + 1) * 127.5).round().clamp(0, 255)
        x = (resize_tf1(levels, SIZE) - 128) / 128
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(F.max_pool2d(x, 3, 2)))
        x = F.max_pool2d(x, 3, 2)
        for name, block in self.named_children():
            if name.startswith("Mixed"):
                x = block(x)
        features = x.mean((2, 3))
        return features, features @ self.fc.weight.T


class _Convolution(nn.Module):
    """Convolution, batch normalization, ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: Kernel, stride: int = 1, padded: bool = True) -> None:
        super().__init__()
        padding = "same" if padded and stride == 1 else 0
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)))


class _Mixed(nn.Module):
    """Branches of convolutions and a pooled one, side by side. With stride 2 the last of each branch halves the image."""

    def __init__(self, inputs: int, branches: Branches, stride: int = 1, pool: str = "average") -> None:
        super().__init__()
        self.stride, self.pool = stride, pool
        self.branches: list[list[list[str]]] = []
        for branch, steps in branches.items():
            channels, names = inputs, []
            for number, step in enumerate(steps, 1):
                beside = step if isinstance(step, list) else [step]
                last = number == len(steps)
                names.append(list(_names(branch, number, len(steps), len(beside))))
                for name, (outputs, kernel) in zip(names[-1], beside, strict=True):
                    self.add_module(name, _Convolution(channels, outputs, kernel, stride if last else 1))
                channels = sum(outputs for outputs, _ in beside)
            self.branches.append(names)

    def forward(self, x: Tensor) -> Tensor:
        parts = []
        for branch in self.branches:
            part = self._pooled(x) if branch == [["branch_pool"]] else x
            for beside in branch:
                part = torch.cat([getattr(self, name)(part) for name in beside], 1)
            parts.append(part)
        if self.stride == 2:
            parts.append(F.max_pool2d(x, 3, 2))
        return torch.cat(parts, 1)

    def _pooled(self, x: Tensor) -> Tensor:
        """TensorFlow's average leaves out what lies beyond the border."""
        return F.max_pool2d(x, 3, 1, 1) if self.pool == "max" else F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)


def _names(branch: str, number: int, steps: int, beside: int) -> Iterator[str]:
    """As the file of weights has them: branch; branch_1, branch_2; branch_2a, branch_2b."""
    for letter in "ab"[:beside] if beside > 1 else [""]:
        yield f"{branch}_{number}{letter}" if steps > 1 else branch


def _a(pooled: int) -> Branches:
    return {
        "branch1x1": [(64, 1)],
        "branch5x5": [(48, 1), (64, 5)],
        "branch3x3dbl": [(64, 1), (96, 3), (96, 3)],
        "branch_pool": [(pooled, 1)],
    }


def _b() -> Branches:
    return {"branch3x3": [(384, 3)], "branch3x3dbl": [(64, 1), (96, 3), (96, 3)]}


def _c(n: int) -> Branches:
    wide, high = (1, 7), (7, 1)
    return {
        "branch1x1": [(192, 1)],
        "branch7x7": [(n, 1), (n, wide), (192, high)],
        "branch7x7dbl": [(n, 1), (n, high), (n, wide), (n, high), (192, wide)],
        "branch_pool": [(192, 1)],
    }


def _d() -> Branches:
    return {"branch3x3": [(192, 1), (320, 3)], "branch7x7x3": [(192, 1), (192, (1, 7)), (192, (7, 1)), (192, 3)]}


def _e() -> Branches:
    cross: list[Step] = [(384, (1, 3)), (384, (3, 1))]
    return {
        "branch1x1": [(320, 1)],
        "branch3x3": [(384, 1), cross],
        "branch3x3dbl": [(448, 1), (384, 3), cross],
        "branch_pool": [(192, 1)],
    }
