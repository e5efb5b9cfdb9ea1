"""The parameters of a network as views of one flat tensor."""

from __future__ import annotations

from collections.abc import Sequence

import torch

ALIGNMENT = 64  # bytes; vectorized kernels and channels-last convolutions may assume it


def on_accelerator(device: torch.device) -> bool:
    """Whether this device's kernels need aligned views."""
    return device.type != "cpu"


def pieces(theta: torch.Tensor, sizes: Sequence[int], aligned: bool) -> Sequence[torch.Tensor]:
    """theta (n,) -> consecutive views of these sizes; ``aligned``: views of a padded copy, each starting at a multiple of 64
    bytes.
    """
    own = theta.split(list(sizes))
    if not aligned:
        return own
    step = ALIGNMENT // theta.element_size()
    padded = []
    starts = []
    end = 0
    for piece, size in zip(own, sizes, strict=True):
        gap = -size % step
        padded += [piece, theta.new_zeros(gap)] if gap else [piece]
        starts.append(end)
        end += size + gap
    whole = torch.cat(padded)
    return [whole.narrow(0, start, size) for start, size in zip(starts, sizes, strict=True)]
