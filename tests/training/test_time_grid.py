"""Time is counted by integers, reports change nothing, intervals keep to themselves, statistics mean what they say."""

import math

import pytest
import torch
import torchdiffeq

import odegan
from tests.peers import ADAPTIVE, START, TIGHT, draw, forced, networks, smooth_game

ON = [0.0, 1.0]
MANY = [0.0, 0.05, 0.1, 0.25, 0.3, 0.333, 0.5, 0.777, 0.95, 1.0]
FROZEN = {"players": "frozen"}  # a run that goes interval by interval


def solve(times, **arguments):
    return odegan.odeint_gan(smooth_game(), START, torch.tensor(times, dtype=torch.float64), **arguments)


@pytest.mark.parametrize("mode", [{}, FROZEN, {"solver": "alternating"}], ids=["one call", "intervals", "baseline"])
@pytest.mark.parametrize("h", [0.1, 0.3, 1 / 3, 0.07])
def test_number_of_steps_is_exact(h, mode):
    """ceil(T / h), whatever rounding says, for horizons that h divides and others; and from a late start."""
    game = odegan.games.bilinear()
    y0 = torch.tensor([1.0, 0.5])
    for start in (0.0, 1000.0):
        for k in (1, 3, 7, 10, 12, 29):
            for part in (0.0, 0.5):
                end = start + (k + part) * h
                sol = odegan.odeint_gan(game, y0, [start, end], **({"solver": "euler"} | mode), step_size=h)
                sizes = sol.stats["step_size"]
                assert sol.stats["steps"] == len(sizes) == math.ceil(k + part), (start, k, part)
                grid = start + h * torch.arange(len(sizes), dtype=torch.float64)
                torch.testing.assert_close(sol.stats["t"], grid, rtol=1e-15, atol=1e-15)
                torch.testing.assert_close(sizes[:-1], torch.full_like(sizes[:-1], h), rtol=1e-9, atol=0)
                assert sizes[-1].item() == pytest.approx(h * (part or 1.0), rel=1e-9)
                assert sol.t == end


@pytest.mark.parametrize(
    "arguments",
    [
        {"solver": "heun2", "step_size": 0.1},
        {"solver": "rk4", "step_size": 0.07, "options": {"interp": "cubic"}},
        {"solver": "explicit_adams", "step_size": 0.1},
        {"solver": "heun2", "step_size": 0.1, **FROZEN},
        {"solver": "rk4", "step_size": 0.07, "options": {"interp": "cubic"}, **FROZEN},
        {"solver": "adam", "step_size": 0.1},
        {"solver": "heun3", "step_size": 0.1, "refresh": 0.3},
        {"solver": "dopri5"},
        {"solver": "bosh3", "rtol": 1e-3},
        {"solver": "dopri5", "refresh": 0.4},
        {"solver": "adaptive_heun", "refresh": 0.3, **FROZEN},
    ],
    ids=lambda a: "-".join(map(str, a.values())),
)
def test_reports_never_change_a_trajectory(arguments):
    few = solve(ON, **arguments)
    many = solve(MANY, **arguments)
    assert torch.equal(few.y, many.y)
    assert torch.equal(few.stats["t"], many.stats["t"])
    assert torch.equal(few.ys[-1], many.ys[-1])
    assert torch.equal(many.ys[-1], many.y)
    assert torch.equal(many.ys[0], START)
    assert many.ts.tolist() == MANY
    assert few.stats["steps"] == many.stats["steps"]
    assert (many.ys.diff(dim=0).norm(dim=-1) > 1e-4).all()


@pytest.mark.parametrize("kind", ["linear", "cubic"])
@pytest.mark.parametrize("solver", ["euler", "heun2", "heun3", "rk4", "midpoint"])
def test_interval_by_interval_interpolates_as_torchdiffeq(solver, kind):
    """refresh=0.2 on a field without data goes by intervals and must end where one call of torchdiffeq ends."""
    options = {"interp": kind, "step_size": 0.1}
    field = odegan.vector_field(smooth_game(), [forced(torch.sin)])
    times = torch.tensor(MANY, dtype=torch.float64)
    expected = torchdiffeq.odeint(field, START, times, method=solver, options=options)
    sol = solve(
        MANY, solver=solver, step_size=0.1, refresh=0.2, options={"interp": kind}, penalties=[forced(torch.sin)]
    )
    torch.testing.assert_close(sol.ys, expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("solver", ADAPTIVE)
def test_adaptive_intervals_interpolate_within_tolerance(solver):
    field = odegan.vector_field(smooth_game())
    times = torch.tensor(MANY, dtype=torch.float64)
    expected = torchdiffeq.odeint(field, START, times, method="dopri5", rtol=1e-10, atol=1e-12)
    sol = solve(MANY, solver=solver, refresh=0.25, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(sol.ys, expected, rtol=0, atol=5e-3)


@pytest.mark.parametrize("mode", [{}, FROZEN], ids=["one call", "intervals"])
def test_step_sizes_as_a_function_of_time(mode):
    """ODE-GAN's schedule: 500 steps of 0.01, then 0.04; and one that changes at every step."""
    game = odegan.games.bilinear()
    y0 = torch.tensor([1.0, 0.5])
    schedule = odegan.piecewise([0.01, 0.04], [5.0])
    sol = odegan.odeint_gan(game, y0, [0.0, 9.0], solver="euler", step_size=schedule, **mode)
    assert sol.stats["steps"] == 600
    expected = torch.tensor([0.01] * 500 + [0.04] * 100, dtype=torch.float64)
    torch.testing.assert_close(sol.stats["step_size"], expected, rtol=1e-9, atol=0)
    sol = odegan.odeint_gan(game, y0, [0.0, 1.0], solver="euler", step_size=lambda t: 0.1 * (1 + t), **mode)
    t = 0.0
    for at, size in zip(sol.stats["t"].tolist(), sol.stats["step_size"].tolist(), strict=True):
        assert at == pytest.approx(t)
        assert size == pytest.approx(min(0.1 * (1 + t), 1 - t))
        t += size


class Recording:
    """A source of data that notes, by the generator's seed, which draw was asked for; the draw's number is in the data."""

    def __init__(self):
        self.seeds = []

    def __call__(self, n, generator):
        self.seeds.append(generator.initial_seed())
        return torch.full((n, 2), float(generator.initial_seed() % 10_007), dtype=torch.float64)


class Seen:
    """A game of one parameter a player that notes the data its loss sees at each evaluation."""

    def __init__(self):
        self.batches = []

        def gradients(d, g, batch):
            self.batches.append(batch.real[0, 0].item())
            return d * 0.1, g * 0.1

        self.game = odegan.Game(lambda d, g, b: (d**2).sum(), lambda d, g, b: (g**2).sum(), 1, 1, gradients=gradients)

    def run(self, **arguments):
        y0 = torch.ones(2, dtype=torch.float64)
        source = Recording()
        sol = odegan.odeint_gan(self.game, y0, [0.0, 1.2], data=source, latent=1, batch_size=2, **arguments)
        order = list(dict.fromkeys(self.batches))
        return sol, [order.index(x) for x in self.batches], order


@pytest.mark.parametrize(
    "arguments, expected",
    [
        ({"solver": "heun2", "step_size": 0.3}, [0, 0, 1, 1, 2, 2, 3, 3]),
        ({"solver": "heun2", "step_size": 0.3, "refresh": "stage"}, list(range(8))),
        ({"solver": "heun2", "step_size": 0.3, "refresh": 0.6}, [0] * 4 + [1] * 4),
        ({"solver": "heun2", "step_size": 0.3, "refresh": math.inf}, [0] * 8),
        ({"solver": "euler", "step_size": 0.1, "refresh": 0.5}, [0] * 5 + [1] * 5 + [2] * 2),
        ({"solver": "alternating", "step_size": 0.4, "options": {"disc_steps": 2}}, [0] * 3 + [1] * 3 + [2] * 3),
        ({"solver": "extragradient", "step_size": 0.4, "refresh": "stage"}, list(range(6))),
    ],
    ids=lambda a: "-".join(map(str, a.values())) if isinstance(a, dict) else "",
)
@pytest.mark.usefixtures("no_trial")
def test_which_minibatch_when(arguments, expected):
    sol, seen, order = Seen().run(**arguments)
    assert seen == expected
    again = Seen().run(**arguments)[2]
    assert again == order  # pure in (seed, index)
    assert Seen().run(**arguments, seed=1)[2] != order
    assert sol.status == "finished"


def test_minibatches_do_not_depend_on_the_interval_structure():
    order = Seen().run(solver="euler", step_size=0.1)[2]
    assert Seen().run(solver="heun2", step_size=0.3)[2] == order[:4]
    assert Seen().run(solver="dopri5", refresh=0.6)[2] == order[:2]


@pytest.mark.parametrize("refresh", [0.3, 0.25, 1 / 3])
@pytest.mark.parametrize("solver", ADAPTIVE)
@pytest.mark.usefixtures("no_trial")
def test_adaptive_intervals_keep_to_themselves(solver, refresh):
    """Nothing is evaluated outside the interval; at most one evaluation more than the steps' own; the step is carried."""
    seen = []
    closed = []
    interval = [0]

    def note(t):
        assert not closed or t >= closed[-1] - 1e-12, (t, closed)
        seen.append(float(t))
        return torch.sin(torch.as_tensor(t))

    def closes(state, info):
        begin = closed[-1] if closed else 0.0
        assert min(seen) >= begin - 1e-12
        assert max(seen) <= state.t + 1e-12
        stages = odegan.solvers.get(solver).stages
        extra = info.nfe - stages * (info.accepted + info.rejected)
        assert extra <= (2 if interval[0] == 0 else 1)  # the very first step has to be guessed
        assert len(seen) == info.nfe
        seen.clear()
        closed.append(state.t)
        interval[0] += 1

    times = [0.0, 0.1, 0.55, 2.0]
    penalties = [forced(note)]
    sol = solve(times, solver=solver, refresh=refresh, penalties=penalties, callback=closes, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(
        torch.tensor(closed), torch.tensor([min((k + 1) * refresh, 2.0) for k in range(math.ceil(2 / refresh - 1e-9))])
    )
    whole = solve(times, solver=solver, penalties=[forced(torch.sin)], rtol=1e-4, atol=1e-6)
    assert sol.stats["rejected"] <= whole.stats["rejected"] + 2  # the carried step is as good in the next interval


def test_the_proposal_before_truncation_is_carried():
    """With intervals much shorter than the solver's step, each is one step, and none is rejected or guessed anew."""
    sol = solve([0.0, 2.0], solver="dopri5", refresh=0.05, rtol=1e-3, atol=1e-5)
    assert sol.stats["rejected"] == 0
    assert sol.stats["steps"] <= 42
    assert sol.stats["nfe"] <= 7 * 42 + 1
    assert solve([0.0, 2.0], solver="dopri5", rtol=1e-3, atol=1e-5).stats["step_size"].max() > 0.3


def test_first_step_is_only_the_first():
    options = {"first_step": 1e-3}
    sizes = solve([0.0, 1.0], solver="dopri5", refresh=0.25, options=options).stats["step_size"]
    assert sizes[0].item() == pytest.approx(1e-3)
    assert (sizes < 2e-3).sum() == 1


@pytest.mark.parametrize("members", [0, 3])
@pytest.mark.parametrize(
    "arguments",
    [{"step_size": 0.1}, {"step_size": 0.1, **FROZEN}, {"solver": "dopri5"}, {"solver": "dopri5", "refresh": 0.3}],
    ids=str,
)
def test_statistics(arguments, members):
    game = smooth_game()
    y0 = torch.stack([START * (1 + e) for e in range(members)]) if members else START
    sol = odegan.odeint_gan(game, y0, [0.0, 1.0], **arguments)
    stats = sol.stats
    lead = [members] if members else []
    n = stats["steps"]
    assert all(type(stats[key]) is int for key in ("nfe", "steps", "rejected"))
    assert stats["losses"].shape == (n, *lead, 2)
    assert stats["field_norm"].shape == (n, *lead)
    assert stats["t"].shape == stats["step_size"].shape == stats["error_ratio"].shape == (n,)
    torch.testing.assert_close(stats["t"][1:], (stats["t"] + stats["step_size"])[:-1])
    first = torch.stack([torch.stack(game.losses(y)) for y in y0.reshape(-1, 4)]).reshape(*lead, 2)
    torch.testing.assert_close(stats["losses"][0], first)
    norm = torch.stack([odegan.vector_field(game)(0.0, y).norm() for y in y0.reshape(-1, 4)]).reshape(lead)
    torch.testing.assert_close(stats["field_norm"][0], norm)
    if "step_size" in arguments:
        assert stats["error_ratio"].isnan().all()
        y = odegan.odeint_gan(game, y0, [0.0, stats["t"][-1].item()], **arguments).y
        last = torch.stack([torch.stack(game.losses(one)) for one in y.reshape(-1, 4)]).reshape(*lead, 2)
        torch.testing.assert_close(stats["losses"][-1], last)  # at the first stage of the last step
    else:
        assert (stats["error_ratio"] <= 1).all()
        assert (stats["error_ratio"] > 0).all()


def test_rejected_steps_are_counted():
    sol = solve([0.0, 1.0], solver="dopri5", options={"first_step": 1.0}, rtol=1e-9, atol=1e-11)
    assert sol.stats["rejected"] >= 1
    assert sol.stats["t"][0] == 0
    assert (sol.stats["error_ratio"] <= 1).all()


def test_a_run_from_a_later_time_is_the_same_run():
    game = odegan.gan(*networks())
    data = draw(32)[0]
    options = {"data": data, "batch_size": 8, "solver": "rk4", "step_size": 0.1}
    early = odegan.odeint_gan(game, game.init(), [0.0, 0.5], **options)
    late = odegan.odeint_gan(game, game.init(), [100.0, 100.5], **options)
    torch.testing.assert_close(early.y, late.y, rtol=0, atol=1e-13)


def test_stepper_and_run_are_one_way_to_take_a_step():
    game = smooth_game()
    stepper = odegan.Stepper(game, solver="dopri5", refresh=0.25, **TIGHT)
    state = stepper.init(START)
    for _ in range(4):
        state, _ = stepper.step(state)
    sol = odegan.odeint_gan(game, START, [0.0, 1.0], solver="dopri5", refresh=0.25, **TIGHT)
    assert torch.equal(state.y, sol.y)
    assert state.t == sol.t == 1.0
