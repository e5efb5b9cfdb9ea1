"""The soak in seconds: what it counts is there, and whatever grows is told."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from campaign import soak
from campaign.soak_samples import CHECKS, MB, STATISTICS, Sample, failures, growth, slope
from experiments.framework.folder import Folder

linux = pytest.mark.skipif(not Path("/proc/self").exists(), reason="reads /proc")
QUICK = soak.Plan(minutes=0, least=8, checkpoint=1, metrics=0.0, figure=60.0, sample=0.0, kept=1)


def flat(steps: int) -> Sample:
    """A sample of a process in which nothing grows but the statistics."""
    return Sample(
        steps / 10, steps, int(300 * MB) + STATISTICS * steps, 1000 + steps // 256, 8, 1, 10**6 + 48 * steps, 0, 1, 5
    )


def test_statistics_alone_pass():
    samples = [flat(1000 * i) for i in range(40)]
    assert failures(samples) == []
    assert slope(samples, lambda s: s.memory) == pytest.approx(STATISTICS)


LEAKS = {"memory": 700_000, "objects": 80, "handles": 1, "threads": 1, "disk": 100_000, "checkpoints": 1, "figures": 1}


@pytest.mark.parametrize("name", LEAKS)
def test_every_leak_is_told(name):
    samples = [flat(1000 * i) for i in range(40)]
    leaking = [s._replace(**{name: getattr(s, name) + LEAKS[name] * i}) for i, s in enumerate(samples)]
    assert len(failures(leaking)) == 1
    assert len(LEAKS) == len(CHECKS)


def test_too_few_samples_are_refused():
    with pytest.raises(ValueError, match="3 samples have no quarters"):
        growth([1, 2, 3])


@linux
@pytest.mark.slow
def test_a_short_soak_writes_what_it_counts(tmp_path):
    soaked = soak.soak(replace(QUICK, figure=0.5), Folder(tmp_path, "soak", "command"))
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    kept = torch.load(tmp_path / "checkpoints" / "run.pt", weights_only=True)
    assert len(lines) == soaked.metrics == 8
    assert soaked.steps == kept["aux"]["index"] == soaked.samples[-1].steps == 8
    assert soaked.checkpoints == 8
    assert soaked.figures >= 1
    assert [path.name for path in (tmp_path / "figures").iterdir()] == ["samples_0.png"]
    last = soaked.samples[-1]
    assert (last.checkpoints, last.figures) == (1, 1)
    assert last.disk > kept["statistics"]["table"].nbytes == STATISTICS * soaked.steps
    assert failures(soaked.samples) == []


@linux
@pytest.mark.slow
def test_a_leak_in_a_run_is_told(tmp_path):
    kept: list = []

    def leak(state, info):
        kept.append((torch.ones(2**20), os.open(os.devnull, os.O_RDONLY)))

    try:
        soaked = soak.soak(QUICK, Folder(tmp_path, "soak", "command"), also=[leak])
    finally:
        for _, handle in kept:
            os.close(handle)
    told = " ".join(failures(soaked.samples))
    assert "memory" in told
    assert "open files" in told


@linux
def test_the_command_writes_its_page(tmp_path, capsys):
    plan = ["--minutes", "0", "--least", "4", "--checkpoint", "0.1", "--sample", "0"]
    code = soak.main([*plan, "--docs", str(tmp_path)])
    said = capsys.readouterr().out
    assert code == int("nothing grew" not in said)
    assert "open files" in (tmp_path / "results" / "reliability_soak.md").read_text()
    assert (tmp_path / "figures" / "reliability_soak.png").stat().st_size > 10_000


def test_a_folder_in_use_is_refused(tmp_path, capsys):
    (tmp_path / "mine").touch()
    assert soak.main(["--output", str(tmp_path)]) == 2
    assert "output: got" in capsys.readouterr().err
