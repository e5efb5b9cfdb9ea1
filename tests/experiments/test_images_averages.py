"""Which parameters ``experiments.images`` scores, names and keeps: an average from where it begins, before it the raw ones."""

import pytest
import torch

from experiments.images.ingredients import make_game
from experiments.images.integration import begin
from experiments.images.monitor import Report, counted
from experiments.images.preset import changed
from experiments.images.presets import get
from odegan.utils import checkpoint
from tests.experiments import own_networks
from tests.experiments.conftest import rows, saved

torch.set_num_threads(1)
UNIFORM = ("train", "--preset", "digits", "--quick", "--metrics", "fid", "--samples", 16, "--grid", 4, "--steps", 4)
UNIFORM += ("--every", 1, "--averages", "uniform")
OWN = "tests.experiments.own_networks"


@pytest.mark.parametrize("begins", [2, 100])
def test_scores_before_an_average_begins_are_those_of_the_raw_parameters(call, tmp_path, begins):
    folder = tmp_path / "run"
    assert call(*UNIFORM, "--uniform-from", begins, output=folder) == 0
    found = rows(folder)
    assert [row["weights"] for row in found] == ["uniform" if row["step"] > begins else "raw" for row in found]
    assert ["raw" in row for row in found] == [row["step"] > begins for row in found]
    assert all((folder / "samples" / "seed0" / f"{row['step']:08d}.png").exists() for row in found)
    scored = found[-1]["weights"]
    assert checkpoint.load(folder / "generator.pt")["weights"] == scored
    best = min((row for row in found if row["weights"] == scored), key=lambda row: row["fid"]["value"])
    assert saved(folder, "seed0_best")["t"] == best["t"]
    for name, row in {"seed0": found[-1], "seed0_best": best}.items():
        again = tmp_path / name
        assert call("evaluate", folder / "checkpoints" / f"{name}.pt", "--quick", output=again) == 0
        (found_again,) = rows(again)
        assert found_again["weights"] == scored
        assert found_again["fid"]["value"] == pytest.approx(row["fid"]["value"], rel=1e-9)
    assert call("sample", folder / "checkpoints" / "seed0.pt", "--average", "uniform", output=tmp_path / "s") == (
        0 if scored == "uniform" else 2
    )


def test_scores_of_an_average_are_compared_with_each_other():
    def report(step, average):
        return Report(step, 0.0, 0, 0.0, (0.0, 0.0), {}, {"raw": {}} if average else {})

    of_both = [report(1, False), report(2, True), report(3, True)]
    assert [one.step for one in counted(of_both)] == [2, 3]
    assert [one.step for one in counted(of_both[:1])] == [1]
    preset = changed(get("digits"), {"averages": ("uniform",)})
    assert [one.weights(preset) for one in of_both] == ["raw", "uniform", "uniform"]


@pytest.mark.parametrize("seed", [0, 3])
def test_a_pair_of_ones_own_starts_with_its_own_values(seed):
    preset = changed(get("digits"), {"networks": f"{OWN}:FILLED"})
    game, start = begin(preset, seed, "cpu")
    theta_d, theta_g = game.split(start)
    assert (theta_g == own_networks.CONSTANT).all()
    torch.manual_seed(seed)
    own_networks.filled(preset.latent)
    made = torch.cat([parameter.detach().flatten() for parameter in own_networks.normal().parameters()])
    assert torch.equal(theta_d, made)


def test_networks_of_the_library_start_as_their_game_does():
    preset = get("digits")
    game, start = begin(preset, 5, "cpu")
    assert torch.equal(start, game.init(seed=5))
    assert torch.equal(start, make_game(preset).init(seed=5))
