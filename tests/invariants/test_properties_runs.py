"""Runs: what each solver's step is, and what must not depend on ensembles, reports, interruptions or the clock."""

import torch
from hypothesis import given
from hypothesis import strategies as st
from torchdiffeq import odeint

import odegan
from tests.invariants.run_cases import LOOSE, ORDER, given_data, run, sizes, still
from tests.peers import ADAMS, ADAPTIVE, BASELINES, FIRST_WEIGHT, FIXED
from tests.strategies import (
    assert_close,
    double,
    dtypes,
    fixed_solvers,
    linear_games,
    normal,
    penalty_lists,
    seeds,
    steps,
)

SPLITS = st.sampled_from([n for n in FIXED if FIRST_WEIGHT[n]])


# What a step is.
@given(still(), st.sampled_from([*FIXED, *ADAPTIVE, *ADAMS]), st.integers(1, 7), st.data())
def test_one_call_is_torchdiffeqs_own(example, solver, parts, data):
    """The times lie on the grid of the fixed steps, which torchdiffeq makes in the dtype of the times."""
    chosen = data.draw(penalty_lists(example, 1))
    penalties = [p for p in chosen if not p.noise]
    h = 2.0**-4
    t = torch.tensor([0.0, parts * 2.0**-4, 0.5], dtype=torch.float64)
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
    field = odegan.vector_field(example.game, penalties)
    batch = example.batch and odegan.Batch(*example.batch)
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
    power = y
    expected = y.clone()
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
    field = odegan.vector_field(example.game, chosen)
    batch = example.batch and odegan.Batch(*example.batch)
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
    field = odegan.vector_field(example.game)
    batch = example.batch and odegan.Batch(*example.batch)

    def v(y):
        with torch.no_grad():
            return field(0.0, y, batch)

    def alternating(y):
        y = torch.cat([y[:n] + h * v(y)[:n], y[n:]])
        return torch.cat([y[:n], y[n:] + h * v(y)[n:]])

    n = example.game.n_disc
    y = example.y
    last = v(example.y)
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
            here = v(y)
            y = y + h * (2 * here - last)
            last = here
    ours = run(example, [0.0, count * h], solver=solver, step_size=h, options=options, **given_data(example))
    assert_close(ours.y, y, 1e5)


@given(linear_games(), fixed_solvers, steps, st.integers(1, 5), seeds)
def test_a_gradient_through_a_run_on_a_linear_field(linear, solver, h, count, seed):
    """y(T) = R(hA)^n y0, so the gradient of <c, y(T)> in y0 is (R(hA)^T)^n c."""
    game, A, y = linear
    R = torch.eye(len(y), dtype=A.dtype)
    power = torch.eye(len(y), dtype=A.dtype)
    for k in range(1, ORDER[solver] + 1):
        power = h * (A @ power) / k
        R = R + power
    c = normal(len(y), seed=seed)
    y = y.requires_grad_()
    end = odegan.odeint_gan(game, y, [0.0, count * h], solver=solver, step_size=h).y
    assert_close(torch.autograd.grad(c @ end, y)[0], torch.linalg.matrix_power(R.T, count) @ c)


def test_the_lists_are_whole():
    """Every solver of the table stands in one of the lists above."""
    assert {*FIXED, *ADAPTIVE, *ADAMS, *BASELINES, "scipy_solver"} == set(odegan.solvers.names())
