"""The step-size experiment: its quick form, what it measures on a field with a known answer, and what it refuses."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import replace

import pytest
import torch
from matplotlib.image import imread

pytest.importorskip("tyro")

from experiments.step_size import experiment as step_size
from experiments.step_size.experiment import BANDS, limits, measured, row, shares
from experiments.step_size.options import StepSize, fixed_solvers
from experiments.step_size.trials import Trials, attempt, trials
from odegan import Game, advise, games, max_stable_step
from odegan.solvers import stability

torch.set_num_threads(1)
D = torch.float64


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """The folder of the quick form, run once with its documentation."""
    folder = tmp_path_factory.mktemp("step_size")
    switches = ["--quick", "--no-progress", "--output", str(folder / "run"), "--docs", str(folder / "docs")]
    assert step_size.main(switches) == 0
    return folder


def test_quick_form_writes_figures_table_and_page(quick):
    pictures = {path.stem: imread(path) for path in (quick / "run/figures").glob("*.png")}
    assert pictures.keys() == {"along", "compared", "trials"}
    assert all(picture[..., :3].std() > 0.02 for picture in pictures.values())
    assert "python -m experiments.step_size --quick\n" in (quick / "docs/results/step_size.md").read_text()
    rows = json.loads((quick / "run/summary.json").read_text())
    assert {r["solver"] for r in rows if r["field"] == "rotational"} == set(fixed_solvers())
    assert {r["field"] for r in rows} == {"rotational", "mog16, one minibatch", "mog16, fresh"}
    assert all(r["measured / predicted"] == pytest.approx(1, abs=2e-3) for r in rows if r["field"] == "rotational")


@pytest.mark.slow
def test_resumed_is_the_same(quick):
    before = (quick / "run/summary.json").read_text(), (quick / "run/metrics.jsonl").read_text()
    assert step_size.main(["--quick", "--no-progress", "--output", str(quick / "run"), "--resume"]) == 0
    assert before == ((quick / "run/summary.json").read_text(), (quick / "run/metrics.jsonl").read_text())


# (solver, damping, rotation): every solver on one field, two of them on the others too in the default tests
ROTATIONAL = list(itertools.product(fixed_solvers(), [(1.0, 20.0), (3.0, 0.0), (0.5, 2.0)]))


@pytest.mark.parametrize(
    "solver, damping, rotation",
    [
        pytest.param(s, *field, marks=[pytest.mark.slow] * (field[0] != 1.0 and s not in ("euler", "rk4")))
        for s, field in ROTATIONAL
    ],
)
def test_the_rotational_step_is_measured_blindly_and_agrees(solver, damping, rotation):
    options = StepSize(damping=damping, rotation=rotation, digits=1e-4)
    assert measured(solver, options) == pytest.approx(max_stable_step([complex(-damping, rotation)], solver), rel=1e-3)


def test_bisection_finds_a_planted_step(monkeypatch):
    """The measurement sees nothing but |y| at the end."""
    planted = lambda game, solver, t, h: torch.full((2, 2), 2.0 if h > 0.123 else 0.1)  # noqa: E731
    monkeypatch.setattr(step_size, "path", planted)
    assert measured("euler", StepSize()) == pytest.approx(0.123, rel=1e-5)


# On a linear field with minibatches that do not matter, trials must find the advised step.
@pytest.fixture
def linear(monkeypatch):
    """y' = A y as a game that is handed data: one quickly damped and one slow mode."""
    game = games.quadratic(torch.diag(torch.tensor([-10.0, -0.5], dtype=D)))
    blind = Game(
        lambda d, g, batch: game.disc_loss(d, g, None),
        lambda d, g, batch: game.gen_loss(d, g, None),
        1,
        1,
        gradients=lambda d, g, batch: game.gradients(d, g, None),
    )
    return blind, torch.tensor([[1.0, 1.0], [-0.5, 2.0]], dtype=D)


# (solver, fresh minibatches); one in the default tests
TRIALS = list(itertools.product(["euler", "extragradient", "heun2", "heun3", "rk4_classic"], [False, True]))
SAMPLE = [("euler", True)]


@pytest.mark.parametrize(
    "solver, fresh", [pytest.param(*case, marks=[pytest.mark.slow] * (case not in SAMPLE)) for case in TRIALS]
)
def test_trials_find_the_step_of_a_linear_field(linear, solver, fresh):
    game, states = linear
    options = StepSize(
        penalty=("none",), solvers=(solver,), grid=(0.05, 0.8, 13), span=10.0, batch_size=16, progress=False
    )
    trial = trials(game, states, fresh, options)[solver]
    expected = advise(game, states[0], solvers=[solver])[solver].step
    spacing = 16 ** (1 / 12)
    for found in limits(trial, 2.0):
        assert expected / spacing < found < expected * spacing
    predicted = [expected, expected]
    counts = dict(zip(BANDS, shares(trial, predicted, 2.0), strict=True))
    for band in ("up to 0.5", "0.5 to 0.8"):
        assert counts[band].startswith("0 of")
    for band in ("1.25 to 2", "above 2"):
        wrong, tried = counts[band].split(" of ")
        assert wrong == tried
    if not fresh:
        assert trial.error[0].max() < 0.3
        assert trial.error[-1].min() > 1


def test_attempts_that_blow_up_are_infinite(linear):
    game, states = linear
    options = StepSize(penalty=("none",), span=1000.0, batch_size=16)
    peak, end = attempt(game, states, "euler", 2.0, False, options)
    assert peak.tolist() == [math.inf, math.inf]
    assert end.isnan().any(-1).all()


def test_limits_and_calls_by_hand():
    growth = torch.tensor([[1.0, 1.0, 3.0], [1.5, math.inf, 3.0], [1.9, 1.0, 3.0]])
    trial = Trials(torch.tensor([0.1, 0.4, 1.6], dtype=D), growth, None)
    assert limits(trial, 2.0) == pytest.approx([math.inf, 0.2, 0.1])
    # Ratios 0.25, 1, 4; then 0.2, 0.8, 3.2; then 0.05, 0.2, 0.8, whose member went wrong at every step.
    assert shares(trial, [0.4, 0.5, 2.0], 2.0) == ["2 of 4", "2 of 2", "0 of 1", "0 of 0", "0 of 0", "0 of 2"]
    made = row("f", "s", [0.1, 0.2, 0.4, 0.8], [0.2, 0.4, math.inf, 0.8])
    assert made["states"] == "3 of 4"
    assert made["measured / predicted"] == pytest.approx((5 / 3, 0.4714), abs=1e-3)
    assert made["rank correlation"] == pytest.approx(1.0)


def test_fixed_solvers_have_a_prediction():
    assert set(fixed_solvers()) < set(stability.names())
    assert set(StepSize().solvers) <= set(fixed_solvers())


@pytest.mark.parametrize(
    "call, words",
    [
        (["--solvers", "adam"], "solvers: got 'adam'"),
        (["--solvers", "dopri5"], "solvers: got 'dopri5'"),
        (["--tried-at", "7"], "tried_at: got 7.0"),
        (["--batch-size", "100"], "batch_size: got 100"),
        (["--factor", "1"], "factor: got 1.0"),
        (["--grid", "1", "0.1", "5"], "grid: got"),
        (["--steps", "0"], "steps: got 0.0"),
        (["--penalty", "closed_loop:1"], "penalty: got"),
        (["--penalty", "jar:1"], "did you mean 'jare'"),
    ],
    ids=lambda x: " ".join(x) if isinstance(x, list) else "",
)
def test_wrong_options_end_in_one_line(call, words, tmp_path, capsys):
    assert step_size.main([*call, "--output", str(tmp_path / "run")]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert len(said.splitlines()) == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_penalties_of_the_command_line_are_used(quick, tmp_path):
    switches = [
        "--quick",
        "--no-progress",
        "--output",
        str(tmp_path / "run"),
        "--penalty",
        "jare:0.5",
        "--penalty",
        "r1:0.2",
    ]
    assert step_size.main(switches) == 0
    old, new = (json.loads((f / "run/summary.json").read_text()) for f in (quick, tmp_path))
    mixture = [i for i, r in enumerate(old) if r["field"] != "rotational"]
    assert all(old[i]["predicted step"] != new[i]["predicted step"] for i in mixture)
    assert replace(StepSize(), penalty=("none",)).chosen_penalties() == []


def test_a_training_that_diverges_ends_in_one_line(tmp_path, capsys):
    switches = ["--quick", "--no-progress", "--output", str(tmp_path / "run"), "--penalty", "jare:1e6"]
    assert step_size.main(switches) == 3
    *_, said = capsys.readouterr().err.splitlines()
    assert "diverged: the training with steps of 0.1" in said
