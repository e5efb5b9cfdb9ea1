"""``experiments.images compare``: what the settings are, what they cost, what is read of their runs, and resuming."""

import json
import math
from types import SimpleNamespace

import pytest
import torch

from experiments.images import compare, presets
from experiments.images import experiment as images
from experiments.images.compare_options import Compare
from experiments.images.monitor import Report
from experiments.images.settings import Cost, variants
from odegan import ArgumentError

torch.set_num_threads(1)

COST = Cost(1200, 10)


@pytest.mark.parametrize(
    "preset, names, sizes, expected",
    [
        ("digits", ["euler", "heun2", "rk4_classic"], [0.1, 0.8], [(0.1,), (0.8,)] * 3),
        ("digits", ["adam"], [0.2, 0.8], [(5e-4,), (2e-3,)]),
        ("digits", ["euler@0.3", "adam@0.5"], [0.1, 0.2], [(0.3,), (0.5,)]),
        ("odegan-fashion-small", ["heun2", "alternating@0.02"], [0.08], [(0.02, 0.08), (0.005, 0.02)]),
        ("cgan-fashion-small", ["adam", "rmsprop"], [1e-3], [(1e-3,), (2.5e-4,)]),
    ],
)
def test_step_sizes(preset, names, sizes, expected):
    found = variants(presets.get(preset), names, sizes, (), COST)
    assert [pytest.approx(one.step_size) for one in found.values()] == expected


def test_every_solver_has_every_step_and_every_penalty_at_equal_cost():
    found = variants(presets.get("digits"), ["euler", "heun2", "rk4_classic"], [0.1, 0.4], ["none", "r1:1"], COST)
    assert len(found) == 12
    stages = {"euler": 1, "heun2": 2, "rk4_classic": 4}
    for title, preset in found.items():
        assert stages[preset.solver] * preset.steps == 1200
        assert title == f"{preset.solver}@{preset.step_size[0]:g}, {preset.penalty[0]}"
        assert stages[preset.solver] / (1 - preset.decay) == pytest.approx(1000)


def finished(times, values, diverged=False, solver="euler", h=0.1, penalty=("none",)):
    """A run as far as tables read it."""
    reports = [
        Report(i, t, i, float(i), (0.0, 0.0), {"fid": {"value": v}})
        for i, (t, v) in enumerate(zip(times, values, strict=True))
    ]
    preset = SimpleNamespace(solver=solver, step_size=(h,), penalty=penalty)
    return SimpleNamespace(reports=reports, diverged=diverged, preset=preset)


@pytest.mark.parametrize(
    "t, expected", [(2.0, 6.0), (3.0, 5.0), (4.0, 4.0), (5.0, 3.0), (6.0, 2.0), (1.0, None), (6.1, None)]
)
def test_scores_at_a_time_lie_between_the_reports(t, expected):
    value = compare.at_time(finished([2.0, 4.0, 6.0], [6.0, 4.0, 2.0]), "fid", t)
    assert math.isnan(value) if expected is None else value == pytest.approx(expected)


def test_the_end_of_a_diverged_run_is_no_score_and_its_best_is_one():
    run = finished([1.0, 2.0, 3.0], [6.0, 2.0, 9.0], diverged=True)
    assert math.isnan(compare.end(run, "fid"))
    assert compare.best(run, "fid") == (2.0, 1.0)
    assert all(math.isnan(value) for value in compare.best(finished([], []), "fid"))


def test_the_largest_step_that_trains_needs_every_seed():
    def of(h, *ends):
        return [finished([1.0], [value], diverged=math.isnan(value), h=h) for value in ends]

    runs = {"a": of(0.1, 2.0, 2.0), "b": of(0.2, 1.0, 3.0), "c": of(0.4, 1.0, math.nan), "d": of(0.8, 90.0, 80.0)}
    (row,) = compare.largest_steps(runs, below=5.0)
    assert (row["largest step that trains"], row["largest step tried"]) == (0.2, 0.8)
    assert row["step of the lowest FID"] in (0.1, 0.2)
    (none,) = compare.largest_steps({"c": runs["c"]}, below=5.0)
    assert (none["largest step that trains"], none["FID at the end"]) == (None, None)


@pytest.mark.parametrize(
    "given, name",
    [
        ({}, "images_digits_compared"),
        ({"step_sizes": (0.1, 0.2)}, "images_digits_steps"),
        ({"step_sizes": (0.1,), "penalties": ("none", "r1:0.1")}, "images_digits_steps"),
        ({"step_sizes": (0.1,), "penalties": ("generator_gradient:0.05",)}, "images_digits_steps_generator_gradient"),
        ({"penalties": ("none",)}, "images_digits_compared_none"),
        ({"evaluations": 6000}, "images_digits_compared"),
        ({"evaluations": 60_000}, "images_digits_compared_60000"),
        ({"steps": 30_000}, "images_digits_compared_60000"),
        ({"solver": "rk4_classic", "evaluations": 6000}, "images_digits_compared"),
        ({"evaluations": 60_000, "quick": True}, "images_digits_compared"),
    ],
)
def test_a_comparison_with_one_penalty_or_another_length_has_a_name_of_its_own(given, name):
    assert Compare(preset="digits", **given).name("images") == name


def test_a_comparison_of_steps_and_penalties_resumes_and_publishes(tmp_path, monkeypatch):
    words = ["compare", "--preset", "digits", "--quick", "--metrics", "fid", "--seeds", "1", "--no-progress"]
    words += ["--solvers", "euler", "heun2", "--step-sizes", "0.2", "1e30", "--penalties", "none", "r1:0.1"]
    words += ["--cache", str(tmp_path / "cache"), "--output", str(tmp_path / "run")]
    trained = []
    real = compare.train
    monkeypatch.setattr(
        compare, "train", lambda *given, **named: trained.append(named["name"]) or real(*given, **named)
    )
    assert images.main([*words, "--docs", str(tmp_path / "docs")]) == 0
    assert len(trained) == len(set(trained)) == 8
    table = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert [row["diverged"] for row in table] == [0, 0, 1, 1] * 2 or [row["diverged"] for row in table] == [
        0,
        1,
        0,
        1,
    ] * 2
    assert all(row["fid"] is None for row in table if row["diverged"])
    page = json.loads((tmp_path / "docs" / "results" / "images_digits_steps.json").read_text())
    assert [part["title"] for part in page["tables"]] == ["", "The largest step that trains", ""]
    assert {fact["fact"] for fact in page["tables"][2]["rows"]} >= {
        "FID of real halves",
        "FID of the untrained generator",
    }
    before = (tmp_path / "run" / "metrics.jsonl").read_text()
    assert images.main([*words, "--resume"]) == 0
    assert (tmp_path / "run" / "metrics.jsonl").read_text() == before


@pytest.mark.parametrize(
    "words, expected",
    [
        (["--step-sizes", "-1"], "step_sizes: got -1"),
        (["--penalties", "r7:1"], "r7"),
        (["--times", "0"], "times: got 0"),
        (["--solvers", "euler@fast"], "solvers: got 'euler@fast'"),
        (["--penalties", "r1:1", "--penalty", "jare:1"], "penalty: got ('jare:1',)"),
        (["--solvers", "adam", "--placement", "first_stage"], "placement: got 'first_stage'"),
        (["--solvers", "euler", "--option", "perturb=True"], "option: got ('perturb=True',)"),
        (["--steps", "9", "--evaluations", "9"], "steps: got 9"),
        (["--every", "9"], "every: got 9"),
        (["--averages", "uniform", "exponential"], "averages: got"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_wrong_settings_are_one_line(tmp_path, capsys, words, expected):
    assert images.main(["compare", "--preset", "digits", "--output", str(tmp_path / "run"), *words]) == 2
    (said,) = capsys.readouterr().err.strip().splitlines()
    assert expected in said


def test_adaptive_solvers_are_refused():
    with pytest.raises(ArgumentError, match="fixed-step"):
        variants(presets.get("digits"), ["dopri5"], (), (), COST)
