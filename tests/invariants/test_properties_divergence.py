"""Fields that break at random times: noticed within a step, said when, and everything before it kept."""

import math
import signal

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchdiffeq import odeint

import odegan
from tests.peers import ADAPTIVE, BASELINES, FIXED, draw, networks, smooth_game
from tests.strategies import normal, report_times, seeds

STEPS = st.floats(0.04, 0.21)
BREAKS = st.floats(-0.2, 1.2)  # the runs last from 0 to 1
VALUES = st.sampled_from([math.nan, math.inf, -math.inf])
ON_NONFINITE = st.sampled_from(["raise", "stop"])
WAYS = [
    *({"solver": name} for name in [*FIXED, *BASELINES]),
    *({"solver": name, "options": {"max_order": 4}} for name in ("explicit_adams", "implicit_adams")),
    *({"solver": name, "players": "frozen"} for name in FIXED),
    *({"solver": name, "several": True} for name in FIXED),
    *({"solver": name} for name in ADAPTIVE),
    *({"solver": name, "refresh": 0.3} for name in ADAPTIVE),
]
FIXED_WAYS = [way for way in WAYS if way["solver"] not in ADAPTIVE]


class in_time:
    """TimeoutError after so many CPU seconds of a block: a solver that waits for a finite number for ever is a failure."""

    def __init__(self, seconds):
        self.seconds = seconds

    def __enter__(self):
        self.old = signal.signal(signal.SIGPROF, self._late)
        signal.setitimer(signal.ITIMER_PROF, self.seconds)

    def __exit__(self, *_):
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, self.old)

    def _late(self, number, frame):
        raise TimeoutError(f"no end after {self.seconds} s")


def broken_game(value):
    """The smooth game with a last parameter that does not move: from that time on D's part of the field is ``value``."""
    base = smooth_game()
    game = odegan.Game(
        lambda d, g, b: base.disc_loss(d, g[:2], b), lambda d, g, b: base.gen_loss(d, g[:2], b) + 0 * g[2], 2, 3
    )
    force = lambda d, g, b, t: torch.where(torch.as_tensor(t) > g[2], value, 0.0) * d.sum()  # noqa: E731
    return game, [lambda game: (force, None)]


def solve(game, y0, t, on_nonfinite, **arguments):
    """The solution, whichever way it comes, and whether it is one of a run that ended early with all its members."""
    with in_time(30):
        if on_nonfinite == "stop":
            sol = odegan.odeint_gan(game, y0, t, on_nonfinite="stop", **arguments)
            return sol, sol.status == "stopped"
        try:
            sol = odegan.odeint_gan(game, y0, t, **arguments)
        except odegan.NonFiniteError as raised:
            error = raised
        else:
            assert sol.status == "finished"
            return sol, False
    assert "\n" not in str(error)
    assert "non-finite" in str(error)
    return error.solution, True


def arguments_of(way, h):
    known = {k: v for k, v in way.items() if k != "several"}
    known |= {} if way["solver"] in ADAPTIVE else {"step_size": h}
    return known | ({"refresh": 3 * h} if "several" in way else {})


def starts(breaks, seed):
    """(E, 5) starts, each with its time of breaking."""
    return torch.cat(
        [0.5 * normal(len(breaks), 4, seed=seed), torch.tensor(breaks, dtype=torch.float64)[:, None]], dim=1
    )


def assert_kept(sol, t, clean):
    """What was reported up to the last finite state is what a run that does not break reports."""
    assert sol.ts.tolist() == [x for x in t if x <= sol.t + 1e-9]
    assert torch.isfinite(sol.ys).all()
    assert torch.isfinite(sol.y).all()
    loose = 1e-2 if sol.stats["error_ratio"].isfinite().any() else 1e-12
    torch.testing.assert_close(sol.ys, clean[: len(sol.ts)], rtol=0, atol=loose)


@given(st.sampled_from(WAYS), STEPS, BREAKS, VALUES, report_times(), ON_NONFINITE, seeds)
def test_a_field_that_breaks_at_a_time(way, h, at, value, t, on_nonfinite, seed):
    game, penalties = broken_game(value)
    y0 = starts([at], seed)[0]
    known = arguments_of(way, h) | {"penalties": penalties}
    sol, ended = solve(game, y0, t, on_nonfinite, **known)
    whole = odegan.odeint_gan(game, torch.cat([y0[:4], torch.full((1,), 9.0, dtype=torch.float64)]), t, **known).ys
    clean = torch.cat([whole[:, :4], y0[4:].expand(len(t), 1)], dim=1)
    if not ended:
        assert at >= 1 - h  # a last step may not look at its own end
        assert_kept(sol, t, clean)
        return
    seen = sol.stats["stopped_at"]
    taken = sol.stats["step_size"][:-1]  # adaptive solvers may try a step of up to ten times the last
    length = (10 * taken.max().item() if len(taken) else 1.0) if way["solver"] in ADAPTIVE else h
    assert at < 1 or way["solver"] in ADAPTIVE
    assert seen <= max(at, 0) + (1e-6 if way["solver"] in ADAPTIVE else h + 1e-9)
    assert seen + length >= at - 1e-9
    assert sol.t == seen
    assert_kept(sol, t, clean)


@given(
    st.sampled_from(FIXED_WAYS[:-18]),
    STEPS,
    st.lists(BREAKS, min_size=2, max_size=4),
    VALUES,
    report_times(),
    ON_NONFINITE,
    seeds,
)
def test_members_that_break_each_at_its_time(way, h, breaks, value, t, on_nonfinite, seed):
    game, penalties = broken_game(value)
    y0 = starts(breaks, seed)
    known = arguments_of(way, h) | {"penalties": penalties}
    sol, ended = solve(game, y0, t, on_nonfinite, **known)
    alone = [solve(game, start, t, "stop", **known) for start in y0]
    gone = [one.stats["stopped_at"] for one, _ in alone]
    if on_nonfinite == "raise":
        first = min((x for x in gone if x is not None), default=None)
        assert ended == (first is not None)
        if ended:
            assert sol.t == first
            assert torch.isfinite(sol.ys).all()
            assert torch.isfinite(sol.y).all()
        return
    assert ended == all(x is not None for x in gone)
    for e, (one, _) in enumerate(alone):
        n = min(len(one.ts), len(sol.ts))
        torch.testing.assert_close(sol.ys[:n, e], one.ys[:n], rtol=0, atol=1e-12)
        assert sol.ys[n:, e].isnan().all()
        torch.testing.assert_close(sol.y[e], one.y, rtol=0, atol=1e-12)
        if gone[e] is not None:
            assert sol.stats["stopped_at"][e].item() == gone[e]


@given(
    st.sampled_from(["euler", "heun2", "rk4", "alternating", "adam", "dopri5", "bosh3"]),
    st.integers(0, 11),
    st.integers(1, 3),
    report_times(),
    ON_NONFINITE,
    VALUES,
)
def test_a_bad_minibatch(solver, which, members, t, on_nonfinite, value):
    """The which-th draw holds one number that is not finite: interval which // members of member which % members."""
    game = odegan.gan(*networks())
    order = []

    def data(n, generator):
        seed = generator.initial_seed()
        if seed not in order:
            order.append(seed)
        x = draw(n, seed=order.index(seed))[0]
        x[0, 0] = value if order.index(seed) == which else x[0, 0]
        return x

    size = {"refresh": 0.25} if solver in ADAPTIVE else {"step_size": 0.25}
    known = {"data": data, "batch_size": 4, "solver": solver} | size
    y0 = torch.stack([game.init(seed=e) for e in range(members)]) if members > 1 else game.init(seed=0)
    sol, ended = solve(game, y0, t, on_nonfinite, **known)
    interval, member = divmod(which, members)
    if interval > 3:
        assert not ended
        return
    seen = torch.as_tensor(sol.stats["stopped_at"]).reshape(-1)
    together = on_nonfinite == "raise" or solver in ADAPTIVE or members == 1
    assert ended == together
    assert seen[member].item() == pytest.approx(0.25 * interval)
    kept = [x for x in t if x <= 0.25 * interval + 1e-9]
    assert torch.isfinite(sol.ys[: len(kept)]).all()
    assert torch.isfinite(sol.y).all()
    assert sol.ts.tolist() == (kept if together else t)
    if not together:
        assert sol.ys[len(kept) :, member].isnan().all()
        others = [e for e in range(members) if e != member]
        assert torch.isfinite(sol.ys[:, others]).all()
        assert seen[others].isnan().all()


@given(
    st.sampled_from([*FIXED, "alternating", "extragradient", "optimistic", *ADAPTIVE]),
    STEPS,
    st.floats(0.0, 1.2),
    report_times(),
    st.booleans(),
    ON_NONFINITE,
)
def test_an_infinite_loss_with_a_finite_field(solver, h, at, t, intervals, on_nonfinite):
    """D's one parameter is the time; from ``at`` on a constant makes its loss infinite, and no gradient shows it."""
    game = odegan.Game(
        lambda d, g, b: -d.sum() + torch.where(d.detach().sum() > at, math.inf, 0.0),
        lambda d, g, b: (g**2).sum() / 2,
        1,
        1,
    )
    adaptive = solver in ADAPTIVE
    known = {"solver": solver, "step_size": None if adaptive else h}
    known |= {"refresh": 0.2 if adaptive else 2 * h} if intervals else {}
    sol, ended = solve(game, torch.tensor([0.0, 1.0], dtype=torch.float64), t, on_nonfinite, **known)
    longest = sol.stats["step_size"].max().item()
    if not ended:
        assert at >= 1 - longest - 1e-9
        return
    seen = sol.stats["stopped_at"]
    assert at - longest - 1e-9 <= seen <= at + longest + 1e-9
    assert sol.ts.tolist() == [x for x in t if x <= sol.t + 1e-9]
    torch.testing.assert_close(sol.ys[:, 0], sol.ts, rtol=0, atol=1e-9)
    assert sol.y[0].item() == pytest.approx(sol.t)


def blow_up():
    """d' = d^2, so that d(t) = 1 / (1 / d(0) - t); g' = 0."""
    return odegan.Game(lambda d, g, b: -(d**3).sum() / 3, lambda d, g, b: 0 * g.sum(), 1, 1)


@given(st.sampled_from(FIXED), STEPS, st.floats(0.5, 50), report_times(length=5.0), st.booleans(), ON_NONFINITE)
def test_a_solution_that_blows_up_under_fixed_steps(solver, h, start, t, frozen, on_nonfinite):
    """Against the same steps taken by torchdiffeq: the first row that is not finite."""
    y0 = torch.tensor([start, 0.0], dtype=torch.float64)
    grid = torch.tensor([min(k * h, 5.0) for k in range(math.ceil(5.0 / h - 1e-9) + 1)], dtype=torch.float64)
    with odegan.solvers.registered():
        ys = odeint(lambda t, y: torch.stack([y[0] ** 2, 0 * y[1]]), y0, grid, method=solver)
    finite = torch.isfinite(ys).all(1)
    way = {"players": "frozen"} if frozen else {}
    sol, ended = solve(blow_up(), y0, t, on_nonfinite, solver=solver, step_size=h, **way)
    assert ended == (not finite.all())
    if ended:
        first = int((~finite).nonzero()[0])
        # A step or two earlier the loss, a cube, overflows before the state does.
        assert grid[max(first - 3, 0)] - 1e-9 <= sol.stats["stopped_at"] <= grid[first - 1] + 1e-9
        assert sol.stats["stopped_at"] >= min(1 / start, 5.0) - h
        assert torch.isfinite(sol.ys).all()
        assert torch.isfinite(sol.y).all()
        assert sol.ts.tolist() == [x for x in t if x <= sol.t + 1e-9]


@given(
    st.sampled_from(["dopri5", "dopri8", "RK45", "DOP853"]),
    st.floats(0.6, 5),
    report_times(length=2.0),
    st.sampled_from([None, 0.25]),
    ON_NONFINITE,
)
def test_a_solution_that_blows_up_under_adaptive_steps(solver, start, t, refresh, on_nonfinite):
    scipy = solver not in ADAPTIVE
    known = (
        {"solver": "scipy_solver", "options": {"solver": solver}} if scipy else {"solver": solver, "refresh": refresh}
    )
    y0 = torch.tensor([start, 0.0], dtype=torch.float64)
    sol, ended = solve(blow_up(), y0, t, on_nonfinite, rtol=1e-5, atol=1e-7, **known)
    assert ended
    end = 1 / start
    assert sol.stats["stopped_at"] <= end + 1e-3
    assert scipy or sol.stats["stopped_at"] >= end - 1e-3
    kept = [x for x in t if x < end - 1e-3]
    assert sol.ts.tolist()[: len(kept)] == kept
    exact = 1 / (1 / start - sol.ts[: len(kept)])
    torch.testing.assert_close(sol.ys[: len(kept), 0], exact, rtol=1e-2, atol=0)
    assert torch.isfinite(sol.ys).all()


@given(
    st.sampled_from(["RK45", "RK23", "DOP853", "LSODA", "BDF", "Radau"]),
    BREAKS,
    VALUES,
    report_times(),
    ON_NONFINITE,
    seeds,
)
def test_a_field_that_breaks_under_scipy(solver, at, value, t, on_nonfinite, seed):
    """scipy steps by itself: what it returned before the break is kept, and it must come back at all."""
    game, penalties = broken_game(value)
    known = {"solver": "scipy_solver", "options": {"solver": solver}, "penalties": penalties}
    sol, ended = solve(game, starts([at], seed)[0], t, on_nonfinite, **known)
    assert ended == (at < 1) or at > 0.9
    assert torch.isfinite(sol.ys).all()
    assert sol.ts.tolist() == t[: len(sol.ts)]
    assert len(sol.ts) <= len([x for x in t if x <= max(at, 0) + 1e-6]) or not ended
