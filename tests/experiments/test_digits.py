"""The digits experiment in its quick form, from the command line to the figures."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import matplotlib.image
import pytest
import torch

from experiments.digits import experiment as digits
from experiments.digits import scores as digits_scores
from odegan.utils import checkpoint

ROOT = Path(__file__).parents[2]
QUICK = (sys.executable, "-m", "experiments.digits", "--quick", "--no-progress", "--output")
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1"}
FIGURES = {"samples", "over_time", "fid", "coverage", "losses"}


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """(folder, what was printed) of an uninterrupted run."""
    folder = tmp_path_factory.mktemp("digits") / "run"
    done = subprocess.run([*QUICK, folder], cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, check=True)
    return folder, done.stdout


@pytest.fixture
def same_classifier(quick, monkeypatch):
    """Runs in this process take the classifier of the run above."""
    path, train = quick[0] / "checkpoints" / "classifier.pt", digits_scores.train_classifier
    monkeypatch.setattr(digits_scores, "train_classifier", lambda seed, _, progress: train(seed, path, progress))


def metrics(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def saved(folder):
    return checkpoint.load(folder / "checkpoints" / "heun2_seed_0.pt")


def test_every_artefact_is_there_and_the_end_says_where(quick):
    folder, printed = quick
    assert json.loads((folder / "config.json").read_text())["options"]["solver"] == "heun2"
    assert {path.stem for path in (folder / "figures").iterdir()} == FIGURES
    assert printed.splitlines()[-1] == f"figures: {folder / 'figures'}"
    (row,) = json.loads((folder / "summary.json").read_text())
    assert row["field evaluations"] == 80
    assert row["diverged"] == 0
    assert 0 < row["FID of real halves"] < 1 < row["FID"]


@pytest.mark.parametrize("name", sorted(FIGURES))
def test_figures_are_not_blank(quick, name):
    pixels = matplotlib.image.imread(quick[0] / "figures" / f"{name}.png")[..., :3]
    assert min(pixels.shape[:2]) > 300
    assert pixels.std() > 0.05


def test_scores_carry_seed_and_setting(quick):
    rows = metrics(quick[0])
    assert [row["evaluations"] for row in rows] == [0, 28, 54, 80]
    for row in rows:
        assert row["seed"] == 0
        assert row["setting"]["step_size"] == digits.Digits.step_size
        assert len(row["coverage_per_class"]) == 10
        assert row["fid"] > 0


def test_killed_and_resumed_equals_uninterrupted(quick, tmp_path):
    command = [*QUICK, tmp_path / "run"]
    process = subprocess.Popen(command, cwd=ROOT, env=ENVIRONMENT, stdout=subprocess.DEVNULL)
    while not (tmp_path / "run" / "checkpoints" / "heun2_seed_0.pt").exists():
        assert process.poll() is None
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    subprocess.run([*command, "--resume"], cwd=ROOT, env=ENVIRONMENT, stdout=subprocess.DEVNULL, check=True)
    resumed, whole = saved(tmp_path / "run"), saved(quick[0])
    assert resumed["t"] == whole["t"]
    assert torch.equal(resumed["y"], whole["y"])
    assert torch.equal(resumed["callbacks"][0]["y"], whole["callbacks"][0]["y"])
    assert metrics(tmp_path / "run") == metrics(quick[0])


@pytest.mark.parametrize("switches", [["dopri5"], ["adam", "--step-size", "0.001"], ["rk4", "--placement", "field"]])
def test_any_solver(same_classifier, tmp_path, capsys, switches):
    options = ["--quick", "--no-progress", "--output", str(tmp_path / "run"), "--solver", *switches]
    assert digits.main(options) == 0
    assert switches[0] in capsys.readouterr().out
    assert 0 < metrics(tmp_path / "run")[-1]["evaluations"] <= 80


@pytest.mark.parametrize("wrong", [["--solver", "huen2"], ["--batch-size", "0"], ["--penalty", "jam:1"], ["--fast"]])
def test_wrong_options_are_one_line(tmp_path, capsys, wrong):
    assert digits.main(["--quick", "--no-progress", "--output", str(tmp_path / "run"), *wrong]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
