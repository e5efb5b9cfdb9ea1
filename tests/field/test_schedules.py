"""Schedules against their formulas: as numbers and as tensors, in time and in steps, in every place that takes them."""

import math

import pytest
import torch

import odegan
from odegan import schedules
from odegan.penalties import consensus, drift_cancellation
from tests.peers import START, smooth_game

N = 8
FORMULAS = {
    "linear": (lambda unit: schedules.linear(0.2, 0.05, N, unit), lambda s: 0.2 - 0.15 * min(s / N, 1)),
    "cosine": (
        lambda unit: schedules.cosine(0.2, 0.02, N, unit),
        lambda s: 0.02 + 0.09 * (1 + math.cos(math.pi * min(s / N, 1))),
    ),
    "piecewise": (
        lambda unit: schedules.piecewise([0.1, 0.3, 0.2], [2, 5], unit),
        lambda s: 0.1 if s < 2 else 0.3 if s < 5 else 0.2,
    ),
    "warmup": (lambda unit: schedules.warmup(0.01, 0.2, 4, unit), lambda s: 0.01 + 0.19 * min(s / 4, 1)),
    "warmup to cosine": (
        lambda unit: schedules.warmup(0.01, schedules.cosine(0.2, 0.0, N, unit), 2, unit),
        lambda s: 0.01 + (0.1 * (1 + math.cos(math.pi * min(s / N, 1))) - 0.01) * min(s / 2, 1),
    ),
}
EVERY = pytest.mark.parametrize("make, formula", FORMULAS.values(), ids=FORMULAS.keys())


@EVERY
@pytest.mark.parametrize("unit", ["time", "steps"])
def test_formula(make, formula, unit):
    schedule = make(unit)
    assert schedule.unit == unit
    positions = [0.0, 1.0, 1.999, 2.0, 4.5, 5.0, 7.9, 8.0, 100.0]
    expected = torch.tensor([formula(s) for s in positions], dtype=torch.float64)
    torch.testing.assert_close(torch.tensor([schedule(s) for s in positions], dtype=torch.float64), expected)
    torch.testing.assert_close(torch.vmap(schedule)(torch.tensor(positions, dtype=torch.float64)), expected)


@EVERY
@pytest.mark.parametrize("mode", [{}, {"players": "frozen"}], ids=["one call", "intervals"])
def test_step_sizes_by_number(make, formula, mode):
    sol = odegan.odeint_gan(smooth_game(), START, steps=N, solver="euler", step_size=make("steps"), **mode)
    expected = torch.tensor([formula(k) for k in range(N)], dtype=torch.float64)
    torch.testing.assert_close(sol.stats["step_size"], expected)
    torch.testing.assert_close(sol.ts, torch.tensor([0.0, float(expected.sum())], dtype=torch.float64))


BY_NUMBER = [
    pytest.param(name, solver, compiled, marks=[pytest.mark.slow] * bool(compiled and name != "warmup to cosine"))
    for name in FORMULAS
    for solver in ("heun2", "adam")
    for compiled in (False, "eager")
]


@pytest.mark.parametrize("name, solver, compile", BY_NUMBER)
def test_weights_and_rates_by_number(name, solver, compile):
    """A run with schedules is its steps one by one, each with the numbers of that step."""
    make, formula = FORMULAS[name]
    game = smooth_game()
    y = START
    given = {"solver": solver, "step_size": 0.1}
    state = None
    for k in range(4):
        fixed = odegan.Stepper(game, rates=(formula(k), 1.0), penalties=[consensus(formula(k))], **given)
        state, _ = fixed.step(state or fixed.init(y), None)
    sol = odegan.odeint_gan(
        game, y, steps=4, rates=(make("steps"), 1.0), penalties=[consensus(make("steps"))], compile=compile, **given
    )
    torch.testing.assert_close(sol.y, state.y, rtol=0, atol=1e-13)
    assert sol.stats["compiled"] is bool(compile)


def test_a_schedule_in_steps_resumes_where_it_was(tmp_path):
    given = {"solver": "rk4", "step_size": schedules.cosine(0.2, 0.0, N, "steps"), "players": "frozen"}
    given["penalties"] = [consensus(schedules.linear(0.3, 0.0, N, "steps"))]
    whole = odegan.odeint_gan(smooth_game(), START, steps=N, **given)
    path = tmp_path / "run.pt"
    odegan.odeint_gan(smooth_game(), START, steps=3, checkpoint=path, **given)
    resumed = odegan.odeint_gan(smooth_game(), START, steps=N, checkpoint=path, **given)
    assert torch.equal(resumed.y, whole.y)
    assert resumed.stats["steps"] == N


def test_steps_are_refresh_intervals():
    """refresh=0.2 is two steps of 0.1; the schedule counts intervals."""
    given = {"solver": "euler", "step_size": 0.1, "refresh": 0.2, "players": "frozen"}
    sol = odegan.odeint_gan(smooth_game(), START, steps=5, report_every=2, **given)
    assert sol.ts.tolist() == [0.0, 0.4, 0.8, 1.0]
    assert sol.stats["steps"] == 10
    by_time = odegan.odeint_gan(smooth_game(), START, [0.0, 0.4, 0.8, 1.0], **given)
    assert torch.equal(sol.ys, by_time.ys)


@pytest.mark.parametrize("solver, more", [("euler", {}), ("adam", {}), ("dopri5", {"step_size": None, "refresh": 0.1})])
def test_steps_and_reports(solver, more):
    sol = odegan.odeint_gan(
        smooth_game(), START, steps=7, report_every=3, **{"solver": solver, "step_size": 0.1} | more
    )
    assert sol.ts.tolist() == pytest.approx([0.0, 0.3, 0.6, 0.7])
    if solver != "dopri5":
        assert sol.stats["steps"] == 7


def test_a_step_size_that_a_callback_changes_takes_other_steps():
    current = {"h": 0.1}

    def halve(state, info):
        current["h"] = 0.05

    given = {"solver": "euler", "step_size": lambda t: current["h"], "players": "frozen"}
    with pytest.warns(UserWarning, match=r"^steps: got 4, but the run took 7"):
        odegan.odeint_gan(smooth_game(), START, steps=4, callback=halve, **given)


IN_STEPS = schedules.linear(1.0, 0.0, 3, "steps")
REFUSED = {
    "both": ({"steps": 3, "t": [0.0, 1.0]}, "t, steps: got 'both'"),
    "neither": ({}, "t, steps: got 'neither'"),
    "report_every with t": ({"t": [0.0, 1.0], "report_every": 2}, "report_every: got 2"),
    "no steps": ({"steps": 0}, "steps: got 0"),
    "adaptive": ({"steps": 3, "solver": "dopri5", "step_size": None}, "steps: got 3"),
    "weight, adaptive": (
        {"steps": 3, "solver": "dopri5", "step_size": None, "refresh": 0.1, "penalties": [consensus(IN_STEPS)]},
        "penalties, rates: got a schedule in steps with the adaptive",
    ),
    "rate, history": ({"steps": 3, "solver": "explicit_adams", "rates": (IN_STEPS, 1.0)}, "penalties, rates: got a"),
    "fell to zero": (
        {"steps": 5, "step_size": IN_STEPS},
        "step_size at step 3: got 0.0; it must be a finite number > 0",
    ),
    "decays in time": (
        {"t": [0.0, 10.0], "step_size": schedules.cosine(0.1, 0.0, 10.0)},
        "it must be at least 1e-06 of the run's length 10",
    ),
    "decays in time, own function": (
        {"t": [0.0, 1.0], "step_size": lambda t: 0.1 * (1 - t) ** 2, "players": "frozen"},
        "steps=... instead of t",
    ),
}


@pytest.mark.parametrize("given, message", REFUSED.values(), ids=REFUSED.keys())
def test_refused_in_one_line(given, message):
    with pytest.raises(odegan.ArgumentError) as error:
        odegan.odeint_gan(smooth_game(), START, **{"solver": "euler", "step_size": 0.1} | given)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


WRONG = {
    "unit": (lambda: schedules.linear(1, 0, 3, "step"), "unit: got 'step'; it must be one of time, steps"),
    "length": (lambda: schedules.cosine(1, 0, 0), "length: got 0; it must be a finite number > 0"),
    "start": (lambda: schedules.linear(-1, 0, 3), "start: got -1"),
    "mixed units": (
        lambda: schedules.warmup(0.1, schedules.linear(1, 0, 3), 2, "steps"),
        "then: got 'a schedule in time'",
    ),
    "a field": (
        lambda: odegan.vector_field(smooth_game(), [consensus(IN_STEPS)]),
        "penalties, rates: got 'a schedule in steps'",
    ),
    "a penalty's step": (lambda: drift_cancellation(IN_STEPS), "step_size: got 'a schedule in steps'"),
}


@pytest.mark.parametrize("make, message", WRONG.values(), ids=WRONG.keys())
def test_wrong_arguments(make, message):
    with pytest.raises(odegan.ArgumentError, match="^" + message.replace("(", r"\(")):
        make()


def test_a_decaying_step_that_arrives_is_accepted():
    sol = odegan.odeint_gan(
        smooth_game(), START, [0.0, 1.0], solver="euler", step_size=schedules.linear(0.1, 0.001, 1.0)
    )
    assert sol.status == "finished"
