"""Run a hypothesis test on many random examples, count them, and write what came of it as a page of results."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from hypothesis import Phase, seed, settings

from experiments.framework import publishing
from experiments.framework.results import Results, Row, Table

SEED = 2026


class Outcome(NamedTuple):
    """Of one property: how many examples held, the first line of what failed ("" where nothing did), and CPU seconds."""

    name: str
    held: int
    failure: str
    seconds: float


def examine(test: Callable[..., Any], examples: int) -> Outcome:
    """The test on so many examples, drawn from ``SEED``; once in a process for each test."""
    inner = test.hypothesis.inner_test  # type: ignore[attr-defined]
    held = [0]  # type: ignore[attr-defined]

    @functools.wraps(inner)
    def counted(*args: Any, **kwargs: Any) -> None:
        inner(*args, **kwargs)
        held[0] += 1

    test.hypothesis.inner_test = counted  # type: ignore[attr-defined]
    many = settings(settings(), max_examples=examples, derandomize=False, phases=[Phase.generate, Phase.shrink])
    start = time.process_time()
    failure = ""
    try:
        seed(SEED)(many(test))()
    except Exception as error:
        failure = f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"
    return Outcome(words(test.__name__), held[0], failure, time.process_time() - start)


def words(name: str) -> str:
    """``test_a_run_ends`` -> "a run ends"."""
    return name.removeprefix("test_").replace("_", " ")


def write(docs: Path, name: str, command: str, rows: Sequence[Row]) -> None:
    """The table as docs/results/reliability_NAME.md and .json."""
    torch_version = torch.__version__.partition("+")[0]
    results = Results(
        f"reliability_{name}",
        command,
        [Table(rows)],
        {"seed": SEED, "device": "cpu", "versions": {"torch": torch_version}},
    )
    publishing.write(
        docs, results, f"Reliability: {name}", [f"torch {torch_version}, CPU, seed {SEED}.", *results.tables]
    )
