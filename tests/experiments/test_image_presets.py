"""Every preset of the image experiment takes two steps and resumes; the largest take one step."""

import numpy as np
import pytest
import torch
from torch import nn

from experiments.images import presets
from experiments.images import scores as images_scores
from experiments.images.ingredients import make_game
from experiments.images.monitor import Monitor
from odegan.metrics.features import find_extractor
from odegan.utils.fingerprint import describe
from tests.experiments.conftest import rows, saved

torch.set_num_threads(1)


@pytest.mark.parametrize("name", [pytest.param("sngan-cifar10", marks=pytest.mark.slow), "jare-cifar10-3"])
def test_the_game_of_a_preset_is_always_the_same(name):
    before = torch.get_rng_state()
    first = make_game(presets.get(name))
    second = make_game(presets.get(name))
    assert describe(first) == describe(second)
    assert torch.equal(torch.get_rng_state(), before)


# Every preset at its real shapes, one of them by default; the largest take one step, as each of theirs takes minutes.
LARGE = [name for name in presets.PRESETS if presets.get(name).size > 64]
EACH = [
    pytest.param(name, marks=[pytest.mark.slow] * (name != "odegan-fashion-small"))
    for name in presets.PRESETS
    if name not in LARGE
]
WORDS = ["--reference", "train", "--batch-size", 2, "--uniform-from", 0]
WORDS += ["--save-every", 1, "--samples", 4, "--grid", 4, "--metrics", "fid", "--extractor", "inception"]


@pytest.fixture
def small_features(monkeypatch):
    """A small network in the place of Inception."""
    torch.manual_seed(0)
    pooled = [nn.AdaptiveAvgPool2d(8), nn.Flatten()]
    networks = {channels: nn.Sequential(*pooled, nn.Linear(64 * channels, 4)) for channels in (1, 3)}

    def extractor(name, device):
        assert name == "inception"
        return find_extractor(lambda x: (found := networks[x.shape[1]](x), found), device)

    monkeypatch.setattr(images_scores, "find_extractor", extractor)


@pytest.mark.slow
@pytest.mark.parametrize("name", LARGE)
def test_a_large_preset_takes_a_step(call, pictures, small_features, tmp_path, name):
    words = ["train", "--preset", name, "--data", pictures, *WORDS, "--steps", 1, "--every", 1]
    assert call(*words, output=tmp_path / "run") == 0
    (row,) = rows(tmp_path / "run")
    assert row["step"] == 1
    assert np.isfinite([row["loss_disc"], row["loss_gen"], row["fid"]["value"]]).all()


@pytest.mark.parametrize("name", EACH)
def test_every_preset_takes_two_steps_and_resumes(call, pictures, small_features, tmp_path, monkeypatch, name):
    words = ["train", "--preset", name, "--data", pictures, *WORDS, "--steps", 2, "--every", 2]
    assert call(*words, output=tmp_path / "whole") == 0
    (row,) = rows(tmp_path / "whole")
    assert row["step"] == 2
    assert np.isfinite([row["loss_disc"], row["loss_gen"], row["fid"]["value"]]).all()

    before = Monitor.__call__

    def cut_short(monitor, state, info):
        if monitor.step == 1:
            raise KeyboardInterrupt
        before(monitor, state, info)

    monkeypatch.setattr(Monitor, "__call__", cut_short)
    assert call(*words, output=tmp_path / "cut") == 130
    monkeypatch.setattr(Monitor, "__call__", before)
    assert saved(tmp_path / "cut")["t"] < saved(tmp_path / "whole")["t"]
    assert call(*words, output=tmp_path / "cut", resume=True) == 0
    assert torch.equal(saved(tmp_path / "cut")["y"], saved(tmp_path / "whole")["y"])
    assert rows(tmp_path / "cut") == rows(tmp_path / "whole")

    file = tmp_path / "whole" / "checkpoints" / "seed0.pt"
    assert call("sample", file, "--n", 3, output=tmp_path / "sample") == 0
    assert call("evaluate", file, "--metrics", "fid", "kid", "--samples", 6, output=tmp_path / "evaluate") == 0
    assert np.isfinite(rows(tmp_path / "evaluate")[0]["kid"]["value"])
