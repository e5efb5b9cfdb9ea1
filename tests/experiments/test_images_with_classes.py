"""Sets of idx files in ``experiments.images``: scores, labels, the best checkpoint, early ends, boards, wrong files."""

import gzip
import json
import math
import sys
import types
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from experiments.images import board, presets, sampling
from experiments.images.ingredients import classes_of, make_game, open_data
from experiments.images.sampling import grid, sampler
from experiments.images.scores import Scorer, loss
from odegan import ArgumentError
from odegan.utils import checkpoint
from tests.experiments.conftest import rows, write_idx

torch.set_num_threads(1)

TINY = ("--batch-size", 4, "--steps", 4, "--every", 2, "--samples", 40, "--grid", 20)


@pytest.fixture(scope="module", autouse=True)
def few_batches():
    """Of few batches the statistics of batch normalization cost no time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sampling, "ESTIMATED", 2)
        yield


@pytest.fixture(scope="module")
def conditional(call, sets, tmp_path_factory):
    """The folder of a run of the small class-conditional preset."""
    folder = tmp_path_factory.mktemp("conditional") / "run"
    assert call("train", "--preset", "cgan-fashion-small", "--data", sets, *TINY, output=folder) == 0
    return folder


def test_scores_are_of_the_average_and_of_the_parameters(conditional):
    first, last = rows(conditional)
    for row in (first, last):
        assert row["weights"] == "exponential"
        for scores in (row, row["raw"]):
            assert math.isfinite(scores["fid"]["value"])
            assert scores["fid"]["extractor"] == "classifier of fashion, seed 0"
            assert 0 < scores["fid"]["extractor_accuracy"] <= 1
            assert (scores["fid"]["split"], scores["fid"]["n_real"]) == ("test", 100)
            assert scores["recognition"]["value"] == pytest.approx(np.mean(scores["recognition"]["per_class"]))
    assert last["fid"]["value"] != last["raw"]["fid"]["value"]


def test_a_table_has_recognition_by_class(conditional):
    (table,) = json.loads((conditional / "tables.json").read_text())
    last = rows(conditional)[-1]
    assert table["title"] == "Recognition by class"
    assert [row["class"] for row in table["rows"]][-1] == "ankle boot"
    for column, scores in {"exponential": last, "raw": last["raw"]}.items():
        assert [row[column] for row in table["rows"]] == scores["recognition"]["per_class"]
    assert all(0 <= row["real, held-out images"] <= 1 for row in table["rows"])
    facts = json.loads((conditional / "facts.json").read_text())
    assert facts["classifier, right on held-out images"] == last["fid"]["extractor_accuracy"]
    assert facts["best FID"] == min(row["fid"]["value"] for row in rows(conditional))


def test_truncations_are_scored_at_the_end(call, sets, conditional, tmp_path):
    words = "--preset", "cgan-fashion-small", "--data", sets, *TINY
    assert call("train", *words, "--truncations", 0.5, 2, output=tmp_path / "train") == 0
    tables = json.loads((tmp_path / "train" / "tables.json").read_text())
    truncated, by_class = (table["rows"] for table in tables)
    assert [row["truncation"] for row in truncated] == [0.5, 2]
    *_, last, logged, _ = rows(tmp_path / "train")
    assert logged["fid"]["truncation"] == 0.5
    assert "truncation" not in last["fid"]
    assert last["fid"]["value"] == rows(conditional)[-1]["fid"]["value"]  # the training is the same
    file = tmp_path / "train" / "checkpoints" / "seed0.pt"
    assert call("evaluate", file, "--truncation", 0.5, output=tmp_path / "half") == 0
    (half,) = rows(tmp_path / "half")
    for metric in ("fid", "recognition"):
        assert truncated[0][metric] == pytest.approx(half[metric]["value"])
    assert half["fid"]["truncation"] == 0.5
    assert half["fid"]["value"] != last["fid"]["value"]
    assert [row["truncated to 0.5"] for row in by_class] == pytest.approx(half["recognition"]["per_class"])


@pytest.mark.parametrize("words", [("--truncations", 1, 0), ("--truncations", 1, "--metrics", "none")])
def test_truncations_that_score_nothing_are_refused(call, words, tmp_path, capsys):
    assert call("train", "--preset", "digits", *words, output=tmp_path / "run") == 2
    assert "truncations: got " in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_grids_have_a_row_a_class(conditional, call, tmp_path):
    file = conditional / "checkpoints" / "seed0.pt"
    assert call("sample", file, "--n", 30, output=tmp_path / "all") == 0
    with Image.open(tmp_path / "all" / "figures" / "samples.png") as picture:
        assert picture.height / picture.width == pytest.approx(10 / 3, rel=0.05)
    assert call("sample", file, "--n", 4, "--label", 7, output=tmp_path / "one") == 0
    assert call("sample", file, "--label", 10, output=tmp_path / "none") == 2


def test_samples_of_truncated_latents_are_other_ones(conditional, call, tmp_path):
    file = conditional / "checkpoints" / "seed0.pt"
    pictures = {}
    for a in (0.1, 50):
        assert call("sample", file, "--n", 30, "--label", 3, "--truncation", a, output=tmp_path / str(a)) == 0
        pictures[a] = np.array(Image.open(tmp_path / str(a) / "figures" / "samples.png"))
    assert not np.array_equal(pictures[0.1], pictures[50])
    assert call("sample", file, "--truncation", -1, output=tmp_path / "none") == 2


def test_a_grid_draws_each_class(sets):
    preset = replace(presets.get("cgan-fashion-small"), data=str(sets), batch_size=4)
    game = make_game(preset)
    draw = sampler(game, game.init(seed=0), preset)
    shown = grid(draw, preset, 64, 0)
    assert (len(shown.images), shown.columns) == (60, 6)
    each = draw(60, 0, torch.arange(10).repeat_interleave(6))
    assert torch.equal(shown.images, each)


def test_recognition_is_perfect_for_images_of_the_class(sets, cache):
    """A sampler that returns real images of the label that it is asked for is recognized as often as these."""
    preset = replace(presets.get("cgan-fashion-small"), data=str(sets), samples=50, metrics=("recognition",))
    scorer = Scorer(preset, open_data(preset, "test"), cache, "cpu")
    real, labels = classes_of(preset)[1].rows(torch.arange(100))
    answers = scorer.classifier.network(real).argmax(1)

    def draw(n, seed, label):
        rows = [int((labels == one).nonzero()[0]) for one in label]
        return real[rows]

    draw.truncation = None
    found = scorer(draw, 0)["recognition"]
    first = [int((labels == one).nonzero()[0]) for one in range(10)]
    assert found["per_class"] == [float(answers[row] == one) for one, row in enumerate(first)]
    assert found["n"] == 50


def test_the_best_checkpoint_is_that_of_the_best_score(sets, call, tmp_path):
    words = ("train", "--preset", "odegan-fashion-small", "--data", sets, "--step-size", 0.3, *TINY)
    assert call(*words, "--steps", 6, output=tmp_path / "run") == 0
    found = rows(tmp_path / "run")
    best = min(found, key=lambda row: row["fid"]["value"])
    kept = checkpoint.load(tmp_path / "run" / "checkpoints" / "seed0_best.pt")
    assert kept["t"] == best["t"]
    assert call("evaluate", tmp_path / "run" / "checkpoints" / "seed0_best.pt", output=tmp_path / "evaluate") == 0
    assert rows(tmp_path / "evaluate")[0]["fid"]["value"] == pytest.approx(best["fid"]["value"], rel=1e-9)


@pytest.mark.parametrize(
    "metric, better, worse", [("fid", 1.0, 2.0), ("kid", 0.1, 0.2), ("recognition", 0.9, 0.8), ("fid", 9.0, math.nan)]
)
def test_losses_of_scores(metric, better, worse):
    assert loss(metric, better) < loss(metric, worse)


def test_patience_from_the_command_line(call, tmp_path):
    words = ["train", "--preset", "digits", "--quick", "--metrics", "fid", "--step-size", 1e-9, "--steps", 90]
    words += ["--every", 5, "--patience", 1, "--averages", "uniform", "--uniform-from", 0]
    assert call(*words, output=tmp_path / "run") == 0
    (summary,) = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["steps"] < 90


def test_a_run_that_its_minutes_ended_goes_on_with_more(call, tmp_path):
    words = ["train", "--preset", "digits", "--quick", "--metrics", "none", "--steps", 6]
    assert call(*words, "--minutes", 1e-6, output=tmp_path / "run") == 0
    assert call(*words, "--resume", output=tmp_path / "run") == 0
    assert call(*words, output=tmp_path / "whole") == 0
    ended, whole = (checkpoint.load(tmp_path / name / "checkpoints" / "seed0.pt") for name in ("run", "whole"))
    assert torch.equal(ended["y"], whole["y"])


def test_weights_and_biases_gets_every_report(sets, call, tmp_path, monkeypatch, capsys):
    logged = []
    run = types.SimpleNamespace(log=lambda row, step: logged.append((step, row)))
    fake = types.SimpleNamespace(init=lambda **words: run, Image=str, __spec__=types.SimpleNamespace())
    words = ("train", "--preset", "digits", "--quick", "--wandb")
    real = board.importlib.util.find_spec
    monkeypatch.setattr(board.importlib.util, "find_spec", lambda name: None if name == "wandb" else real(name))
    assert call(*words, output=tmp_path / "without") == 0
    assert "(pip install wandb)" in capsys.readouterr().err
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "wandb", fake)
    assert call(*words, output=tmp_path / "with") == 0
    assert [step for step, _ in logged] == [2, 4]
    assert {"seed0/fid", "seed0/fid of raw", "seed0/loss_gen", "seed0"} <= logged[0][1].keys()


# What a user may have in the place of a set: what is changed, and what the one line says.
def cut(path):
    path.write_bytes(path.read_bytes()[:-9])


def unpacked(path):
    path.write_bytes(gzip.decompress(path.read_bytes()))


WRONG = {
    "truncated": (cut, "which is not a usable idx file"),
    "not gzipped": (unpacked, "it is not compressed by gzip"),
    "missing": (Path.unlink, "which has no file of its images"),
    "too large": (
        lambda path: write_idx(path.parent, np.zeros((300, 40, 40), np.uint8), np.zeros(300, np.uint8), "train"),
        "size: got 32; it must be at least that of the images, 40 x 40 pixels",
    ),
    "too many classes": (
        lambda path: write_idx(path.parent, np.zeros((12, 28, 28), np.uint8), np.arange(12, dtype=np.uint8), "train"),
        "of at most 10 classes, as the networks; it has 12",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_files_are_one_line(sets, call, tmp_path, capsys, name):
    change, expected = WRONG[name]
    folder = tmp_path / "sets"
    folder.mkdir()
    for file in sets.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    change(folder / "train-images-idx3-ubyte.gz")
    assert call("train", "--preset", "cgan-fashion-small", "--data", folder, *TINY, output=tmp_path / "run") == 2
    (said,) = capsys.readouterr().err.strip().splitlines()
    assert expected in said
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "words, expected",
    [
        (("odegan-fashion-small", "--metrics", "recognition"), "metrics: got 'recognition'"),
        (("odegan-fashion-small", "--flip", "True"), "flip: got True"),
        (("odegan-fashion-small", "--crop", 10), "crop: got '10'; it must be center"),
        (("odegan-cifar10", "--metrics", "none"), "networks: got 'dcgan'"),
        (("odegan-fashion-small", "--minutes", 0), "minutes: got 0"),
        (("odegan-fashion-small", "--patience", 0), "patience: got 0"),
        (("odegan-fashion-small", "--reference", "valid"), "split: got 'valid'"),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, tuple) else "",
)
def test_wrong_options_are_one_line(sets, call, tmp_path, capsys, words, expected):
    preset, *more = words
    assert call("train", "--preset", preset, "--data", sets, *more, output=tmp_path / "run") == 2
    (said,) = capsys.readouterr().err.strip().splitlines()
    assert expected in said


def test_classifiers_need_classes(tmp_path):
    preset = replace(presets.get("odegan-cifar10"), extractor="classifier", metrics=("fid",))
    with pytest.raises(ArgumentError, match="extractor: got 'classifier'; it must be inception"):
        Scorer(preset, torch.zeros(4, 3, 32, 32), tmp_path, "cpu")
