"""A field that turns non-finite ends the run there, says when, and keeps what was reported before."""

import math

import pytest
import torch

import odegan
from tests.peers import ADAPTIVE, BASELINES, FIXED, START, draw, forced, networks, smooth_game

TIMES = [0.0, 0.2, 0.4, 0.55, 0.6, 0.8, 1.0]
BREAK = 0.5  # a little after the first stage of no step, so that every stage on the way is finite
H = 0.1


def breaks(value, at=BREAK):
    """A part of the field that is ``value`` from ``at`` on and 0 before."""
    return forced(lambda t: torch.where(torch.as_tensor(t) > at + 1e-9, value, 0.0))


FIXED_CASES = [
    *[({"solver": name}, "one call") for name in [*FIXED, "explicit_adams", "implicit_adams"]],
    *[({"solver": name, "players": "frozen"}, "intervals") for name in FIXED],
    *[({"solver": name}, "intervals") for name in BASELINES],
    ({"solver": "heun2", "refresh": 0.3}, "several steps an interval"),
]
ADAPTIVE_CASES = [{"solver": name, "refresh": r} for name in ADAPTIVE for r in (None, 0.3)]


def run(arguments, on_nonfinite="stop", penalties=None, y0=START, **more):
    size = {} if arguments["solver"] in ADAPTIVE else {"step_size": H}
    penalties = [breaks(math.nan)] if penalties is None else penalties
    options = size | arguments | more
    return odegan.odeint_gan(smooth_game(), y0, TIMES, penalties=penalties, on_nonfinite=on_nonfinite, **options)


def fails(arguments, **more):
    with pytest.raises(odegan.NonFiniteError) as error:
        run(arguments, "raise", **more)
    return error.value


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("arguments, mode", FIXED_CASES, ids=lambda v: v if isinstance(v, str) else v["solver"])
def test_fixed_steps(arguments, mode, value):
    clean = run(arguments, penalties=[])
    error = fails(arguments, penalties=[breaks(value)])
    stopped = run(arguments, penalties=[breaks(value)])
    assert stopped.status == "stopped"
    for sol in (error.solution, stopped):
        at = sol.stats["stopped_at"]
        assert BREAK - H - 1e-9 <= at <= BREAK + H + 1e-9  # the step in which a stage first lay beyond it
        kept = [t for t in TIMES if t <= at + 1e-9]
        assert sol.ts.tolist() == kept
        torch.testing.assert_close(sol.ys, clean.ys[: len(kept)], rtol=0, atol=1e-13)
        assert torch.isfinite(sol.y).all()
        assert sol.t == pytest.approx(at)
        assert sol.stats["steps"] == len(sol.stats["t"]) == round(at / H) + 1
    assert f"t = {at:g}" in str(error)
    assert "non-finite" in str(error)


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("arguments", ADAPTIVE_CASES, ids=lambda a: f"{a['solver']}-{a['refresh']}")
def test_adaptive_steps(arguments, value):
    """The solver gives up at the start of the first step that reaches beyond the break, however long that is."""
    clean = run(arguments, penalties=[])
    error = fails(arguments, penalties=[breaks(value)])
    stopped = run(arguments, penalties=[breaks(value)])
    assert stopped.status == "stopped"
    for sol in (error.solution, stopped):
        at = sol.stats["stopped_at"]
        longest = clean.stats["step_size"].max().item()
        assert BREAK - 2 * longest <= at <= BREAK + 1e-6
        kept = [t for t in TIMES if t <= at]
        assert sol.ts.tolist() == kept
        torch.testing.assert_close(sol.ys, clean.ys[: len(kept)], rtol=0, atol=1e-2)
        assert torch.isfinite(sol.ys).all()
        assert torch.isfinite(sol.y).all()
    assert "non-finite" in str(error)
    assert f"t = {error.solution.stats['stopped_at']:g}" in str(error)


@pytest.mark.parametrize(
    "arguments", [{"solver": "rk4"}, {"solver": "heun2", "players": "frozen"}, {"solver": "dopri5"}], ids=str
)
def test_non_finite_from_the_start(arguments):
    refresh = {"refresh": 0.3} if arguments.get("players") and arguments["solver"] in ADAPTIVE else {}
    sol = run(arguments | refresh, penalties=[breaks(math.nan, at=-1.0)])
    assert sol.status == "stopped"
    assert sol.stats["stopped_at"] == 0.0
    assert torch.equal(sol.ys, START[None])
    assert torch.equal(sol.y, START)


def blow_up():
    """d' = d^2 from 1: d(t) = 1 / (1 - t), which ends at t = 1; g' = 0."""
    return odegan.Game(lambda d, g, b: -(d**3).sum() / 3, lambda d, g, b: 0 * g.sum(), 1, 1)


@pytest.mark.parametrize(
    "solver, refresh",
    [
        ("dopri5", None),
        ("dopri8", 0.25),
        pytest.param("dopri5", 0.25, marks=pytest.mark.slow),
        pytest.param("dopri8", None, marks=pytest.mark.slow),
    ],
)
def test_blow_up_under_adaptive_solvers(solver, refresh):
    y0 = torch.tensor([1.0, 0.0], dtype=torch.float64)
    times = [0.0, 0.5, 0.75, 2.0]
    with pytest.raises(odegan.NonFiniteError) as error:
        odegan.odeint_gan(blow_up(), y0, times, solver=solver, refresh=refresh, rtol=1e-8, atol=1e-10)
    sol = error.value.solution
    assert sol.stats["stopped_at"] == pytest.approx(1.0, abs=1e-4)
    assert sol.ts.tolist() == times[:3]
    torch.testing.assert_close(sol.ys[:, 0], 1 / (1 - sol.ts), rtol=1e-4, atol=0)


def test_blow_up_under_scipy():
    y0 = torch.tensor([1.0, 0.0], dtype=torch.float64)
    sol = odegan.odeint_gan(
        blow_up(), y0, [0.0, 0.5, 2.0], solver="scipy_solver", options={"solver": "RK45"}, on_nonfinite="stop"
    )
    assert sol.status == "stopped"
    assert sol.ts.tolist() == [0.0, 0.5]
    assert sol.ys[-1, 0].item() == pytest.approx(2.0, rel=1e-2)


@pytest.mark.parametrize("mode", [{}, {"players": "frozen"}], ids=["one call", "intervals"])
def test_overflow_under_fixed_steps(mode):
    y0 = torch.tensor([1.0, 0.0])
    sol = odegan.odeint_gan(blow_up(), y0, [0.0, 0.5, 9.0], step_size=0.1, on_nonfinite="stop", **mode)
    assert sol.status == "stopped"
    assert sol.ts.tolist() == [0.0, 0.5]
    assert 1.0 <= sol.stats["stopped_at"] < 2.0
    assert torch.isfinite(sol.y).all()


@pytest.mark.parametrize("solver", ["heun2", "adam", "dopri5"])
def test_bad_data(solver):
    """A minibatch with a NaN in it, at the third draw."""
    game = odegan.gan(*networks())
    seeds = []

    def data(n, generator):
        seed = generator.initial_seed()
        if seed not in seeds:
            seeds.append(seed)
        x = draw(n, seed=seeds.index(seed))[0]
        return x * math.nan if seeds.index(seed) == 3 else x

    size = {"refresh": H} if solver == "dopri5" else {"step_size": H}
    arguments = {"data": data, "batch_size": 8, "solver": solver, **size}
    times = [0.0, 0.1, 0.25, 0.3, 0.5]
    with pytest.raises(odegan.NonFiniteError, match=r"t = 0\.3") as error:
        odegan.odeint_gan(game, game.init(), times, **arguments)
    sol = error.value.solution
    assert sol.stats["stopped_at"] == pytest.approx(0.3)
    assert sol.ts.tolist() == times[:4]
    clean = odegan.odeint_gan(game, game.init(), times[:4], **arguments)
    torch.testing.assert_close(sol.ys, clean.ys, rtol=0, atol=1e-13 if "step_size" in size else 1e-6)


def test_infinite_loss_with_a_finite_field():
    """The statistics must not lie: a loss that is not finite ends the run too."""

    def loss(d, g, batch):
        return (d**2).sum() + torch.where(d.detach().sum() < 0.8, math.inf, 0.0)

    game = odegan.Game(loss, lambda d, g, b: (g**2).sum(), 1, 1)
    for mode in ({}, {"players": "frozen"}):
        y0 = torch.ones(2, dtype=torch.float64)
        sol = odegan.odeint_gan(game, y0, [0.0, 0.1, 1.0], solver="euler", step_size=0.05, on_nonfinite="stop", **mode)
        assert sol.status == "stopped"
        assert sol.ts.tolist() == [0.0, 0.1]
        assert sol.stats["stopped_at"] == pytest.approx(0.15)  # 0.9^3 < 0.8 is seen at the start of the fourth step


def fragile():
    """-d' is infinite beyond d = 2: members with a larger start leave earlier."""
    return odegan.Game(lambda d, g, b: -d.sum() - torch.sqrt(2 - d).sum() * 0.1, lambda d, g, b: (g * d).sum(), 1, 1)


@pytest.mark.parametrize(
    "mode", [{}, {"players": "frozen"}, {"solver": "alternating"}], ids=["one call", "intervals", "baseline"]
)
def test_other_members_go_on(mode):
    y0 = torch.tensor([[0.0, 1.0], [1.45, 1.0], [0.3, 2.0], [1.75, 0.5]], dtype=torch.float64)
    arguments = {"step_size": H, "on_nonfinite": "stop"} | mode
    together = odegan.odeint_gan(fragile(), y0, TIMES, **arguments)
    assert together.status == "finished"
    at = together.stats["stopped_at"]
    for e, start in enumerate(y0):
        alone = odegan.odeint_gan(fragile(), start, TIMES, **arguments)
        n = len(alone.ts)
        assert alone.status == ("stopped" if e in (1, 3) else "finished")
        assert torch.equal(together.ys[:n, e], alone.ys)
        assert together.ys[n:, e].isnan().all()
        assert torch.equal(together.y[e], alone.y)
        if e in (1, 3):
            assert at[e].item() == alone.stats["stopped_at"]
        else:
            assert at[e].isnan()
    assert at[3] < at[1]


@pytest.mark.parametrize("mode", [{}, {"players": "frozen"}], ids=["one call", "intervals"])
def test_raise_names_the_member(mode):
    y0 = torch.tensor([[0.0, 1.0], [1.45, 1.0]], dtype=torch.float64)
    with pytest.raises(odegan.NonFiniteError, match=r"members \[1\]") as error:
        odegan.odeint_gan(fragile(), y0, TIMES, step_size=H, **mode)
    assert torch.isfinite(error.value.solution.ys).all()


@pytest.mark.parametrize("mode", [{}, {"players": "frozen"}], ids=["one call", "intervals"])
def test_all_members_gone(mode):
    y0 = torch.tensor([[1.45, 1.0], [1.75, 1.0]], dtype=torch.float64)
    sol = odegan.odeint_gan(fragile(), y0, TIMES, step_size=H, on_nonfinite="stop", **mode)
    assert sol.status == "stopped"
    assert torch.isfinite(sol.y).all()
    assert torch.isfinite(sol.ys[:, 0]).all()
    assert len(sol.ts) < len(TIMES)


@pytest.mark.parametrize("refresh", [None, 0.1])
def test_ensembles_of_adaptive_solvers_stop_together(refresh):
    y0 = torch.tensor([[0.0, 1.0], [1.45, 1.0]], dtype=torch.float64)
    sol = odegan.odeint_gan(fragile(), y0, TIMES, solver="dopri5", refresh=refresh, on_nonfinite="stop")
    assert sol.status == "stopped"
    assert 1 <= len(sol.ts) < len(TIMES)
    assert torch.isfinite(sol.ys).all()


CALLBACK_MODES = [
    {"step_size": H},
    {"step_size": H, "players": "frozen"},
    {"step_size": H, "solver": "optimistic"},
    {"solver": "dopri5", "options": {"max_step": H, "first_step": H}},
    {"solver": "dopri5", "refresh": H},
]


@pytest.mark.parametrize("arguments", CALLBACK_MODES, ids=str)
def test_callbacks_see_and_stop(arguments):
    seen = []

    def callback(state, info):
        seen.append((state.t, state.y.clone(), info))
        return state.t > 0.45

    sol = odegan.odeint_gan(smooth_game(), START, TIMES, callback=callback, **arguments)
    whole = odegan.odeint_gan(smooth_game(), START, TIMES, **arguments)
    assert sol.status == "stopped"
    assert "callback" in sol.message
    assert sol.t == seen[-1][0] == pytest.approx(0.5)
    assert torch.equal(sol.y, seen[-1][1])
    assert sol.ts.tolist() == [0.0, 0.2, 0.4]
    torch.testing.assert_close(sol.ys, whole.ys[:3], rtol=0, atol=1e-13)
    assert sum(info.accepted for *_, info in seen) == sol.stats["steps"]
    assert sum(info.nfe for *_, info in seen) == sol.stats["nfe"]
    assert all(info.losses.shape == (2,) and info.field_norm.shape == () and bool(info.finite) for *_, info in seen)
    reports = odegan.odeint_gan(smooth_game(), START, [0.0, *[t for t, *_ in seen]], **arguments)
    if "solver" not in arguments:
        torch.testing.assert_close(reports.ys[1:], torch.stack([y for _, y, _ in seen]), rtol=0, atol=1e-13)


def test_several_callbacks_and_values_that_do_not_stop():
    calls = []
    callbacks = [lambda state, info: calls.append("a"), lambda state, info: calls.append("b") or 1]
    sol = odegan.odeint_gan(smooth_game(), START, [0.0, 0.3], step_size=H, callback=callbacks)
    assert sol.status == "finished"
    assert calls == ["a", "b"] * 3


@pytest.mark.parametrize("arguments", [{"step_size": H}, {"solver": "dopri5", "refresh": 0.3}], ids=str)
def test_a_stepper_stays_at_the_last_finite_state(arguments):
    stepper = odegan.Stepper(smooth_game(), penalties=[breaks(math.nan)], **arguments)
    state = stepper.init(START)
    for _ in range(8):
        before = state
        state, info = stepper.step(state)
        if not bool(info.finite):
            break
    assert not bool(info.finite)
    assert torch.isfinite(state.y).all()
    assert before.t <= BREAK + 1e-6
    if "step_size" in arguments:
        assert torch.equal(state.y, before.y)
