"""What two sets of points must be to be compared."""

from typing import Any

from torch import Tensor

from odegan.checks import fail


def check_pair(names: str, x: Any, y: Any, allowed: str, least: int = 1) -> None:
    """Refuse what is not two tensors (n, d) and (m, d) with at least so many rows."""
    for one in (x, y):
        if not isinstance(one, Tensor):
            fail(names, one, f"tensors {allowed}")
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1] or min(len(x), len(y)) < least:
        fail(names, (tuple(x.shape), tuple(y.shape)), allowed)
