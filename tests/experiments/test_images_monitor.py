"""The reports along a training of images: when it ends, what it keeps, and the seconds that count."""

from __future__ import annotations

import math
import types
from dataclasses import replace

import pytest
import torch

pytest.importorskip("tyro")
pytest.importorskip("torchmetrics")

from experiments.images import monitor as module
from experiments.images import presets
from experiments.images.monitor import Limits, Monitor


def monitored(values, **limits):
    """How many reports a run has whose scores are these."""
    preset = replace(presets.get("digits"), every=1, steps=len(values), metrics=("fid",))
    scores = iter(values)
    kept = []
    monitor = Monitor(
        preset,
        lambda state: {"raw": state.y},
        lambda y, step, first: {"fid": {"value": next(scores)}},
        lambda report: None,
        lambda state: kept.append(state.t),
        Limits(**limits),
    )
    info = types.SimpleNamespace(accepted=1, nfe=2, losses=torch.zeros(2))
    for step in range(1, len(values) + 1):
        if monitor(types.SimpleNamespace(t=preset.time(step), y=torch.zeros(3)), info):
            break
    return len(monitor.reports), [round(t / 0.4) for t in kept]


@pytest.mark.parametrize(
    "values, limits, expected",
    [
        ([5.0, 4.0, 4.5, 3.0, 3.5, 3.6, 2.0], {}, (7, [1, 2, 4, 7])),
        ([5.0, 4.0, 4.5, 3.0, 3.5, 3.6, 2.0], {"patience": 2}, (6, [1, 2, 4])),
        ([5.0, math.nan, math.nan, 1.0], {"patience": 2}, (3, [1])),
        ([5.0, 4.0, 3.0, 2.0], {"evaluations": 5}, (2, [1, 2])),
        ([5.0, 4.0, 3.0], {"minutes": 1e-12}, (1, [1])),
    ],
    ids=str,
)
def test_a_run_ends_early_and_keeps_its_best(values, limits, expected):
    assert monitored(values, **limits) == expected


@pytest.mark.parametrize("minutes, reports", [(None, [7.0, 14.0, 21.0, 28.0]), (0.4, [7.0, 14.0, 21.0, 25.0])])
def test_seconds_are_those_of_training_alone(monkeypatch, minutes, reports):
    """Seven seconds between scores, which take a hundred, also where a checkpoint counts the time and a new best is kept."""
    clock = types.SimpleNamespace(now=0.0)
    monkeypatch.setattr(module.time, "perf_counter", lambda: clock.now)
    preset = replace(presets.get("digits"), every=7, steps=28, metrics=("fid",))
    scores = iter([5.0, 4.0, 4.5, 3.0])

    def score(y, step, first):
        clock.now += 100
        return {"fid": {"value": next(scores)}}

    monitor = Monitor(
        preset,
        lambda state: {"raw": state.y},
        score,
        lambda report: None,
        lambda state: monitor.state_dict(),
        Limits(minutes=minutes),
    )
    info = types.SimpleNamespace(accepted=1, nfe=1, losses=torch.zeros(2))
    for step in range(1, 29):
        clock.now += 1
        if monitor(types.SimpleNamespace(t=preset.time(step), y=torch.zeros(3)), info):
            break
        monitor.state_dict()
    assert [report.seconds for report in monitor.reports] == reports
    assert monitor.state_dict()["seconds"] == reports[-1]
