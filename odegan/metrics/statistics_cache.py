"""A cache of statistics of the real data in files."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from odegan.utils import checkpoint
from odegan.utils.checks import ArgumentError, one_line
from odegan.utils.warn import warn


def short_digest(value: object) -> str:
    """16 hexadecimal digits of a plain value's SHA-256."""
    return hashlib.sha256(repr(value).encode()).hexdigest()[:16]


def cached(
    folder: str | os.PathLike[str],
    kind: str,
    key: list[object],
    compute: Callable[[], list[Tensor]],
    device: torch.device,
) -> list[Tensor]:
    """The result of ``compute()``, read from the folder's file for ``kind`` and ``key`` or computed and stored there.

    If the file is damaged or belongs to another key, the result is computed again. A failure to write is ignored: it only costs
    the time of the next call.
    """
    path = Path(folder) / f"{kind}-{short_digest(key)}.pt"
    try:
        kept = checkpoint.load(path, device)
        # The whole key, since the file's name holds only 64 bits of its digest.
        if kept.get("key") == repr(key):
            return list(kept["tensors"])
    except FileNotFoundError:
        pass
    except ArgumentError as error:
        warn(f"{error}; the statistics are computed again")
    tensors = compute()
    try:
        checkpoint.save(path, {"key": repr(key), "tensors": tensors})
    except OSError as error:
        warn(f"cache: {str(path)!r} could not be written ({one_line(error)})")
    return tensors
