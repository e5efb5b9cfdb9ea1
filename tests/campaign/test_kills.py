"""The campaign of kills: a few of them, that it sees what would be wrong, and what it has found."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

import odegan
from campaign import kills
from campaign.kills_attempt import Aim, Killed, living, saved_index, unfinished
from campaign.kills_cases import CASES
from campaign.kills_compare import difference, largest_difference
from experiments.framework import mixture
from experiments.framework.folder import Folder
from experiments.mog16.experiment import Mog16
from odegan import games
from odegan.utils import checkpoint

torch.set_num_threads(1)
linux = pytest.mark.skipif(not Path("/proc/self").exists(), reason="reads /proc")


@linux
@pytest.mark.slow
def test_a_run_killed_in_a_save_and_in_a_step_ends_as_if_nothing_had_happened(tmp_path):
    name = "closed loop"
    CASES[name].run(tmp_path / "whole", lambda checkpoint: lambda state, info: None)
    aims = [Aim("save", 0.0, 8), Aim("step", 0.001, 12)]
    killed = kills.killed_run(name, CASES[name], tmp_path / "killed", aims)
    assert [k.aim for k in killed] == aims
    assert all(k.resumes and 0 <= k.intervals <= 1 and not unfinished(tmp_path / "killed") for k in killed)
    assert saved_index(tmp_path / "killed", "run") == 200
    assert difference(tmp_path / "whole", tmp_path / "killed") == 0.0


@pytest.mark.slow
@linux
def test_twelve_kills_over_all_cases(tmp_path, capsys):
    code = kills.main(["--kills", "12", "--seed", "1", "--jobs", "2", "--docs", str(tmp_path)])
    assert code == 0, capsys.readouterr().out
    page = (tmp_path / "results" / "reliability_kills.md").read_text()
    assert all(f"| {name} |" in page for name in CASES)


def outcome(end: float = 0.0, intervals: float = 1.0, name: str = "adaptive") -> kills.Outcome:
    return kills.Outcome(name, [Killed(Aim("step", 0.0, 1), False, True, 5, intervals, 0.1)], 1, end)


def test_failures_are_told():
    assert kills.failures([outcome(), outcome(1e-12, name="two processes")]) == []
    assert kills.failures([outcome(1e-12)]) == ["adaptive: the end differs by 1e-12"]
    assert "cost 1.2 intervals" in kills.failures([outcome(intervals=1.2)])[0]


def test_one_bit_is_a_difference(tmp_path):
    y = torch.tensor([1.0, float("nan")])
    for folder, one in {"a": y, "b": y.clone(), "c": y + torch.tensor([2**-23, 0.0])}.items():
        checkpoint.save(tmp_path / folder / "run.pt", {"y": one, "callbacks": [{"seconds": folder}], "status": "x"})
    assert difference(tmp_path / "a", tmp_path / "b") == 0.0
    assert difference(tmp_path / "a", tmp_path / "c") == 2**-23
    (tmp_path / "b" / "run.pt.part").write_bytes(b"left")
    assert difference(tmp_path / "a", tmp_path / "b") == float("inf")


@pytest.mark.parametrize(
    "other", [{"y": torch.ones(3)}, {"z": torch.ones(2)}, {"y": 1.0}, {"y": torch.ones(2).double()}]
)
def test_another_form_is_a_difference(other):
    assert largest_difference({"y": torch.ones(2)}, other) == float("inf")


@linux
def test_a_living_group_is_seen():
    assert living(os.getpgrp())


def test_few_kills_are_refused(capsys):
    assert kills.main(["--kills", "3"]) == 2
    assert "kills: got 3" in capsys.readouterr().err


class Once:
    """A callback that ends its run at the third interval, and remembers."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, state, info):
        self.calls += 1
        return self.over

    @property
    def over(self) -> bool:
        return self.calls >= 3

    def state_dict(self):
        return {"calls": self.calls}

    def load_state_dict(self, kept):
        self.calls = kept["calls"]


def test_a_run_that_is_over_stays_so_when_it_is_resumed(tmp_path):
    t = torch.tensor([0.0, 1.0])
    known = {"players": "frozen", "step_size": 0.1, "checkpoint": tmp_path / "run.pt"}
    first, second = (odegan.odeint_gan(games.bilinear(), torch.ones(2), t, callback=Once(), **known) for _ in range(2))
    assert (first.status, first.stats["steps"]) == (second.status, second.stats["steps"]) == ("stopped", 3)
    assert torch.equal(first.y, second.y)


def test_a_spent_budget_stays_spent(tmp_path):
    """An adaptive run is ended by its budget, not by its last time; resumed, it must take no further interval."""
    t = torch.tensor([0.0, 50.0])
    known = {"solver": "dopri5", "refresh": 0.1, "players": "frozen", "checkpoint": tmp_path / "run.pt"}

    def budgeted() -> tuple[float, int]:
        budget = mixture.Budget(100)
        solution = odegan.odeint_gan(games.bilinear(), torch.ones(2), t, callback=budget, **known)
        return solution.t, budget.spent[-1]

    first = budgeted()
    assert 50 < first[1] <= 100
    assert budgeted() == first


@pytest.mark.parametrize("left", [["files.part"], ["files.txt"], ["files.txt", "config.part"]])
def test_a_folder_killed_at_its_start_can_be_used(tmp_path, left):
    for name in left:
        (tmp_path / name).write_text("config.json\n")
    folder = Folder.open(Mog16(output=tmp_path, resume=True), "mog16", "command")
    folder.log({"step": 1})
    assert {"config.json", "files.txt", "metrics.jsonl"} <= {path.name for path in tmp_path.iterdir()}


def test_a_folder_killed_while_it_is_emptied_can_be_used(tmp_path, monkeypatch):
    """A fresh run removes an earlier one's files; killed at any of them, the next must be let in."""
    options = Mog16(output=tmp_path, overwrite=True)
    Folder.open(options, "mog16", "command").log({"step": 1})
    removed = []

    def dying(self, missing_ok=False):
        removed.append(self.name)
        raise SystemError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", dying)
        with pytest.raises(SystemError, match="killed"):
            Folder.open(options, "mog16", "command").log({"step": 1})
    assert removed == ["metrics.jsonl"]
    Folder.open(options, "mog16", "command").log({"step": 2})
    assert (tmp_path / "metrics.jsonl").read_text() == '{"step": 2}\n'
