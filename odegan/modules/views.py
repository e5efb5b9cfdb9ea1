"""The parameters of a network as views of one flat tensor."""

from __future__ import annotations

from collections.abc import Sequence

import torch

ALIGNMENT = 64  # bytes; vectorized kernels and channels-last convolutions may assume it


def on_accelerator(device: torch.device) -> bool:
    """Whether this device's kernels need aligned views."""
    return device.type != "cpu"


def pieces(theta: torch.Tensor, sizes: list[int], aligned: bool) -> Sequence[torch.Tensor]:
    """theta (n,) -> consecutive views of these sizes; ``aligned``: views of a padded copy, each starting at a multiple of 64
    bytes.
    """
    own = theta.split(sizes)
    if not aligned:
        return own
    step = ALIGNMENT // theta.element_size()
    gaps = [-size % step for size in sizes]
    padded = [part for piece, gap in zip(own, gaps, strict=True) for part in (piece, theta.new_zeros(gap))]
    # One split: its backward pass writes the whole gradient once, and that of ``narrow`` once for each piece.
    return torch.cat(padded).split([n for pair in zip(sizes, gaps, strict=True) for n in pair])[::2]
