"""The ring of 8 with other weights, on further mixtures, and in its several forms."""

from itertools import product
from pathlib import Path

import pytest
import torch

pytest.importorskip("tyro")

from experiments.framework.command_line import parse
from experiments.ring8 import experiment as ring8
from experiments.ring8.options import Ring8
from experiments.ring8.rings import RINGS, Method
from odegan.metrics import mixture_scores
from tests.experiments.ring8_runs import call, summary

torch.set_num_threads(1)


def test_a_weight_replaces_the_papers_alone() -> None:
    options = Ring8(methods=("none", "reg-D1@0.5", "abs@2", "JARE"))
    assert ring8.chosen(options, RINGS["jare"]) == {
        "none": Method(),
        "reg-D1@0.5": Method(("reg:0.5,player=disc,norm=joint",)),
        "JARE": Method(("jare:1000",)),
    }
    assert ring8.chosen(options, RINGS["clc"])["abs@2"] == Method(("closed_loop:2,kind=abs",))
    swept = ring8.chosen(Ring8(methods=("alternating reg-G2", "none"), weights=(1, 1e-5)), RINGS["jare"])
    assert swept == {
        "alternating reg-G2@1": Method(("reg:1,player=gen,norm=opponent",), in_turn=True),
        "alternating reg-G2@1e-05": Method(("reg:1e-05,player=gen,norm=opponent",), in_turn=True),
        "none": Method(),
    }


@pytest.mark.parametrize(
    "command, name",
    [
        ("", "ring8"),
        ("--full", "ring8_full"),
        ("--full --rings jare", "ring8_full_jare"),
        ("--weights 1 --rings clc_grid", "ring8_weights_clc_grid"),
        ("--question --rings jare", "ring8_question"),
    ],
)
def test_forms_have_pages_of_their_own(command: str, name: str) -> None:
    assert parse(Ring8, "experiments.ring8", "", command.split()).name("ring8") == name


def test_the_grid_is_clc_gans() -> None:
    target = RINGS["clc_grid"].target
    assert {tuple(round(float(x), 6) for x in mode) for mode in target.modes} == set(
        product((-0.4, -0.2, 0, 0.2, 0.4), repeat=2)
    )
    assert RINGS["clc_grid"].resolved == {"radius": 3.0, "share": 0.02}
    exact = target.draw_independent(5120, torch.Generator().manual_seed(0))
    assert int(mixture_scores(exact, target.modes, target.sigma, **RINGS["clc_grid"].resolved).modes_covered) == 25
    smeared = 1.2 * torch.rand(5120, 2, generator=torch.Generator().manual_seed(0)) - 0.6
    assert int(mixture_scores(smeared, target.modes, target.sigma, **RINGS["clc_grid"].resolved).modes_covered) == 0


def test_further_weights_when_resuming(tmp_path: Path) -> None:
    """Also such as differ in the sign of an exponent or in late digits, which have files of their own."""
    rings = ("--rings", "jare", "--methods", "reg-D1", "--weights")
    assert call(tmp_path / "a", *rings, "1e6", "0.1234567") == 0
    assert call(tmp_path / "a", *rings, "1e6", "0.1234567", "1e-6", "0.1234568", "--resume") == 0
    assert call(tmp_path / "b", *rings, "1e-6", "0.1234568") == 0
    assert [row["weight"] for row in summary(tmp_path / "a")] == [1e6, 0.1234567, 1e-6, 0.1234568]
    assert summary(tmp_path / "a")[2:] == summary(tmp_path / "b")
    assert len(list((tmp_path / "a/checkpoints").glob("*.pt"))) == 4
