"""Atomic writing of files, and JSON for non-finite numbers, tensors and paths."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from odegan.utils.checks import one_line


def write_whole(path: Path, text: str) -> None:
    """Write a file atomically, since a run may be killed, or the disk may be full, at any moment."""
    # Beside the file, since a rename is atomic only within one file system.
    part = path.with_suffix(".part")
    try:
        part.write_text(text + "\n")
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise OSError(f"output: {str(path)!r} could not be written ({one_line(error)})") from error


def dump(value: object, indent: int | None = None) -> str:
    """The value as JSON; non-finite numbers become null, and tensors become lists.

    >>> dump({"values": torch.tensor([1.0, float("nan")]), "path": Path("a")})
    '{"values": [1.0, null], "path": "a"}'
    """
    # Python's NaN and Infinity are no JSON, which other readers refuse.
    return json.dumps(_plain(value), indent=indent, allow_nan=False)


def load(text: str) -> dict[str, Any] | None:
    """The object in a line of JSON; None if the line was truncated."""
    try:
        return json.loads(text)
    except ValueError:
        return None


def with_infinities(value: object) -> Any:
    """Infinite numbers as text, so that a table can distinguish them from nan, which becomes null.

    >>> with_infinities([1.0, float("inf")])
    [1.0, 'inf']
    """
    if isinstance(value, Mapping):
        return {key: with_infinities(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [with_infinities(part) for part in value]
    return str(value) if isinstance(value, float) and math.isinf(value) else value


def _plain(value: object) -> Any:
    """The value in types that JSON has."""
    if isinstance(value, torch.Tensor):
        return _plain(value.tolist())
    if isinstance(value, Mapping):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return str(value) if isinstance(value, Path) else value
