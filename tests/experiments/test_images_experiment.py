"""Image training from the command line: artifacts, exact resumption, checkpoints read back, and every preset for two steps."""

import json
import signal
import time

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from experiments.images import board as images_board
from experiments.images import pictures as images_pictures
from experiments.images import preset, presets
from experiments.images import sampling as images_sampling
from experiments.images.ingredients import make_game
from experiments.images.sampling import sampler
from experiments.images.settings import Cost, variants
from odegan import ArgumentError, nets
from odegan.utils import checkpoint
from tests import forked
from tests.experiments.conftest import ROOT, rows, saved

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def quick(call, tmp_path_factory):
    """The folder of an uninterrupted quick run on the digits."""
    folder = tmp_path_factory.mktemp("images") / "run"
    assert call("train", "--preset", "digits", "--quick", "--steps", 40, "--every", 20, output=folder) == 0
    return folder


def test_every_artifact_is_there(quick):
    assert {path.name for path in (quick / "figures").iterdir()} == {
        "samples.png",
        "over_time.gif",
        "losses.png",
        "fid.png",
        "coverage.png",
    }
    grids = sorted(path.name for path in (quick / "samples" / "seed0").iterdir())
    assert grids == ["00000000.png", "00000020.png", "00000040.png"]
    with Image.open(quick / "figures" / "over_time.gif") as animation:
        assert animation.n_frames == 3
    assert [row["evaluations"] for row in rows(quick)] == [40, 80]
    (summary,) = json.loads((quick / "summary.json").read_text())
    assert (summary["steps"], summary["field evaluations"], summary["diverged"]) == (40, 80, 0)


def test_scores_say_what_they_depend_on(quick):
    score = rows(quick)[-1]["fid"]
    assert score["value"] > 0
    assert score["extractor"] == "classifier of digits, seed 0, trained briefly"
    assert 0.5 < score["extractor_accuracy"] < 1
    assert (score["n"], score["n_real"], score["normalization"], score["seed"]) == (64, 1797, "none", 0)


def test_the_exponential_average_is_what_is_scored(quick):
    payload = saved(quick)
    exponential, uniform, monitor = payload["callbacks"]
    assert monitor["step"] == 40
    used = preset.Preset(**monitor["preset"])
    first = sampler(make_game(used), exponential["y"], used)(64, 0)
    images_pictures.save(first, quick / "again.png", quick=True)
    assert (quick / "again.png").read_bytes() == (quick / "figures" / "samples.png").read_bytes()
    assert not torch.equal(uniform["y"], exponential["y"])
    assert not torch.equal(payload["y"], exponential["y"])


def test_sample_grids_of_a_quick_form_say_so(tmp_path):
    images = -torch.ones(4, 1, 8, 8)
    with Image.open(images_pictures.save(images, tmp_path / "grid.png", quick=True)) as marked:
        assert any(red > 2 * green for _, (red, green, _) in marked.getcolors(2**16))
    with Image.open(images_pictures.save(images, tmp_path / "grid.png")) as plain:
        assert {color for _, color in plain.getcolors()} == {0, 255}  # of the images, and between them


def test_the_export_loads_into_the_plain_module(quick):
    export = checkpoint.load(quick / "generator.pt")
    used = preset.Preset(**export["preset"])
    generator = nets.get(used.networks).generator(used.latent)
    generator.load_state_dict(export["generator"])
    average = saved(quick)["callbacks"][0]["y"]
    draw = sampler(make_game(used), average, used)
    z = draw.latents(5, 3)
    torch.testing.assert_close(generator(z), draw.images(z))


@pytest.mark.slow
def test_killed_and_resumed_equals_uninterrupted(call, quick, cache, tmp_path):
    words = ["train", "--preset", "digits", "--quick", "--steps", "40", "--every", "20", "--save-every", "3"]
    command = ["-m", "experiments.images", *words, "--no-progress", "--cache", cache, "--output", tmp_path / "run"]
    process = forked.Python(*command, cwd=ROOT)
    while not (tmp_path / "run" / "checkpoints" / "seed0.pt").exists():
        assert process.is_alive()
        time.sleep(0.002)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert saved(tmp_path / "run")["t"] < saved(quick)["t"]
    assert call(*words, output=tmp_path / "run", resume=True) == 0
    resumed = saved(tmp_path / "run")
    whole = saved(quick)
    assert torch.equal(resumed["y"], whole["y"])
    for kept, ours in zip(resumed["callbacks"][:2], whole["callbacks"][:2], strict=True):
        assert torch.equal(kept["y"], ours["y"])
    assert rows(tmp_path / "run") == rows(quick)
    for picture in (quick / "samples" / "seed0").iterdir():
        assert (tmp_path / "run" / "samples" / "seed0" / picture.name).read_bytes() == picture.read_bytes()


def test_evaluate(call, quick, tmp_path):
    file = quick / "checkpoints" / "seed0.pt"
    metrics = ("fid", "kid", "inception_score", "precision", "recall")
    assert call("evaluate", file, "--metrics", *metrics, "--quick", output=tmp_path / "e") == 0
    (row,) = rows(tmp_path / "e")
    assert row["fid"]["value"] == pytest.approx(rows(quick)[-1]["fid"]["value"], rel=1e-9)
    assert set(metrics) <= set(row)
    (summary,) = json.loads((tmp_path / "e" / "summary.json").read_text())
    assert 1 <= summary["inception_score"] <= 10
    assert call("evaluate", file, "--average", "raw", "--quick", output=tmp_path / "raw") == 0
    assert rows(tmp_path / "raw")[0]["fid"]["value"] != row["fid"]["value"]


def test_sample_and_interpolate(call, quick, tmp_path):
    file = quick / "checkpoints" / "seed0.pt"
    assert call("sample", file, "--n", 5, output=tmp_path / "s") == 0
    assert call("sample", file, "--n", 3, "--separate", output=tmp_path / "each") == 0
    assert len(list((tmp_path / "each" / "figures").iterdir())) == 3
    assert call("interpolate", file, "--rows", 2, "--columns", 7, output=tmp_path / "i") == 0
    with Image.open(tmp_path / "i" / "figures" / "interpolation.png") as picture:
        assert picture.width > 3 * picture.height


def test_interpolations_keep_to_the_great_circle():
    torch.manual_seed(0)
    starts = torch.randn(4, 16)
    ends = torch.randn(4, 16)
    path = images_sampling.interpolations(starts, ends, 9)
    torch.testing.assert_close(path[:, 0], starts)
    torch.testing.assert_close(path[:, -1], ends)
    unit = nn.functional.normalize
    circle = images_sampling.interpolations(unit(starts), unit(ends), 9)
    torch.testing.assert_close(circle.norm(dim=2), torch.ones(4, 9))
    still = images_sampling.interpolations(starts, starts, 3)
    torch.testing.assert_close(still, starts[:, None].expand_as(still), rtol=1e-3, atol=1e-3)


def test_compare(call, tmp_path):
    words = ("compare", "--preset", "digits", "--quick", "--seeds", 2)
    words += ("--solvers", "euler@0.2", "heun2", "adam", "euler@1e30")
    assert call(*words, output=tmp_path / "run") == 0
    table = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert [row["solver"] for row in table] == ["euler", "heun2", "adam", "euler"]
    assert [row["steps"] for row in table] == [16, 8, 16, 16]
    assert {row["field evaluations"] for row in table[:3]} == {16}
    assert [row["diverged"] for row in table] == [0, 0, 0, 2]
    assert {(row["run"], row["seed"]) for row in rows(tmp_path / "run")} == {
        (f"{name}_seed{seed}", seed) for name in ("euler_0.2", "heun2", "adam") for seed in (0, 1)
    }
    figures = {path.name for path in (tmp_path / "run" / "figures").iterdir()}
    over = {
        f"{metric}_over_{axis}.png" for metric in ("fid", "coverage") for axis in ("evaluations", "time", "seconds")
    }
    assert figures == {*over, "samples.png"}


def test_variants_cost_and_average_the_same():
    base = presets.get("digits")
    cost = Cost(6000, 10)
    found = variants(base, ("euler", "heun2", "rk4_classic", "alternating", "adam"), (), (), cost)
    assert {name: one.steps for name, one in found.items()} == {
        "euler": 6000,
        "heun2": 3000,
        "rk4_classic": 1500,
        "alternating": 6000,
        "adam": 6000,
    }
    each = {"euler": 1, "heun2": 2, "rk4_classic": 4, "alternating": 1, "adam": 1}
    for name, one in found.items():
        assert each[name] / (1 - one.decay) == pytest.approx(1000)
    assert found["heun2"].penalty == base.penalty
    assert found["adam"].keywords()["penalties"] == []
    with pytest.raises(ArgumentError, match="fixed-step"):
        variants(base, ("dopri5",), (), (), cost)


def test_animations_of_long_runs_have_few_pictures(tmp_path):
    frames = [images_pictures.save(torch.full((1, 1, 8, 8), i / 100 - 1), tmp_path / f"{i}.png") for i in range(200)]
    with Image.open(images_pictures.animate(frames, tmp_path / "all.gif", seconds=1.0)) as animation:
        assert animation.n_frames == 10
        first = animation.convert("L").getpixel((100, 100))
        animation.seek(9)
        assert (first, animation.convert("L").getpixel((100, 100))) == pytest.approx((0, 254), abs=2)


def test_tensorboard(call, tmp_path, capsys, monkeypatch):
    real = images_board.importlib.util.find_spec
    missing = lambda name: None if name == "tensorboard" else real(name)  # noqa: E731
    monkeypatch.setattr(images_board.importlib.util, "find_spec", missing)
    assert call("train", "--preset", "digits", "--quick", "--tensorboard", output=tmp_path / "run") == 0
    assert "pip install 'odegan[tensorboard]'" in capsys.readouterr().err
    monkeypatch.undo()
    pytest.importorskip("tensorboard")
    assert call("train", "--preset", "digits", "--quick", "--tensorboard", output=tmp_path / "with") == 0
    assert any((tmp_path / "with" / "tensorboard").iterdir())


def test_pictures_are_the_tiles_enlarged(tmp_path):
    shown = torch.tensor([-1.0, 0.0, 1.0]).reshape(3, 1, 1, 1).expand(3, 3, 4, 4)
    with Image.open(images_pictures.save(shown, tmp_path / "grid.png", columns=2)) as picture:
        sheet = np.asarray(picture)
    factor = len(sheet) // 11
    assert sheet.shape == (11 * factor, 11 * factor, 3)
    sheet = sheet[::factor, ::factor]
    assert sheet[1, 1].tolist() == [0, 0, 0]
    assert sheet[1, 6].tolist() == [128, 128, 128]
    assert sheet[6, 1].tolist() == sheet[6, 6].tolist() == sheet[0, 0].tolist() == [255, 255, 255]


def test_coverage_is_that_of_sets_with_classes_alone(call, tmp_path, capsys, pictures):
    words = ("train", "--preset", "digits", "--data", pictures, "--metrics", "coverage")
    assert call(*words, output=tmp_path / "run") == 2
    assert "metrics: got 'coverage'" in capsys.readouterr().err


def test_batch_statistics_of_samples(monkeypatch):
    """Estimated statistics make every image its latent's own; those of the batch do not."""
    monkeypatch.setattr(images_sampling, "ESTIMATED", 5)
    coupled = preset.changed(
        presets.get("odegan-fashion-small"), {"batch_size": 4, "latent": 8, "batch_statistics": True}
    )
    game = make_game(coupled)
    y = game.init(seed=0)
    running = sampler(game, y, preset.changed(coupled, {"batch_statistics": False}))
    batch = sampler(game, y, coupled)
    assert (running.normalization, batch.normalization) == ("running", "batch")
    z = running.latents(8, 0)
    torch.testing.assert_close(running.images(z)[:2], running.images(z[:2]), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(batch.images(z)[:2], batch.images(z[:2]), atol=1e-3)
    assert batch(3, 0).shape == (3, 1, 32, 32)
