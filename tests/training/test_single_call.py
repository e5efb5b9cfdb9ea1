"""On one smooth field each torchdiffeq name gives what public torchdiffeq gives."""

import math

import pytest
import torch
import torchdiffeq
from torchdiffeq._impl.odeint import SOLVERS

import odegan
from tests.peers import ADAMS, ADAPTIVE, FIXED, always, draw, networks, smooth_game

NAMES = [*FIXED, *ADAPTIVE, *ADAMS, "scipy_solver"]
TIMES = [0.0, 0.05, 0.3, 0.777, 1.234]  # off the grid, on it, off it, and an end that 0.1 does not divide
PENALTY = [odegan.penalties.generator_gradient(0.3)]


def matrix():
    source = torch.Generator().manual_seed(3)
    return torch.randn(5, 5, generator=source, dtype=torch.float64) / 2


def bilinear(dtype):
    return odegan.games.bilinear(), torch.tensor([1.0, 0.5], dtype=dtype), None, ()


def quadratic(dtype):
    return odegan.games.quadratic(matrix()), torch.linspace(-1, 1, 5, dtype=dtype), None, ()


def network(dtype):
    game = odegan.gan(*networks(dtype))
    return game, game.init(), draw(dtype=dtype), PENALTY


class Counted:
    def __init__(self, field, batch):
        self.field = field
        self.batch = batch
        self.calls = 0

    def __call__(self, t, y):
        self.calls += 1
        return self.field(t, y, self.batch)


def public(case, solver, times, *, step_size=None, rtol=1e-4, atol=1e-6, options=None, start=None):
    """torchdiffeq's own result and how often it evaluated the field."""
    game, y0, batch, penalties = case
    field = Counted(odegan.vector_field(game, penalties), batch)
    options = dict(options or {}) | ({} if step_size is None else {"step_size": step_size})
    times = torch.tensor(times, dtype=torch.float64)
    y0 = y0 if start is None else start
    with odegan.solvers.registered():
        ys = torchdiffeq.odeint(field, y0, times, method=solver, rtol=rtol, atol=atol, options=options)
    return ys, field.calls


def ours(case, solver, times, start=None, **arguments):
    game, y0, batch, penalties = case
    data = {} if batch is None else always(batch) | {"refresh": math.inf}
    y0 = y0 if start is None else start
    return odegan.odeint_gan(game, y0, times, solver=solver, penalties=penalties, **data, **arguments)


def test_every_public_name_is_there():
    assert set(SOLVERS) | {"rk4_classic", "ralston"} == set(NAMES) <= set(odegan.solvers.names())


@pytest.mark.parametrize("solver", NAMES)
@pytest.mark.parametrize("dtype, tolerance", [(torch.float32, 1e-6), (torch.float64, 1e-12)], ids=["f32", "f64"])
@pytest.mark.parametrize("make", [bilinear, quadratic, network])
def test_equals_public_torchdiffeq(make, dtype, tolerance, solver):
    case = make(dtype)
    size = {} if solver in ADAPTIVE or solver == "scipy_solver" else {"step_size": 0.1}
    expected, calls = public(case, solver, TIMES, **size)
    sol = ours(case, solver, TIMES, **size)
    torch.testing.assert_close(sol.ys, expected, rtol=tolerance, atol=tolerance)
    assert sol.ys.dtype == dtype
    assert sol.ts.tolist() == TIMES
    torch.testing.assert_close(sol.y, sol.ys[-1], rtol=0, atol=0)
    assert sol.stats["nfe"] == calls


@pytest.mark.parametrize(
    "solver, arguments",
    [
        *[(name, {"step_size": 0.1, "options": {"interp": "cubic"}}) for name in FIXED],
        *[(name, {"step_size": 0.1, "options": {"max_order": 5}}) for name in ADAMS],
        (
            "implicit_adams",
            {"step_size": 0.07, "options": {"max_order": 5, "max_iters": 8}, "rtol": 1e-9, "atol": 1e-9},
        ),
        ("rk4", {"step_size": 0.1, "options": {"perturb": True}}),
        ("heun2", {"step_size": 5.0}),
        *[(name, {"rtol": 1e-7, "atol": 1e-9}) for name in ADAPTIVE if name not in ("adaptive_heun", "fehlberg2")],
        ("dopri5", {"rtol": 1e-2, "atol": 1e-2, "options": {"first_step": 0.01, "max_step": 0.2, "safety": 0.8}}),
        ("dopri5", {"options": {"step_t": torch.tensor([0.31, 0.9]), "norm": lambda x: x.abs().max()}}),
        ("scipy_solver", {"options": {"solver": "RK45"}, "rtol": 1e-8, "atol": 1e-8}),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value.get("options", value)),
)
def test_options_reach_the_solver(solver, arguments):
    case = quadratic(torch.float64)
    expected, calls = public(case, solver, TIMES, **arguments)
    sol = ours(case, solver, TIMES, **arguments)
    torch.testing.assert_close(sol.ys, expected, rtol=1e-12, atol=1e-12)
    assert sol.stats["nfe"] == calls


def test_the_options_matter():
    case = smooth_game(), torch.tensor([0.7, -0.4, 0.3, 0.9], dtype=torch.float64), None, ()
    linear, cubic = (
        ours(case, "rk4", TIMES, step_size=0.1, options={"interp": kind}).ys for kind in ("linear", "cubic")
    )
    assert (linear[1] - cubic[1]).norm() > 1e-4
    assert torch.equal(linear[-1], cubic[-1])


@pytest.mark.parametrize("step, end", [(0.1, 1.0), (0.1, 0.95), (0.3, 0.9), (0.07, 1.0), (1 / 3, 2.0), (0.04, 0.02)])
@pytest.mark.parametrize("solver", ["euler", "heun3", "rk4"])
def test_horizons(solver, step, end):
    case = network(torch.float64)
    expected, _ = public(case, solver, [0.0, end], step_size=step)
    sol = ours(case, solver, [0.0, end], step_size=step)
    torch.testing.assert_close(sol.ys, expected, rtol=1e-12, atol=1e-12)
    sizes = sol.stats["step_size"]
    assert sol.stats["steps"] == len(sizes) == math.ceil(end / step - 1e-6)
    assert sizes.sum().item() == pytest.approx(end, rel=1e-12)
    assert sizes.min() > 1e-3 * step


@pytest.mark.parametrize("solver", [*FIXED, "dopri5"])
def test_large_times_in_float32(solver):
    """t counts in float64: in float32 a step of 0.04 at t = 48,000 would be 0.0390625."""
    game = odegan.games.bilinear()
    y0 = torch.tensor([1.0, 0.5])
    size = {} if solver == "dopri5" else {"step_size": 0.04}
    late = odegan.odeint_gan(game, y0, torch.tensor([48_000.0, 48_000.4], dtype=torch.float64), solver=solver, **size)
    early = odegan.odeint_gan(game, y0, [0.0, 0.4], solver=solver, **size)
    torch.testing.assert_close(late.ys, early.ys, rtol=0, atol=3e-7)
    if size:
        assert late.stats["steps"] == 10
        torch.testing.assert_close(
            late.stats["step_size"], torch.full((10,), 0.04, dtype=torch.float64), rtol=0, atol=2e-11
        )


@pytest.mark.parametrize("solver", [name for name in NAMES if name != "scipy_solver"])
def test_ensembles_are_the_vmapped_field(solver):
    game = odegan.games.quadratic(matrix())
    y0 = torch.randn(3, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    field = odegan.vector_field(game)
    options = {"norm": lambda x: x.pow(2).mean(-1).sqrt().max()} if solver in ADAPTIVE else {"step_size": 0.1}
    size = {} if solver in ADAPTIVE else {"step_size": 0.1}
    with odegan.solvers.registered():
        expected = torchdiffeq.odeint(
            lambda t, y: torch.vmap(field, in_dims=(None, 0))(t, y),
            y0,
            torch.tensor(TIMES, dtype=torch.float64),
            method=solver,
            rtol=1e-4,
            atol=1e-6,
            options=options,
        )
    sol = odegan.odeint_gan(game, y0, TIMES, solver=solver, **size)
    torch.testing.assert_close(sol.ys, expected, rtol=1e-12, atol=1e-12)
    assert sol.ys.shape == (5, 3, 5)


def test_rk4_classic_leaves_torchdiffeqs_table_alone():
    ours(bilinear(torch.float64), "rk4_classic", TIMES, step_size=0.1)
    assert "rk4_classic" not in SOLVERS


def test_closed_form():
    sol = ours(quadratic(torch.float64), "dopri5", TIMES, rtol=1e-12, atol=1e-13)
    start = torch.linspace(-1, 1, 5, dtype=torch.float64)
    expected = torch.stack([torch.linalg.matrix_exp(t * matrix()) @ start for t in TIMES])
    torch.testing.assert_close(sol.ys, expected, rtol=0, atol=1e-10)


def test_rk4_classic_within_rk4_classic():
    def within(state, info):
        ours(bilinear(torch.float64), "rk4_classic", TIMES, step_size=0.1)
        return state.t > 0.25

    ended = ours(bilinear(torch.float64), "rk4_classic", TIMES, step_size=0.1, callback=within)
    assert ended.status == "stopped"
    assert "rk4_classic" not in SOLVERS
