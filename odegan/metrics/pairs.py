"""Two sets of points: check that they are comparable, and compute all pairwise distances."""

import torch
from torch import Tensor

from odegan.utils.checks import argument_error


def check_pair(names: str, x: Tensor, y: Tensor, allowed: str, least: int = 1) -> None:
    """Refuse anything but two tensors (n, d) and (m, d) of at least ``least`` rows each."""
    for one in (x, y):
        if not isinstance(one, Tensor):
            argument_error(names, one, f"tensors {allowed}")
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1] or min(len(x), len(y)) < least:
        argument_error(names, (tuple(x.shape), tuple(y.shape)), allowed)


def distances(rows: Tensor, to: Tensor) -> Tensor:
    """Euclidean distances (b, c) of points (b, d) and (c, d); nan where a row is not finite.

    torch's default uses matrix products, which lose digits if distances are small compared with the norms.
    """
    return torch.cdist(rows, to, compute_mode="donot_use_mm_for_euclid_dist")
