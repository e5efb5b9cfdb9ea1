"""The digits experiment in its quick form, from the command line to the figures."""

import json
import signal
import time
from pathlib import Path

import matplotlib.image
import pytest
import torch

from experiments.digits import experiment as digits
from experiments.digits.options import Digits
from odegan.utils import checkpoint
from tests import forked

ROOT = Path(__file__).parents[2]
QUICK = ("--quick", "--no-progress", "--output")
FIGURES = {"samples", "over_time", "fid", "coverage", "losses"}


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """Where all runs keep the classifier."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def program(cache):
    """The command of a quick run, all but its output folder."""
    return ["-m", "experiments.digits", "--cache", cache, *QUICK]


@pytest.fixture(scope="module")
def quick(program, tmp_path_factory):
    """(folder, what was printed) of an uninterrupted run."""
    folder = tmp_path_factory.mktemp("digits") / "run"
    done = forked.run(*program, folder, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


def metrics(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def saved(folder):
    return checkpoint.load(folder / "checkpoints" / "seed0.pt")


def test_every_artifact_is_there_and_the_end_says_where(quick):
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


def test_scores_say_what_they_depend_on(quick):
    rows = metrics(quick[0])
    assert [row["evaluations"] for row in rows] == [28, 56, 80]
    for row in rows:
        assert row["seed"] == 0
        assert row["weights"] == "exponential"
        assert len(row["coverage"]["per_class"]) == 10
        assert row["fid"]["value"] > 0
        assert (
            row["fid"]["extractor"] == row["coverage"]["extractor"] == "classifier of digits, seed 0, trained briefly"
        )


@pytest.mark.slow
def test_killed_and_resumed_equals_uninterrupted(quick, program, tmp_path):
    command = [*program, tmp_path / "run"]
    process = forked.Python(*command, cwd=ROOT)
    while not (tmp_path / "run" / "checkpoints" / "seed0.pt").exists():
        assert process.is_alive()
        time.sleep(0.002)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert forked.run(*command, "--resume", cwd=ROOT).returncode == 0
    resumed = saved(tmp_path / "run")
    whole = saved(quick[0])
    assert resumed["t"] == whole["t"]
    assert torch.equal(resumed["y"], whole["y"])
    assert torch.equal(resumed["callbacks"][0]["y"], whole["callbacks"][0]["y"])
    assert metrics(tmp_path / "run") == metrics(quick[0])


FEW = [["dopri5"], ["adam"]]
MORE = [["rmsprop"], ["euler"], ["alternating"], ["rk4", "--placement", "field"]]
SOLVERS = FEW + [pytest.param(switches, marks=pytest.mark.slow) for switches in MORE]


@pytest.mark.parametrize("switches", SOLVERS, ids=" ".join)
def test_any_solver_stays_finite_with_what_suits_it(cache, tmp_path, capsys, switches):
    options = ["--cache", str(cache), *QUICK, str(tmp_path / "run"), "--solver", *switches]
    assert digits.main(options) == 0
    assert switches[0] in capsys.readouterr().out
    assert 0 < metrics(tmp_path / "run")[-1]["evaluations"] <= 80
    (row,) = json.loads((tmp_path / "run/summary.json").read_text())
    assert row["diverged"] == 0


def test_a_run_that_diverges_says_so_and_exits_with_3(cache, tmp_path, capsys):
    options = ["--cache", str(cache), *QUICK, str(tmp_path / "run"), "--step-size", "1e30", "--penalty", "none"]
    assert digits.main(options) == 3
    *_, said = capsys.readouterr().err.splitlines()
    assert "diverged: heun2, the field turned non-finite in the step from t = 0" in said
    (row,) = json.loads((tmp_path / "run/summary.json").read_text())
    assert (row["diverged"], row["FID"]) == (1, None)


def test_what_is_left_out_depends_on_the_solver():
    assert (Digits().step_size, Digits().penalty) == (0.4, ("generator_gradient:0.05",))
    assert (Digits(solver="adam").step_size, Digits(solver="adam").penalty) == (1e-3, ())
    given = Digits(solver="adam", step_size=0.4, penalty=("r1:1",), option=("eps=1e-6",))
    assert (given.step_size, given.penalty, given.option) == (0.4, ("r1:1",), ("eps=1e-6",))
    assert Digits(solver="rk4_classic").preset().steps == 1500
    for solver, each in {"heun2": 2, "rk4_classic": 4, "adam": 1}.items():
        assert each / (1 - Digits(solver=solver).preset().decay) == pytest.approx(1000)


@pytest.mark.parametrize("wrong", [["--solver", "huen2"], ["--batch-size", "0"], ["--penalty", "jam:1"], ["--fast"]])
def test_wrong_options_are_one_line(tmp_path, capsys, wrong):
    assert digits.main(["--quick", "--no-progress", "--output", str(tmp_path / "run"), *wrong]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
