"""Euler's drift: the modified field in closed form and by slopes, and the experiment's quick form."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
import torch

pytest.importorskip("tyro")

from experiments.drift import experiment as drift
from experiments.drift.modified import Drift, Drifting, of_game
from odegan import Game, games, odeint_gan, penalties, vector_field

D = torch.float64
SIGNED = {  # drift -> the switches of the penalty that cancels it
    "both": (Drift(), {}),
    "own": (Drift(interaction=False), {"interaction": False}),
    "interaction": (Drift(own=False), {"self_terms": False}),
}


def apart(solver: str, game: Game, other: Game, h: float) -> float:
    """The distance after t = 1 from Euler's method with step h on the other game."""
    t = torch.tensor([0.0, 1.0], dtype=D)
    y0 = torch.tensor([0.7, -0.4], dtype=D)
    runs = [odeint_gan(g, y0, t, solver=s, step_size=h).y for s, g in ((solver, game), ("euler", other))]
    return float((runs[0] - runs[1]).norm())


@pytest.mark.parametrize(
    "added, order", [(None, 1), (Drift(), 2), (Drift(interaction=False), 1), (Drift(own=False), 1)], ids=str
)
def test_rk4_on_the_modified_field_is_eulers_method_to_one_order_more(added, order):
    game = games.dirac("non_saturating", c=1.0)
    made = (lambda h: game) if added is None else lambda h: Drifting(game, h, added)
    errors = [apart("rk4_classic", made(h), game, h) for h in (1 / 20, 1 / 40)]
    assert math.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.2)


def test_eulers_method_without_its_drift_is_the_midpoint_rule():
    game = games.dirac("non_saturating", c=1.0)
    t = torch.tensor([0.0, 2.0], dtype=D)
    y0 = torch.tensor([0.7, -0.4], dtype=D)
    found = odeint_gan(Drifting(game, 0.25, Drift(times=-1.0)), y0, t, solver="euler", step_size=0.25).y
    assert torch.allclose(found, odeint_gan(game, y0, t, solver="midpoint", step_size=0.25).y, rtol=1e-13)


@pytest.mark.parametrize("name", SIGNED)
def test_on_a_linear_field_it_is_the_canceling_penalty_with_the_other_sign(name):
    added, switches = SIGNED[name]
    game = games.bilinear()
    opposite = replace(penalties.drift_cancellation(0.3, **switches), weight=-0.3)
    y = torch.tensor([2.0, 3.0], dtype=D)
    assert torch.allclose(vector_field(Drifting(game, 0.3, added))(0.0, y), vector_field(game, [opposite])(0.0, y))


def test_a_penalty_of_the_game_does_not_see_the_drift():
    game = games.dirac("non_saturating", c=1.0)
    y = torch.tensor([0.7, -0.4], dtype=D)
    made = penalties.generator_gradient(0.5)
    alone = vector_field(game, [made])(0.0, y) - vector_field(game)(0.0, y)
    drifting = Drifting(game, 0.3, Drift())
    added = vector_field(drifting, [of_game(made, game)])(0.0, y) - vector_field(drifting)(0.0, y)
    assert torch.allclose(added, alone)


def test_the_quick_form_extended_is_the_longer_one(tmp_path):
    base = ["--quick", "--no-progress", "--settings", "rk4 + drift", "rk4 + drift, halves"]
    whole = tmp_path / "whole"
    parts = tmp_path / "parts"
    assert drift.main([*base, "--output", str(whole), "--time", "2"]) == 0
    assert drift.main([*base, "--output", str(parts)]) == 0
    assert drift.main([*base, "--output", str(parts), "--time", "2", "--resume"]) == 0
    rows = [json.loads((folder / "summary.json").read_text()) for folder in (whole, parts)]
    assert rows[0] == rows[1]
    assert [row["setting"] for row in rows[0]] == ["euler", "rk4 + drift", "rk4 + drift, halves"]
    assert [row["evaluations"] for row in rows[0]] == [10, 80, 160]
    assert {path.stem for path in (whole / "figures").glob("*.png")} == {"modes", "quality", "bars", "distance"}


@pytest.mark.parametrize(
    "call, words", [(["--settings", "rk5"], "settings: got 'rk5'"), (["--time", "0"], "time: got 0.0")]
)
def test_wrong_options_end_in_one_line(call, words, tmp_path, capsys):
    assert drift.main([*call, "--output", str(tmp_path / "run")]) == 2
    assert words in capsys.readouterr().err
