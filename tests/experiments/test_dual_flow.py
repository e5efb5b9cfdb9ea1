"""The particle-flow experiments: what they write, and the pieces that their claims rest on."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.image import imread
from PIL import Image

pytest.importorskip("tyro")

from experiments.dual_flow import experiment as dual_flow
from experiments.dual_flow import parameters
from experiments.dual_flow.configurations import NETWORK, PAIR, PARTICLES, Configuration, configurations
from experiments.dual_flow.options import DualFlow
from experiments.dual_flow_scheme import experiment as dual_flow_scheme
from experiments.framework import particle_targets as targets
from experiments.framework.folder import Folder
from experiments.framework.power_laws import fit_power_law
from odegan import ArgumentError, plots, vector_field
from odegan.flows import particle_game
from odegan.modules.pure_module import PureModule

OPTIONS = DualFlow().quick_form()


def summary(folder: Path) -> list[dict]:
    return json.loads((folder / "summary.json").read_text())


@pytest.fixture(scope="module")
def quick(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("dual_flow") / "run"
    assert dual_flow.main(["--quick", "--no-progress", "--output", str(folder)]) == 0
    return folder


def test_quick_form_writes_figures_films_and_table(quick: Path) -> None:
    names = {"two_modes", "ring_of_8", "digits"}
    assert {path.stem for path in (quick / "figures").glob("*.gif")} == names
    expected = {"modes", "over_time"} | {f"{name}_moments" for name in names}
    pictures = {path.stem: imread(path) for path in (quick / "figures").glob("*.png")}
    assert pictures.keys() == expected
    assert all(picture[..., :3].std() > 0.02 for picture in pictures.values())
    for path in (quick / "figures").glob("*.gif"):
        with Image.open(path) as film:
            assert film.n_frames == OPTIONS.reports + 1
    rows = summary(quick)
    assert {row["target"] for row in rows} == {"two modes", "ring of 8", "digits"}
    assert {row["players"] for row in rows} == {PARTICLES, NETWORK, PAIR}
    for row in rows:
        assert row["energy distance"] > 0
        assert (row["MMD"] is None) == (row["players"] == PAIR)
        assert (row["modes reached"] is None) == (row["target"] == "digits")
    lines = [json.loads(line) for line in (quick / "metrics.jsonl").read_text().splitlines()]
    assert all(np.isfinite(line["MMD"]).all() for line in lines if "t" in line and PAIR not in line["run"])


@pytest.mark.slow
def test_resumed_run_is_the_whole_one(quick: Path, tmp_path: Path, monkeypatch) -> None:
    calls = []
    original = dual_flow.solve

    def broken(*arguments):
        calls.append(arguments)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return original(*arguments)

    command = ["--quick", "--no-progress", "--output", str(tmp_path / "run")]
    monkeypatch.setattr(dual_flow, "solve", broken)
    assert dual_flow.main(command) == 130
    monkeypatch.setattr(dual_flow, "solve", original)
    assert dual_flow.main([*command, "--resume"]) == 0
    assert summary(tmp_path / "run") == summary(quick)


WRONG = [
    ("--solver rk5", "did you mean 'rk4'?"),
    ("--solver rk4 --step-size 0", "step_size: got 0.0"),
    ("--time -1", "time: got -1.0"),
    ("--data 12", "data: got 12; it must be a multiple of 8"),
    ("--bandwidths 0", "bandwidths: got 0.0"),
    ("--ratios 0.1 2", "r = 1 among the ratios"),
    ("--decay -1", "decay: got -1.0"),
    ("--seeds 0", "seeds: got 0"),
]


@pytest.mark.parametrize("command, message", WRONG)
def test_wrong_options_are_one_line(command: str, message: str, tmp_path: Path, capsys) -> None:
    assert dual_flow.main([*command.split(), "--output", str(tmp_path / "run")]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "command, message", [("--taus 0.3 0.1", "a divisor of every time"), ("--taus 0.1", "two steps")]
)
def test_wrong_steps_are_one_line(command: str, message: str, tmp_path: Path, capsys) -> None:
    assert dual_flow_scheme.main([*command.split(), "--output", str(tmp_path / "run")]) == 2
    assert message in capsys.readouterr().err


def test_scheme_follows_the_flow_with_slope_one(tmp_path: Path) -> None:
    assert dual_flow_scheme.main(["--quick", "--no-progress", "--output", str(tmp_path)]) == 0
    rows = summary(tmp_path)
    assert len(rows) == len(dual_flow_scheme.KERNELS) * len(dual_flow_scheme.ORDERS)
    for row in rows:
        assert row["slope of W2"] == pytest.approx(1.0, abs=0.1)
        assert row["W2, tau 0.1"] < row["W2, tau 0.2"]
    assert imread(tmp_path / "figures/errors.png")[..., :3].std() > 0.02


@pytest.mark.parametrize("players", [PARTICLES, NETWORK, PAIR])
def test_solvers_agree_by_name(players: str, tmp_path: Path) -> None:
    configuration = next(c for c in configurations(OPTIONS) if c.players == players)
    ends = []
    for solver in ("rk4", "dopri5"):
        options = replace(OPTIONS, solver=solver, rtol=1e-8, atol=1e-8, output=tmp_path / solver)
        path = dual_flow.solve(configuration, options, Folder.open(options, "dual_flow", ""))
        ends.append(path.clouds[-1])
    assert (ends[0] - path.clouds[0]).abs().max() > 0.01
    torch.testing.assert_close(ends[0], ends[1], rtol=0, atol=1e-4)


@pytest.mark.parametrize("modes", [2, 8])
def test_circle_has_its_modes_equally(modes: int) -> None:
    target = targets.circle(modes, 64, 0)
    assert target.modes is not None
    nearest = torch.cdist(target.data, target.modes).argmin(1)
    assert torch.bincount(nearest).tolist() == [64 // modes] * modes
    cloud = target.start(1000, torch.Generator().manual_seed(0))
    assert torch.cdist(cloud, target.modes).argmin(1).eq(0).all()
    torch.testing.assert_close(cloud.std(0), torch.full((2,), targets.SPREAD).double(), rtol=0.1, atol=0)


def test_digits_plane_is_whitened_along_its_first_axis() -> None:
    target = targets.digits()
    covariance = torch.cov(target.data.T)
    assert target.data.shape == (1797, 2)
    assert float(covariance[0, 0]) == pytest.approx(1.0, rel=1e-9)
    assert abs(float(covariance[0, 1])) < 1e-9
    assert 0.5 < float(covariance[1, 1]) <= 1.0
    assert float(target.data.abs().max()) < targets.EXTENT


def test_a_mode_is_reached_by_half_its_due() -> None:
    target = targets.circle(2, 8, 0)
    configuration = Configuration(target, PARTICLES, "gaussian", 1.0, 8, 1.0)
    assert target.modes is not None
    far = torch.full((2,), 2.0, dtype=torch.float64)
    for second, modes in [(0, 1), (1, 1), (2, 2)]:
        points = torch.stack([target.modes[0]] * 5 + [target.modes[1]] * second + [far] * (3 - second))
        counts, shares = dual_flow.reached(configuration, points[None, None])
        assert (int(counts), float(shares)) == (modes, (5 + second) / 8)


def test_network_starts_inside_the_mode_and_plays_the_same_game() -> None:
    target = targets.circle(8, 64, 0)
    phi = targets.gaussian(1.0, 8)(target, 0)
    flow = particle_game(target.data, phi, 16, 1.0, target.start)
    z = parameters.latents(16, 0)
    game = parameters.in_parameters(flow, z)
    theta = parameters.network_start(target, z, seed=1)
    cloud = game.sample(torch.cat([torch.zeros(game.n_disc), theta]), 16)
    torch.testing.assert_close(cloud.mean(0), target.origin, rtol=0, atol=1e-12)
    torch.testing.assert_close(cloud.std(0), torch.full((2,), targets.SPREAD).double(), rtol=0, atol=1e-7)
    w = torch.randn(game.n_disc, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found_d, found_g = game.split(vector_field(game)(0.0, torch.cat([w, theta])))
    own_d, own_g = flow.split(vector_field(flow)(0.0, torch.cat([w, cloud.reshape(-1)])))
    torch.testing.assert_close(found_d, own_d, rtol=0, atol=1e-12)
    # The particles' velocity pulled back through the network: theta' = (1/N) sum_i (dx_i / dtheta)^T grad D(x_i).
    network = PureModule(parameters.generator(), "generator")
    _, vjp_fn = torch.func.vjp(lambda own: network(own, z).reshape(-1), theta)
    torch.testing.assert_close(found_g, vjp_fn(own_g)[0] / 16, rtol=0, atol=1e-12)


def test_films_need_frames_and_a_length(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="frames"):
        plots.save_animation([], tmp_path / "a.gif")
    with pytest.raises(ArgumentError, match="frames"):
        plots.clouds([], 1.0)
    frame = plots.clouds([("t", torch.zeros(1, 2), torch.zeros(4, 4))], 1.0)
    with pytest.raises(ArgumentError, match="seconds"):
        plots.save_animation([frame], tmp_path / "a.gif", seconds=0)


def test_film_shows_its_frames_in_order_and_stays_at_the_last(tmp_path: Path) -> None:
    frames = [
        plots.clouds([("", torch.tensor([[x, 0.0]]).expand(400, 2), torch.zeros(4, 4))], 1.0) for x in (-0.5, 0.0, 0.5)
    ]
    path = plots.save_animation(iter(frames), tmp_path / "made/here.gif", seconds=0.3)
    places = []
    times = []
    with Image.open(path) as film:
        for k in range(film.n_frames):
            film.seek(k)
            pixels = np.asarray(film.convert("RGB")).astype(float)
            blue = (pixels[..., 2] - pixels[..., 0] > 100).nonzero()
            places.append(float(np.mean(blue[1])))
            times.append(film.info["duration"])
    assert places == sorted(places)
    assert len(set(places)) == 3
    assert times[0] == 100
    assert times[-1] == 1100


def test_slope_of_a_power() -> None:
    assert fit_power_law([0.1, 0.2, 0.4], [x**1.5 for x in (0.1, 0.2, 0.4)]).slope == pytest.approx(1.5)
    assert math.isclose(fit_power_law([1.0, 2.0], [3.0, 3.0]).slope, 0.0, abs_tol=1e-12)
