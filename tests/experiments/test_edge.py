"""The edge-of-stability experiment: what limits a step, in closed form, and its quick form."""

from __future__ import annotations

import inspect
import json
import math

import numpy as np
import pytest
import torch

pytest.importorskip("tyro")

import odegan
from experiments.edge import experiment as edge
from experiments.edge import optimizers
from experiments.edge.linearized import LOST, Found, Limit, jacobian, limit, packed, unpacked
from experiments.edge.optimizers import largest_step_with_momentum, stability
from experiments.edge.options import SETTINGS, Edge, Setting
from experiments.edge.problems import PROBLEMS
from odegan import ArgumentError, games
from odegan.solvers import optimizers as optimizers_of_runs

D = torch.float64


def test_the_limit_of_a_linear_field_is_known():
    """Blocks: the discriminator's own -4, the generator's own -1, a rotation between both, and a growing mode."""
    blocks = torch.block_diag(
        torch.tensor([[-4.0]]), torch.tensor([[-0.1, -1.5], [1.5, -0.1]]), torch.tensor([[0.5]]), -torch.eye(2)
    ).double()
    order = [0, 1, 3, 2, 4, 5]  # D: the first mode, half of the rotation, the growing one
    matrix = blocks[order][:, order]
    game = games.quadratic(matrix, n_disc=3)
    y = torch.ones(6, dtype=D)
    by_euler = limit(game, y, None, [], "euler", k=4)
    assert by_euler.step == pytest.approx(2 * 0.1 / (0.1**2 + 1.5**2), rel=1e-3)  # 2 |Re| / |lambda|^2, the rotation's
    assert not by_euler.real
    assert by_euler.share == pytest.approx(0.5, abs=1e-3)
    by_rk4 = limit(game, y, None, [], "rk4_classic", k=4)
    assert by_rk4.step == pytest.approx(2.785294 / 4, rel=1e-3)
    assert by_rk4.real
    assert by_rk4.share == pytest.approx(1, abs=1e-3)
    halved = limit(game, y, None, [], "rk4_classic", 4, torch.full((6,), 0.5))
    assert halved.step == pytest.approx(2 * by_rk4.step, rel=1e-3)


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("eigenvalue", [-4.0, -0.1 + 1.5j, -0.1 - 1.5j, -2 + 2j, -1 + 30j])
def test_the_largest_step_of_momentum_is_where_its_growth_factors_reach_1(eigenvalue, momentum):
    def growth(h):
        # The step as a matrix on (y, m).
        move = (1 - momentum) * h * eigenvalue
        matrix = np.array([[1 + move, h * momentum], [(1 - momentum) * eigenvalue, momentum]])
        return abs(np.linalg.eigvals(matrix)).max()

    h = largest_step_with_momentum(eigenvalue, momentum)
    assert max(growth(0.5 * h), growth(0.99 * h)) < 1 < growth(1.01 * h)
    w = torch.tensor([h * eigenvalue], dtype=torch.complex128)
    torch.testing.assert_close(stability(w, momentum), torch.ones(1, dtype=D))


def test_no_step_is_stable_on_a_growing_eigenvalue():
    assert largest_step_with_momentum(1e-9 + 1j, 0.9) == 0
    found = Found("adam", 0.1, torch.ones(1), [[Limit(0.0, 1j, 0.5, 0)]])
    assert found.ratios.tolist() == [[math.inf]]


def test_a_field_that_does_not_change_limits_no_step():
    assert largest_step_with_momentum(0j, 0.9) == math.inf


@pytest.mark.parametrize("solver, momentum", [("adam", 0.9), ("rmsprop", 0.0)])
def test_the_limit_of_a_rescaled_quadratic_is_known(solver, momentum):
    """Rescaled by 2 / curvature, a quadratic has the curvature 2 along every axis but the first, which has 3."""
    curvatures = torch.tensor([3.0, 0.5, 1.0, 2.0, 5.0, 8.0], dtype=D)
    scale = 2 / curvatures
    scale[0] = 1
    found = limit(
        games.quadratic(-torch.diag(curvatures), n_disc=1), torch.zeros(6, dtype=D), None, [], solver, 2, scale
    )
    assert found.step == pytest.approx(2 / 3 * (1 + momentum) / (1 - momentum), rel=1e-3)
    assert found.share == pytest.approx(1, abs=1e-3)


def test_the_constants_are_the_solvers_defaults():
    adam, rmsprop = (
        inspect.signature(rule).parameters for rule in (optimizers_of_runs.adam, optimizers_of_runs.rmsprop)
    )
    assert adam["betas"].default == (optimizers.MOMENTUM["adam"], optimizers.SQUARES_DECAY)
    assert adam["eps"].default == rmsprop["eps"].default == optimizers.EPS


@pytest.mark.parametrize("solver", ["adam", "rmsprop"])
def test_scales_are_those_by_which_an_optimizer_multiplies_the_field(solver, tmp_path):
    """Without momentum, the step to a moment is the field before it times the factors that are kept there."""
    game = games.quadratic(-torch.eye(2, dtype=D), n_disc=1)
    y0 = torch.tensor([[1.0, -3.0], [2.0, 0.5]], dtype=D)
    options = {"betas": (0.0, 0.999)} if solver == "adam" else {}
    times = [0.02, 0.03]

    keywords = {
        "solver": solver,
        "step_size": 0.01,
        "options": options,
        "seed": [0, 1],
        "checkpoint": tmp_path / "run.pt",
    }

    def run(steps, scales):
        return odegan.odeint_gan(game, y0, steps=steps, report_every=1, callback=scales, **keywords).ys

    run(2, optimizers.Scales(times))
    scales = optimizers.Scales(times)  # in another process, say: what was kept comes from the checkpoint
    states = run(3, scales)
    assert len(scales.kept) == 2
    for i, kept in zip((2, 3), scales.kept, strict=True):
        torch.testing.assert_close((states[i] - states[i - 1]) / 0.01, -states[i - 1] * kept)


@pytest.mark.parametrize("name", ["euler", "euler, r1", "euler, jare", "digits, euler, h = 0.2"])
def test_penalized_fields_are_linearized(name):
    """Forward-mode derivatives are central differences of the field."""
    setting = SETTINGS[name]
    game = PROBLEMS[setting.problem].game()
    y = game.init(0).double()
    batch = edge.minibatch(setting, Edge(batch_size=16), 0, y)
    tangent = torch.randn(len(y), dtype=D, generator=torch.Generator().manual_seed(0))
    field = odegan.vector_field(game, setting.penalties)
    # So small that no unit of ReLU changes its sign in between.
    h = 1e-8
    difference = (field(0.0, y + h * tangent, batch) - field(0.0, y - h * tangent, batch)) / (2 * h)
    found = jacobian(game, y, batch, setting.penalties)(tangent)
    assert (found - difference).norm() < 1e-5 * found.norm()


def test_a_setting_that_diverges_keeps_the_others(tmp_path, monkeypatch):
    monkeypatch.setitem(SETTINGS, "euler", Setting("euler", 1e12))
    folder = tmp_path / "run"
    words = ["--settings", "euler", "rmsprop, no penalty", "--steps", "4", "--moments", "2", "--seeds", "2", "--k", "2"]
    edge.main([*words, "--batch-size", "32", "--no-progress", "--output", str(folder)])
    rows = {row["setting"]: row for row in json.loads((folder / "summary.json").read_text())}
    assert rows["euler"]["diverged"] == "2 of 2"
    assert rows["rmsprop, no penalty"]["diverged"] == "0 of 2"
    assert rows["rmsprop, no penalty"]["linearized"] == 4


def test_quick_form_writes_and_resumes(tmp_path, monkeypatch):
    call = ["--quick", "--no-progress", "--output", str(tmp_path / "run")]
    assert edge.main(call) == 0
    before = (tmp_path / "run/summary.json").read_text()
    rows = json.loads(before)
    assert [row["linearized"] for row in rows] == [2, 2, 2]
    assert all(row["h / largest step, second half"][0] > 0 for row in rows)
    # What an interrupted run has linearized is not linearized again.
    (tmp_path / "run/linearized/rmsprop_no_penalty.pt").unlink()
    linearized = []
    monkeypatch.setattr(edge, "limit", lambda *rest: linearized.append(rest[4]) or limit(*rest))
    assert edge.main([*call, "--resume"]) == 0
    assert (tmp_path / "run/summary.json").read_text() == before
    assert linearized == ["rmsprop", "rmsprop"]
    assert {path.stem for path in (tmp_path / "run/figures").glob("*.png")} == {"along", "eigenvalues"}


def test_limits_survive_a_file():
    limits = [[Limit(0.5, -1 + 2j, 0.25, 1), LOST], [Limit(math.inf, complex(math.nan), math.nan, 4), LOST]]
    assert str(unpacked(packed(limits))) == str(limits)  # as text, where nan equals nan


def test_runs_on_fashion_mnist_alone_have_a_page_of_their_own():
    assert Edge().name("edge") == "edge"
    assert {SETTINGS[name].problem for name in Edge().settings} == {"mixture", "digits"}
    clothes = tuple(name for name, setting in SETTINGS.items() if setting.problem == "fashion")
    assert Edge(settings=clothes).name("edge") == "edge_fashion"
    with pytest.raises(ArgumentError, match="all on Fashion-MNIST or none"):
        Edge(settings=(*clothes, "euler")).check()


@pytest.mark.slow
def test_fashion_mnist_is_trained_and_linearized(tmp_path):
    words = ["--settings", "fashion, euler, h = 0.04", "--steps", "1", "--moments", "1", "--seeds", "1", "--k", "1"]
    try:
        PROBLEMS["fashion"].data()
    except (ArgumentError, OSError) as error:
        pytest.skip(f"needs Fashion-MNIST: {error}")
    assert edge.main([*words, "--output", str(tmp_path)]) == 0
    (row,) = json.loads((tmp_path / "summary.json").read_text())
    assert row["h / largest step, first"][0] > 0
    assert row["diverged"] == "0 of 1"


def test_wrong_options_end_in_one_line(tmp_path, capsys):
    assert edge.main(["--settings", "rk5", "--output", str(tmp_path / "run")]) == 2
    assert "settings: got 'rk5'" in capsys.readouterr().err
