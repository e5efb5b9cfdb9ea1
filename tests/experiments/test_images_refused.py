"""Image trainings that cannot run: one line, and what was there before stays."""

import json
import shutil
import subprocess
import sys

import pytest
import torch

from odegan.data.positions import Positions
from odegan.utils import checkpoint
from tests.experiments.conftest import ENVIRONMENT, ROOT, rows, saved

torch.set_num_threads(1)
OWN = "tests.experiments.own_networks"
SHORT = ("train", "--preset", "digits", "--quick", "--metrics", "none")


@pytest.fixture(scope="module")
def short(call, tmp_path_factory):
    """A run so short that rounding has no time to grow."""
    folder = tmp_path_factory.mktemp("short") / "run"
    assert call(*SHORT, output=folder) == 0
    return folder


@pytest.mark.slow
def test_two_processes_train_as_one(short, cache, tmp_path):
    words = [*SHORT, "--no-progress"]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
    command += ["experiments.images", *words, "--cache", cache, "--output", tmp_path / "run"]
    done = subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    torch.testing.assert_close(saved(tmp_path / "run")["y"], saved(short)["y"], rtol=0, atol=1e-5)
    assert [row["step"] for row in rows(tmp_path / "run")] == [2, 4]
    assert done.stdout.count("figures: ") == 1


@pytest.mark.parametrize(
    "words",
    [
        ("train", "--preset", "digts"),
        ("train", "--preset", "digits", "--solver", "huen2"),
        ("train", "--preset", "digits", "--metrics", "fdi"),
        ("train", "--preset", "digits", "--fast"),
        ("train", "--preset", "digits", "--data", "nowhere"),
        ("train",),
        ("train", "--preset", "digits", "--flip", "True"),
        ("train", "--preset", "digits", "--dequantize", "True"),
        ("train", "--preset", "digits", "--crop", "4"),
        ("train", "--preset", "digits", "--networks", f"{OWN}:COLORS"),
        ("train", "--preset", "digits", "--networks", f"{OWN}:LARGE"),
        ("train", "--preset", "digits", "--networks", f"{OWN}:FEW_CLASSES"),
        ("train", "--preset", "digits", "--averages", "uniform", "uniform"),
        ("sample", "nowhere.pt"),
        ("compare", "--preset", "digits", "--quick", "--solvers", "dopri5"),
    ],
    ids=lambda words: " ".join(words[-2:]),
)
def test_wrong_options_are_one_line(call, tmp_path, capsys, words):
    assert call(*words, output=tmp_path / "run") == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


@pytest.mark.parametrize(
    "words",
    [
        ("--data", "nowhere"),
        ("--extractor", "nowhere.pth", "--metrics", "fid"),
        ("--metrics", "fdi"),
        ("--workers", 1),
        ("--networks", "clc_resnet32"),
        ("--networks", f"{OWN}:RAISES"),
        ("--networks", f"{OWN}:NOTHING"),
        ("--networks", f"{OWN}:TWO_LOGITS"),
        ("--networks", f"{OWN}:raises"),
        ("--networks", f"{OWN}:CLASSES", "--penalty", "wgan_gp:1"),
        ("--penalty", "jare:1,chunks=3"),
        ("--micro-batch", 3),
    ],
    ids=lambda words: " ".join(map(str, words)),
)
def test_a_refused_run_leaves_the_earlier_one_as_it_was(call, short, tmp_path, capsys, words):
    folder = tmp_path / "run"
    shutil.copytree(short, folder)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    capsys.readouterr()
    assert call(*SHORT, *words, "--overwrite", output=folder) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("command", ["sample", "interpolate", "evaluate"])
def test_the_run_of_a_checkpoint_is_not_replaced(call, short, capsys, command):
    before = {path: path.read_bytes() for path in short.rglob("*") if path.is_file()}
    assert call(command, short / "checkpoints" / "seed0.pt", "--overwrite", output=short) == 2
    (said,) = capsys.readouterr().err.strip().splitlines()
    assert "output: got" in said
    assert {path: path.read_bytes() for path in short.rglob("*") if path.is_file()} == before


def test_images_that_couple_a_batch_are_refused_in_parts_before_anything_is_written(call, pictures, tmp_path, capsys):
    words = ("train", "--preset", "odegan-fashion-small", "--data", pictures)
    words += ("--reference", "train", "--batch-size", 4, "--metrics", "none")
    assert call(*words, "--micro-batch", 2, output=tmp_path / "run") == 2
    assert "BatchNorm" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "change",
    [
        {"callbacks": []},
        {"callbacks": [3]},
        {"callbacks": [{"preset": {"solver": "heun2"}}]},
        {"y": torch.zeros(3)},
        {"t": None},
    ],
    ids=str,
)
def test_foreign_checkpoints_are_refused(call, short, tmp_path, capsys, change):
    payload = {key: value for key, value in (saved(short) | change).items() if value is not None}
    checkpoint.save(tmp_path / "other.pt", payload)
    assert call("sample", tmp_path / "other.pt", output=tmp_path / "run") == 2
    (said,) = capsys.readouterr().err.strip().splitlines()
    assert "which is none of `experiments.images train`" in said
    assert not (tmp_path / "run").exists()


def test_a_torn_checkpoint_is_refused(call, tmp_path, capsys):
    (tmp_path / "torn.pt").write_bytes(b"PK\x03\x04 torn")
    assert call("sample", tmp_path / "torn.pt", output=tmp_path / "run") == 2
    assert "cannot be read" in capsys.readouterr().err


def test_an_unreadable_image_ends_the_run_with_its_name_and_what_was_saved_stays(call, pictures, tmp_path, capsys):
    folder = tmp_path / "pictures"
    shutil.copytree(pictures, folder)
    words = ["train", "--preset", "jare-cifar10-3", "--data", folder, "--batch-size", 2, "--steps", 3, "--every", 3]
    words += ["--save-every", 1, "--metrics", "none", "--grid", 1]
    first = Positions(6, 2, slice(2), 0, "data", torch.device("cpu")).block(2, 1)[0, 0]  # of the third minibatch
    next(folder.rglob(f"{int(first)}.png")).write_bytes(b"no image")
    assert call(*words, output=tmp_path / "run") == 2
    *_, said = capsys.readouterr().err.strip().splitlines()
    assert f"{int(first)}.png, which is not a usable image" in said
    kept = (tmp_path / "run" / "checkpoints" / "seed0.pt").read_bytes()
    assert saved(tmp_path / "run")["aux"]["index"] == 2
    assert call(*words, output=tmp_path / "run", resume=True) == 2
    assert (tmp_path / "run" / "checkpoints" / "seed0.pt").read_bytes() == kept


def test_a_run_that_diverges_says_so(call, tmp_path, capsys):
    words = ("train", "--preset", "digits", "--quick", "--step-size", 1e30, "--penalty", "none")
    assert call(*words, output=tmp_path / "run") == 3
    assert "diverged" in capsys.readouterr().err
    (row,) = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert row["diverged"] == 1


@pytest.mark.parametrize(
    "switch", [["--channels-last"], ["--checkpointing"], ["--micro-batch", 4], ["--autocast", "bfloat16"]], ids=str
)
def test_switches_of_the_machine(call, short, tmp_path, switch):
    assert call(*SHORT, *switch, output=tmp_path / "run") == 0
    found = saved(tmp_path / "run")["y"]
    expected = saved(short)["y"]
    torch.testing.assert_close(found, expected, rtol=0, atol=0.05 if "bfloat16" in switch else 1e-5)
    if "bfloat16" in switch:
        assert not torch.allclose(found, expected, atol=1e-5)
