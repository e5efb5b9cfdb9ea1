"""Quick runs of the rings, for their tests."""

import json
from pathlib import Path

from experiments.ring8 import experiment as ring8

TIMES = ("seconds", "CPU seconds")


def call(folder: Path, *switches: str) -> int:
    return ring8.main(["--quick", "--no-progress", "--output", str(folder), *switches])


def summary(folder: Path) -> list[dict]:
    rows = json.loads((folder / "summary.json").read_text())
    return [{key: value for key, value in row.items() if key not in TIMES} for row in rows]
