"""The result of a row of the benchmarks."""

from __future__ import annotations

from typing import Any, NamedTuple


class Result(NamedTuple):
    """measurements: lines of what was measured; verdicts: lines of what that means for the row's goals."""

    measurements: list[dict[str, Any]]
    verdicts: list[dict[str, Any]]
