"""Runs: what each solver's step is, and what must not depend on ensembles, reports, interruptions or the clock."""

import math
import tempfile
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchdiffeq import odeint

import odegan
from tests.peers import ADAMS, ADAPTIVE, BASELINES, FIRST_WEIGHT, FIXED, always
from tests.strategies import (
    assert_close,
    closed_form,
    double,
    dtypes,
    examples,
    fixed_solvers,
    linear_games,
    networks,
    normal,
    penalty_lists,
    report_times,
    seeds,
    steps,
)

ORDER = {"euler": 1, "midpoint": 2, "heun2": 2, "heun3": 3, "rk4": 4, "rk4_classic": 4, "ralston": 2}
LOOSE = ("adaptive_heun", "fehlberg2", "bosh3")
SPLITS = st.sampled_from([n for n in FIXED if FIRST_WEIGHT[n]])


def still(dtype=dtypes):
    """Games without buffers that move between steps, for what is done again by hand."""
    return st.one_of(closed_form(dtype), networks(dtype, norms=("none", "layer")))


def sizes(solver, h, intervals=False):
    """The step size of a fixed-step solver, or the refresh interval of an adaptive one."""
    return {"step_size": h} if solver not in ADAPTIVE else {"refresh": h} if intervals else {}


def given_data(example, intervals=True):
    """The arguments of a run in which every minibatch is the example's."""
    return always(tuple(example.batch)) | ({} if intervals else {"refresh": math.inf}) if example.batch else {}


def run(example, t=(0.0, 0.5), y0=None, **arguments):
    start = example.y if y0 is None else y0
    return odegan.odeint_gan(example.game, start, t, **({"on_nonfinite": "stop"} | arguments))


# What a step is.
@given(still(), st.sampled_from([*FIXED, *ADAPTIVE, *ADAMS]), st.integers(1, 7), st.data())
def test_one_call_is_torchdiffeqs_own(example, solver, parts, data):
    """The times lie on the grid of the fixed steps, which torchdiffeq makes in the dtype of the times."""
    chosen = data.draw(penalty_lists(example, 1))
    penalties = [p for p in chosen if not p.noise]
    h, t = 2.0**-4, torch.tensor([0.0, parts * 2.0**-4, 0.5], dtype=torch.float64)
    options = {"max_order": 5} if solver in ADAMS else {}
    ours = run(
        example,
        t,
        solver=solver,
        penalties=penalties,
        options=options,
        **sizes(solver, h),
        **given_data(example, False),
    )
    field, batch = odegan.vector_field(example.game, penalties), example.batch and odegan.Batch(*example.batch)
    theirs = options | ({} if solver in ADAPTIVE else {"step_size": h})
    theirs |= {"norm": lambda x: x.abs().pow(2).mean().sqrt()} if solver in ADAPTIVE else {}
    with odegan.solvers.registered(), torch.no_grad():
        ys = odeint(lambda t, y: field(t, y, batch), example.y, t, rtol=1e-4, atol=1e-6, method=solver, options=theirs)
    assert ours.status == "finished"
    assert_close(ours.ys, ys, 16)


@given(linear_games(dtypes), fixed_solvers, steps)
def test_a_step_on_a_linear_field_is_the_taylor_polynomial(linear, solver, h):
    """Of s stages and order s there is one polynomial: sum over k <= s of (h A)^k / k!; it is the stability function."""
    game, A, y = linear
    power, expected = y, y.clone()
    for k in range(1, ORDER[solver] + 1):
        power = h * (A @ power) / k
        expected = expected + power
    assert_close(odegan.odeint_gan(game, y, [0.0, h], solver=solver, step_size=h).y, expected, 100)


@given(linear_games(), st.sampled_from(ADAPTIVE), st.integers(3, 8), st.sampled_from([None, 0.3]))
def test_adaptive_solvers_keep_their_tolerance(linear, solver, digits, refresh):
    game, A, y = linear
    digits = min(digits, 5) if solver in LOOSE else digits
    tolerances = {"rtol": 10.0**-digits, "atol": 10.0**-digits}
    ys = odegan.odeint_gan(game, y, [0.0, 0.5, 1.0], solver=solver, refresh=refresh, **tolerances).ys
    exact = torch.stack([torch.linalg.matrix_exp(t * A) @ y for t in (0.0, 0.5, 1.0)])
    growth = torch.linalg.matrix_norm(A, 2).exp().item()
    assert (ys - exact).abs().max() <= 30 * 10.0**-digits * growth * (1 + exact.abs().max())


@given(still(), SPLITS, steps, st.data())
def test_where_penalties_act(example, solver, h, data):
    """after_step adds h p(y0) to the unpenalized step; first_stage adds p / b_1 to the first stage, so that Euler is both."""
    chosen = [p for p in data.draw(penalty_lists(example)) if not p.noise]
    free = odegan.vector_field(example.game)
    batch = example.batch and odegan.Batch(*example.batch)
    push = odegan.vector_field(example.game, chosen)(0.0, example.y, batch) - free(0.0, example.y, batch)
    known = {"solver": solver, "step_size": h} | given_data(example)
    plain, after, first = (
        run(
            example,
            [0.0, h],
            penalties=chosen if placement else [],
            **known,
            **({"placement": placement} if placement else {}),
        ).y
        for placement in (None, "after_step", "first_stage")
    )
    assert_close(after, plain + h * push, 1e5)
    calls = []

    def pushed(t, y):
        calls.append(1)
        return free(t, y, batch) + (push / FIRST_WEIGHT[solver] if len(calls) == 1 else 0)

    with torch.no_grad(), odegan.solvers.registered():
        by_hand = odeint(pushed, example.y, torch.tensor([0.0, h], dtype=torch.float64), method=solver)[-1]
    assert_close(first, by_hand, 1e5)


@given(still(), fixed_solvers, steps, st.data())
def test_frozen_players_see_the_opponent_of_the_steps_start(example, solver, h, data):
    chosen = [p for p in data.draw(penalty_lists(example, 1)) if not p.noise]
    field, batch = odegan.vector_field(example.game, chosen), example.batch and odegan.Batch(*example.batch)
    start = example.parts(example.y)
    alone = [
        lambda t, d: example.parts(field(t, torch.cat([d, start[1]]), batch))[0],
        lambda t, g: example.parts(field(t, torch.cat([start[0], g]), batch))[1],
    ]
    grid = torch.tensor([0.0, h], dtype=torch.float64)
    with torch.no_grad(), odegan.solvers.registered():
        by_hand = torch.cat([odeint(f, p, grid, method=solver)[-1] for f, p in zip(alone, start, strict=True)])
    frozen = run(
        example, [0.0, h], solver=solver, step_size=h, players="frozen", penalties=chosen, **given_data(example)
    ).y
    assert_close(frozen, by_hand, 1e5)
    joint, alike = (
        run(example, [0.0, h], solver="euler", step_size=h, players=players, penalties=chosen, **given_data(example)).y
        for players in ("joint", "frozen")
    )
    assert_close(alike, joint)


def optimizer(make, y, gradients, steps):
    """A torch.optim optimizer led by gradients that are given."""
    theta = y.clone().requires_grad_()
    opt = make([theta])
    for _ in range(steps):
        theta.grad = gradients(theta.detach())
        opt.step()
    return theta.detach()


@given(still(double), st.sampled_from(BASELINES), steps, st.integers(1, 4), st.floats(0.0, 0.95))
def test_baselines_by_hand(example, solver, h, count, beta):
    field, batch = odegan.vector_field(example.game), example.batch and odegan.Batch(*example.batch)

    def v(y):
        with torch.no_grad():
            return field(0.0, y, batch)

    def alternating(y):
        y = torch.cat([y[:n] + h * v(y)[:n], y[n:]])
        return torch.cat([y[:n], y[n:] + h * v(y)[n:]])

    n, y, last = example.game.n_disc, example.y, v(example.y)
    options = {"adam": {"betas": (beta, 0.99)}, "rmsprop": {"alpha": beta}}.get(solver, {})
    if solver in ("adam", "rmsprop"):
        make = {
            "adam": lambda p: torch.optim.Adam(p, lr=h, betas=(beta, 0.99)),
            "rmsprop": lambda p: torch.optim.RMSprop(p, lr=h, alpha=beta),
        }[solver]
        y = optimizer(make, y, lambda y: -v(y), count)
    for _ in range(count if solver not in ("adam", "rmsprop") else 0):
        if solver == "alternating":
            y = alternating(y)
        elif solver == "extragradient":
            y = y + h * v(y + h * v(y))
        else:
            y, last = y + h * (2 * v(y) - last), v(y)
    ours = run(example, [0.0, count * h], solver=solver, step_size=h, options=options, **given_data(example))
    assert_close(ours.y, y, 1e5)


@given(linear_games(), fixed_solvers, steps, st.integers(1, 5), seeds)
def test_a_gradient_through_a_run_on_a_linear_field(linear, solver, h, count, seed):
    """y(T) = R(hA)^n y0, so the gradient of <c, y(T)> in y0 is (R(hA)^T)^n c."""
    game, A, y = linear
    R, power = torch.eye(len(y), dtype=A.dtype), torch.eye(len(y), dtype=A.dtype)
    for k in range(1, ORDER[solver] + 1):
        power = h * (A @ power) / k
        R = R + power
    c, y = normal(len(y), seed=seed), y.requires_grad_()
    end = odegan.odeint_gan(game, y, [0.0, count * h], solver=solver, step_size=h).y
    assert_close(torch.autograd.grad(c @ end, y)[0], torch.linalg.matrix_power(R.T, count) @ c)


# What must not matter.
@given(
    st.one_of(closed_form(), networks(norms=("none", "layer", "spectral", "batch"))),
    st.sampled_from([*FIXED, *BASELINES]),
    steps,
    st.integers(1, 3),
    seeds,
)
def test_a_member_of_an_ensemble_is_a_single_run(example, solver, h, members, seed):
    """With its own start and seed: member e's minibatches are those of seed + e."""
    y0 = example.y + 0.1 * normal(members, len(example.y), seed=seed, dtype=example.dtype)
    data = {"data": example.batch[0], "latent": example.batch[1].shape[1], "batch_size": 3} if example.batch else {}
    known = {"solver": solver, "step_size": h} | data
    together = run(example, [0.0, 2.5 * h, 3 * h], y0, seed=seed, **known)
    for e in range(members):
        alone = run(example, [0.0, 2.5 * h, 3 * h], y0[e], seed=seed + e, **known)
        scale = 1e3 if solver in ("adam", "rmsprop") else 1.0  # a gradient of rounding size is scaled up to h
        assert_close(together.ys[:, e], alone.ys, 1e5, scale)
        torch.testing.assert_close(together.stats["losses"][:, e], alone.stats["losses"], rtol=1e-2, atol=1e-2)


@given(examples(double), st.sampled_from(ADAPTIVE), st.integers(2, 3), seeds)
def test_members_of_adaptive_ensembles_agree_to_tolerance(example, solver, members, seed):
    y0 = example.y + 0.1 * normal(members, len(example.y), seed=seed)
    tolerance = 1e-4 if solver in LOOSE else 1e-7
    known = {"solver": solver, "rtol": tolerance, "atol": tolerance, "refresh": 0.1} | given_data(example)
    together = run(example, [0.0, 0.05, 0.2], y0, **known)
    for e in range(members):
        alone = run(example, [0.0, 0.05, 0.2], y0[e], **known)
        torch.testing.assert_close(
            together.ys[:, e], alone.ys, rtol=0, atol=100 * tolerance * (1 + alone.ys.abs().max().item())
        )


WAYS = [
    *({"solver": name} for name in [*FIXED, *BASELINES]),
    {"solver": "rk4", "refresh": "stage"},
    {"solver": "heun2", "players": "frozen", "clip": 0.5, "rates": (2.0, 1.0)},
    {"solver": "adam", "options": {"alternating": True, "disc_steps": 2}},
    *({"solver": name, "refresh": 0.15} for name in ADAPTIVE),
]


class Stop:
    """Ends a run after so many intervals."""

    def __init__(self, after):
        self.left = after

    def __call__(self, state, info):
        self.left -= 1
        return self.left == 0


@given(
    networks(norms=("none", "spectral")),
    st.sampled_from(WAYS),
    st.lists(st.integers(1, 6), max_size=3),
    seeds,
    st.data(),
)
def test_a_resumed_run_is_the_uninterrupted_one(example, way, cuts, seed, data):
    """Bit for bit, wherever it was cut and however often."""
    chosen = data.draw(penalty_lists(example)) + data.draw(
        st.sampled_from([[], [odegan.penalties.closed_loop(0.1, buffer=2)]])
    )
    known = way | {"data": example.batch[0], "batch_size": 3, "latent": example.batch[1].shape[1], "penalties": chosen}
    chunked = any("chunks" in repr(p) and p.settings.get("chunks") for p in chosen)
    known |= {"seed": seed, "batch_size": 4 if chunked else 3} | sizes(way["solver"], 0.07, "refresh" in way)
    known |= {"refresh": way["refresh"]} if "refresh" in way else {}
    t = [0.0, 0.1, 0.33, 0.5]
    whole = run(example, t, **known)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.pt"
        for after in cuts:
            run(example, t, **known, callback=Stop(after), checkpoint=path)
        resumed = run(example, t, **known, checkpoint=path)
    assert resumed.status == whole.status
    assert torch.equal(resumed.ys.nan_to_num(), whole.ys.nan_to_num())
    assert torch.equal(resumed.y, whole.y)
    assert torch.equal(resumed.stats["losses"].nan_to_num(), whole.stats["losses"].nan_to_num())
    assert [resumed.stats[k] for k in ("nfe", "steps", "rejected")] == [
        whole.stats[k] for k in ("nfe", "steps", "rejected")
    ]


@given(examples(), st.sampled_from(WAYS), report_times(), st.booleans())
def test_reports_do_not_change_the_trajectory(example, way, t, held):
    known = dict(way) if example.batch else {k: v for k, v in way.items() if v != "stage"}
    known |= sizes(way["solver"], 0.13) | given_data(example)
    if held and way["solver"] not in BASELINES and "players" not in way:
        known |= {"refresh": math.inf}
    many, few = run(example, t, **known), run(example, [t[0], t[-1]], **known)
    assert torch.equal(many.y, few.y)
    assert torch.equal(many.stats["losses"], few.stats["losses"])
    assert many.ts.tolist() == t
    assert (many.ys.dtype, many.ts.dtype) == (example.dtype, torch.float64)


@given(examples(double), st.sampled_from(WAYS), st.integers(-1000, 1000), report_times())
def test_the_clock_may_start_anywhere(example, way, shift, t):
    """A field that does not see the time; the shift is a multiple of 1/8, so that only the times' sums round."""
    known = dict(way) if example.batch else {k: v for k, v in way.items() if v != "stage"}
    known |= sizes(way["solver"], 0.13) | given_data(example)
    here, there = run(example, t, **known), run(example, [x + shift / 8 for x in t], **known)
    scale = 1e3 if way["solver"] in ("adam", "rmsprop", *ADAPTIVE) else 1.0
    assert_close(there.ys, here.ys, 1e6, scale)
    assert here.stats["steps"] == there.stats["steps"]


@given(still(), fixed_solvers, steps, st.data())
def test_one_minibatch_held_is_one_minibatch_drawn_again(example, solver, h, data):
    """One call of torchdiffeq, steps, stages and intervals of three steps are four ways to the same states."""
    chosen = [p for p in data.draw(penalty_lists(example)) if not p.noise]
    known = {"solver": solver, "step_size": h, "penalties": chosen} | given_data(example)
    t = [0.0, 2.5 * h, 6 * h]
    whole = run(example, t, **known, refresh=math.inf)
    others = [None, 3 * h, *(["stage"] if example.batch else [])]
    for refresh in others if example.batch else [3 * h]:
        assert_close(run(example, t, **known, refresh=refresh).ys, whole.ys, 1e5)


@given(networks(), st.sampled_from(WAYS), seeds, st.data())
def test_a_loop_of_steps_is_a_run_and_leaves_its_states_alone(example, way, seed, data):
    known = way | sizes(way["solver"], 0.07, "refresh" in way) | {"penalties": data.draw(penalty_lists(example))}
    known |= {"refresh": way["refresh"]} if "refresh" in way else {}
    whole = run(example, [0.0, 0.3], **known, **given_data(example), seed=seed)
    stepper = odegan.Stepper(example.game, **known)
    state, steps = stepper.init(example.y, seed=seed), 0
    batch = odegan.Batch(*example.batch)
    batch = [batch] * stepper.options.stages if way.get("refresh") == "stage" else batch
    while state.t < 0.3:
        kept = state.y.clone(), {k: v.clone() for k, v in state.aux["memory"].items()}
        after, info = stepper.step(state, batch, until=0.3)
        again, _ = stepper.step(state, batch, until=0.3)
        assert torch.equal(again.y, after.y)
        assert torch.equal(state.y, kept[0])
        assert all(torch.equal(state.aux["memory"][k], v) for k, v in kept[1].items())
        state, steps = after, steps + info.accepted
    assert torch.equal(state.y, whole.y)
    assert steps == whole.stats["steps"]


@given(examples(), st.sampled_from([*FIXED, *BASELINES]), steps, st.floats(0.1, 6.9))
def test_counts_and_records(example, solver, h, count):
    """ceil(T / h) steps, the last one cut; stages times as many evaluations; the first record is the field at y0."""
    t = [0.0, count * h]
    sol = run(example, t, solver=solver, step_size=h, **given_data(example))
    steps = math.ceil(count - 1e-9)
    each = {"extragradient": 2, **ORDER, "rk4": 4}.get(solver, 1)
    assert (sol.stats["steps"], sol.stats["nfe"]) == (steps, each * steps)
    assert sol.stats["step_size"].sum().item() == pytest.approx(t[1])
    assert sol.t == t[1]
    losses = torch.stack(example.game.losses(example.y, example.batch)).double()
    if solver != "alternating":  # its second number is G's loss against the new D
        torch.testing.assert_close(sol.stats["losses"][0], losses, rtol=1e-4, atol=1e-5)


@given(networks(double), fixed_solvers, st.sampled_from([None, "stage", 0.2]), seeds)
def test_a_runs_minibatches_are_a_function_of_the_seed(example, solver, refresh, seed):
    def drawn(n, generator):
        return torch.randn(n, example.batch[0].shape[1], generator=generator, dtype=torch.float64)

    known = {"data": drawn, "batch_size": 4, "solver": solver, "step_size": 0.1, "refresh": refresh}
    torch.manual_seed(seed)
    before = torch.get_rng_state()
    first, again = run(example, **known, seed=seed), run(example, **known, seed=seed)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first.ys, again.ys)
    assert not torch.equal(first.y, run(example, **known, seed=seed + 1).y)


def test_the_lists_are_whole():
    """Every solver of the table stands in one of the lists above."""
    assert {*FIXED, *ADAPTIVE, *ADAMS, *BASELINES, "scipy_solver"} == set(odegan.solvers.names())
