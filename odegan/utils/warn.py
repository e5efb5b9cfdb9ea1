"""Warnings that point at the user's own line."""

from __future__ import annotations

import sys
import warnings
from types import FrameType

_PASSED = ("odegan", "torch", "torchdiffeq", "contextlib", "functools")  # packages whose frames may lie in between


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """``warnings.warn``, attributed to the line outside this package from which it was called.

    Examples:
        >>> with warnings.catch_warnings(record=True) as caught:
        ...     warnings.simplefilter("always")
        ...     warn("data: got few samples")
        >>> str(caught[0].message)
        'data: got few samples'
    """
    level = 1
    frame: FrameType | None = sys._getframe()
    # A fixed number of levels would be wrong wherever the same check is reached by several ways.
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] in _PASSED:
        frame = frame.f_back
        level += 1
    warnings.warn(message, category, stacklevel=level)
