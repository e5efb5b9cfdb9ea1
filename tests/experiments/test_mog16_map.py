"""The map of the mixture over solvers, step sizes and weights: its runs, table and figures."""

import json
import math

import pytest
import torch

pytest.importorskip("tyro")

from experiments.framework import mixture
from experiments.mog16 import experiment, map
from experiments.mog16.options import SETTINGS, Mog16
from odegan.utils.checks import ArgumentError

torch.set_num_threads(1)

MAP = {"compare": True, "settings": ("euler", "rk4_classic"), "step_sizes": (0.1, 0.2), "weights": (0.0, 0.07)}


def test_each_place_has_its_solver_step_and_penalty():
    options = Mog16(**MAP)
    assert options.name("mog16") == "mog16_map"
    assert Mog16(**MAP, full=True, equal="evaluations").name("mog16") == "mog16_map_evaluations"
    places = {title: (one.solver, one.h, one.penalty) for title, one in options.compared().items()}
    assert len(places) == 8
    assert places["euler, h = 0.2, weight 0.07"] == ("euler", 0.2, ("generator_gradient:0.07",))
    assert places["rk4_classic, h = 0.1, weight 0.0"] == ("rk4_classic", 0.1, ("none",))


def test_without_axes_the_settings_are_those_of_the_table():
    options = Mog16(compare=True)
    assert options.name("mog16") == "mog16"
    assert list(options.compared()) == list(SETTINGS)
    assert options.compared()["rk4_classic h=0.4"].h == 0.4


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"weights": ()}, "weights: got 'none'"),
        ({"step_sizes": ()}, "step_sizes: got 'none'"),
        ({"compare": False}, "step_sizes: got"),
        ({"step_sizes": (0.1, 0.0)}, "step_sizes: got 0.0"),
        ({"weights": (-1.0,)}, "weights: got -1.0"),
        ({"settings": ("euler", "adam")}, "settings: got 'adam'"),
        ({"settings": ("no penalty",)}, "settings: got 'no penalty'"),
        ({"settings": ("dopri5",)}, "settings: got 'dopri5'"),
        ({"solver": "heun2"}, "solver: got 'heun2'"),
        ({"penalty": ("r1:1",)}, "penalty: got"),
        ({"step_size": 0.3}, "step_size: got 0.3"),
        ({"settings": ("alternating", "euler"), "placement": "first_stage"}, "placement: got 'first_stage'"),
    ],
)
def test_wrong_maps_are_refused(changes, message):
    with pytest.raises(ArgumentError, match=message):
        Mog16(**MAP | changes).check()


def test_a_solver_is_refused_where_the_settings_decide_it():
    """Else the setting rk4_classic, which changes nothing, would train another solver under its name."""
    with pytest.raises(ArgumentError, match="solver: got 'heun2'; it must be left out with --compare"):
        Mog16(compare=True, solver="heun2").check()


def cell(setting, weight, modes, error):
    return {"setting": setting, "step size": 0.1, "weight": weight, "modes covered": (modes, 0.0), "step error": error}


def test_correlations_are_of_ranks_and_only_where_there_are_any():
    falling = [cell("euler", 0.07, 16.0 - modes, (math.exp(modes), 0.1)) for modes in range(5)]
    free = [cell("euler", 0.0, 0.0, (1e-6, 0.0)), cell("alternating", 0.0, 8.0, None)]
    found = map.correlations([*falling, *free])
    assert found["rank correlation of modes covered and step error, at places with a penalty"] == pytest.approx(-1.0)
    assert -1.0 < found["rank correlation of modes covered and step error, at all places"] < 1.0
    assert map.correlations(free) == {}


def test_each_cell_of_a_heat_map_is_at_its_step_and_weight():
    places = [(h, weight) for h in (0.1, 0.2, 0.4) for weight in (0.0, 0.07)]
    rows = [cell("euler", weight, 10 * h + weight, (0.1, 0.0)) | {"step size": h} for h, weight in places]
    (image,) = map.heat_maps(rows, "modes covered").axes[0].images
    assert image.get_array().tolist() == [pytest.approx([1.0, 2.0, 4.0]), pytest.approx([1.07, 2.07, 4.07])]


def test_the_figure_against_the_error_has_every_setting():
    rows = [cell(f"setting {i}", weight, i, (0.1, 0.0)) for i in range(9) for weight in (0.0, 0.07)]
    assert len(map.against_error(rows).axes[0].collections) == 18


def test_the_map_runs_resumes_with_more_places_and_publishes(tmp_path, monkeypatch):
    words = ["--compare", "--quick", "--evaluations", "16", "--no-progress", "--output", str(tmp_path / "run")]
    axes = ["--settings", "euler", "alternating", "--weights", "0", "0.07", "--docs", str(tmp_path / "docs")]
    assert experiment.main([*words, *axes, "--step-sizes", "0.1"]) == 0
    found = []
    real = mixture.odeint_gan

    def counting(*given, checkpoint, **named):
        found.append(checkpoint.exists())
        return real(*given, checkpoint=checkpoint, **named)

    monkeypatch.setattr(mixture, "odeint_gan", counting)
    assert experiment.main([*words, *axes, "--step-sizes", "0.1", "0.2", "--resume"]) == 0
    assert sorted(found) == [False] * 4 + [True] * 4  # only the new places start anew
    page = json.loads((tmp_path / "docs/results/mog16_map.json").read_text())
    rows = page["tables"][0]["rows"]
    assert [(row["setting"], row["step size"], row["weight"]) for row in rows][:2] == [
        ("euler", 0.1, 0),
        ("euler", 0.1, 0.07),
    ]
    assert len(rows) == 8
    assert [row["step error"] is None for row in rows] == [False] * 4 + [True] * 4
    figures = {path.stem for path in (tmp_path / "run/figures").iterdir()}
    assert figures == {"modes_covered", "quality", "step_error", "modes_over_error"}


def test_a_map_of_solvers_without_step_errors_has_no_figure_of_them(tmp_path):
    words = "--compare --quick --evaluations 16 --no-progress --settings alternating --step-sizes 0.1 --weights 0.07"
    assert experiment.main([*words.split(), "--output", str(tmp_path)]) == 0
    assert {path.stem for path in (tmp_path / "figures").iterdir()} == {"modes_covered", "quality"}
