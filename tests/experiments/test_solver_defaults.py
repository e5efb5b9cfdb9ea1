"""What experiments take for a solver where the command line says nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("tyro")

from experiments.digits.options import Digits
from experiments.framework.solver_options import SolverOptions
from experiments.mog16 import experiment as mog16
from experiments.mog16.options import Mog16
from experiments.ring8.options import Ring8
from odegan import penalties, solvers
from odegan.solvers import BASELINES

OPTIONS = (Digits, Mog16, Ring8)
RATE = 2e-3  # above which no learning rate of Adam trains a GAN


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("solver", ["adam", "rmsprop"])
def test_optimizers_get_a_learning_rate_and_no_penalty(options: type[SolverOptions], solver: str) -> None:
    found = options(solver=solver)
    assert 0 < found.h <= RATE
    assert (found.chosen_penalties(), found.placement) == ([], "field")
    found.check()


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("solver", [name for name in solvers.names() if solvers.get(name).fixed_one_step])
def test_steps_of_the_field_are_no_learning_rates(options: type[SolverOptions], solver: str) -> None:
    assert options(solver=solver).h > 10 * RATE


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("solver", ["adam", "euler", "heun2"])
def test_what_is_given_stays(options: type[SolverOptions], solver: str) -> None:
    found = options(solver=solver, step_size=0.3, penalty=("r1:2",), placement="first_stage")
    assert (found.h, found.placement) == (0.3, "first_stage")
    assert repr(found.chosen_penalties()) == repr([penalties.r1(2.0)])
    assert options(solver=solver, penalty=("none",)).chosen_penalties() == []


@pytest.mark.parametrize("options", OPTIONS)
def test_every_baseline_has_its_own_options_in_the_defaults(options: type[SolverOptions]) -> None:
    for solver in BASELINES:
        assert set(options(solver=solver).keywords()["options"]) <= set(solvers.get(solver).options)


def test_adam_stays_finite_on_the_mixture(tmp_path: Path) -> None:
    assert mog16.main(["--solver", "adam", "--quick", "--no-progress", "--output", str(tmp_path / "run")]) == 0
    (row,) = json.loads((tmp_path / "run/summary.json").read_text())
    assert row["diverged"] == "0 of 2"
