"""Whether two folders of a run hold the same: checkpoints, metrics, summary, figures."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import torch

from odegan.utils import checkpoint

CLOCKS = {"seconds", "cpu"}  # how long it took, which no two runs share


def difference(one: Path, other: Path) -> float:
    """The largest difference of two runs' final states; infinite where something else than a number differs."""
    files = [{str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()} for folder in (one, other)]
    if files[0] != files[1]:
        return math.inf
    return max(_of_files(one / name, other / name) for name in files[0])


def _of_files(one: Path, other: Path) -> float:
    read = _READERS.get(one.suffix)
    return 0.0 if read is None else largest_difference(read(one), read(other))


_READERS = {
    ".pt": checkpoint.load,
    ".jsonl": lambda path: [json.loads(line) for line in path.read_text().splitlines()],
    ".json": lambda path: _results(json.loads(path.read_text())),
    ".png": Path.read_bytes,
}


def _results(value: Any) -> Any:
    """A config without the command that was given, which names its folder."""
    return None if isinstance(value, dict) and "command" in value else value


def largest_difference(one: Any, other: Any) -> float:
    """The largest difference within two trees of tensors and plain values.

    >>> largest_difference({"y": torch.tensor([1.0, float("nan")])}, {"y": torch.tensor([1.5, float("nan")])})
    0.5
    >>> largest_difference([1, "a"], [1, "b"])
    inf
    """
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        return max([largest_difference(one[key], other[key]) for key in one if key not in CLOCKS], default=0.0)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple) and len(one) == len(other):
        return max(map(largest_difference, one, other), default=0.0)
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return _of_tensors(one, other)
    if isinstance(one, float) and isinstance(other, float):
        return _of_tensors(torch.tensor(one), torch.tensor(other))
    return 0.0 if type(one) is type(other) and one == other else math.inf


def _of_tensors(one: torch.Tensor, other: torch.Tensor) -> float:
    if one.shape != other.shape or one.dtype != other.dtype:
        return math.inf
    gap = (one.double() - other.double()).abs().nan_to_num(nan=math.inf)
    same = (one == other) | (one.isnan() & other.isnan())
    return float(torch.where(same, 0.0, gap).max()) if one.numel() else 0.0
