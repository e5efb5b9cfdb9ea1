"""The edge-of-stability experiment: what limits a step, in closed form, and its quick form."""

from __future__ import annotations

import json

import pytest
import torch

pytest.importorskip("tyro")

from experiments.edge import experiment as edge
from experiments.edge.linearized import limit
from odegan import games

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


def test_quick_form_writes_and_resumes(tmp_path):
    call = ["--quick", "--no-progress", "--output", str(tmp_path / "run")]
    assert edge.main(call) == 0
    before = (tmp_path / "run/summary.json").read_text()
    rows = json.loads(before)
    assert [row["linearized"] for row in rows] == [2, 2]
    assert all(row["h / largest step, second half"][0] > 0 for row in rows)
    assert edge.main([*call, "--resume"]) == 0
    assert (tmp_path / "run/summary.json").read_text() == before
    assert {path.stem for path in (tmp_path / "run/figures").glob("*.png")} == {"along", "eigenvalues"}


def test_wrong_options_end_in_one_line(tmp_path, capsys):
    assert edge.main(["--settings", "rk5", "--output", str(tmp_path / "run")]) == 2
    assert "settings: got 'rk5'" in capsys.readouterr().err
