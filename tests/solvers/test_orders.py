"""What the table of solvers says, measured: orders, evaluations, first-stage weights, tableaus, stability functions."""

import math

import pytest
import torch
import torchdiffeq

import odegan
from odegan import solvers
from tests.convergence import log_slope
from tests.peers import ADAMS, ADAPTIVE, BASELINES, FIRST_WEIGHT, FIXED, START, forced, smooth_game

ORDERS = {"euler": 1, "midpoint": 2, "heun2": 2, "heun3": 3, "rk4": 4, "rk4_classic": 4, "ralston": 2}
ORDERS |= {"adaptive_heun": 2, "fehlberg2": 2, "bosh3": 3, "dopri5": 5, "dopri8": 8}
ORDERS |= {"alternating": 1, "extragradient": 1, "optimistic": 1}
STAGES = {"euler": 1, "midpoint": 2, "heun2": 2, "heun3": 3, "rk4": 4, "rk4_classic": 4, "ralston": 2}
STAGES |= {"adaptive_heun": 1, "fehlberg2": 2, "bosh3": 3, "dopri5": 6, "dopri8": 13}
WITH_ORDER = [name for name in solvers.names() if solvers.get(name).order is not None]


def fixed_step(solver, h):
    """The arguments that make any solver take steps of h."""
    if solver in ADAPTIVE:
        return {"solver": solver, "options": {"min_step": h, "max_step": h, "first_step": h}}
    return {"solver": solver, "step_size": h}


@pytest.fixture(scope="module")
def reference():
    """y(3) of the smooth game with a forced discriminator, and the arguments of that run."""
    penalties = [forced(torch.sin)]
    field = odegan.vector_field(smooth_game(), penalties)
    times = torch.tensor([0.0, 3.0], dtype=torch.float64)
    options = {"step_t": times[1:]}  # end on 3: the interpolant is not of order 8
    return torchdiffeq.odeint(field, START, times, method="dopri8", rtol=1e-13, atol=1e-14, options=options)[-1]


def measured_order(solver, steps, reference, **extra):
    errors = []
    for n in steps:
        sol = odegan.odeint_gan(
            smooth_game(), START, [0.0, 3.0], penalties=[forced(torch.sin)], **fixed_step(solver, 3.0 / n), **extra
        )
        assert sol.stats["steps"] == n
        errors.append((sol.y - reference).norm().item())
    return -log_slope(steps, errors), errors


def test_the_table_names_these_orders_and_stages():
    assert {name: solvers.get(name).order for name in WITH_ORDER} == ORDERS
    assert {name: solvers.get(name).stages for name in STAGES} == STAGES


@pytest.mark.parametrize("solver", WITH_ORDER)
def test_order(solver, reference):
    # 3 / n is exact in binary, so that adaptive solvers end on 3 too
    steps = {8: [12, 16, 24], 5: [24, 48, 96], 1: [96, 192, 384]}.get(ORDERS[solver], [48, 96, 192])
    order, errors = measured_order(solver, steps, reference)
    assert errors[-1] > 1e-13  # above rounding, or the slope says nothing
    assert order == pytest.approx(ORDERS[solver], abs=0.3 if ORDERS[solver] < 8 else 0.7)


@pytest.mark.parametrize("solver", ADAMS)
def test_adams_of_max_order_5_measures_4_or_better(solver, reference):
    extra = {"options": {"max_order": 5}, "rtol": 1e-8}
    order, _ = measured_order(solver, [48, 96, 192], reference, **extra)
    assert 3.3 < order < 5.5  # the implicit ones stop iterating at the tolerance


@pytest.mark.parametrize("solver", [name for name in WITH_ORDER if name not in BASELINES])
def test_order_interval_by_interval(solver):
    """Frozen players, were the opponents not coupled, are integrated to the solver's order too."""

    def alone(theta_d, theta_g, batch):
        return torch.sin(theta_d + 1).sum(), torch.cos(2 * theta_g).sum()

    game = odegan.Game(lambda d, g, b: alone(d, g, b)[0], lambda d, g, b: alone(d, g, b)[1], 2, 2)
    y0 = START
    h = 1 / 16
    field = odegan.vector_field(game)
    size = fixed_step(solver, h) if solver not in ADAPTIVE else {"solver": solver, "rtol": 1e-5, "atol": 1e-7}
    sol = odegan.odeint_gan(game, y0, [0.0, 1.0], players="frozen", refresh=h, **size)
    times = torch.tensor([0.0, 1.0], dtype=torch.float64)
    exact = torchdiffeq.odeint(field, y0, times, method="dopri5", rtol=1e-12, atol=1e-13)[-1]
    limit = 10 * h ** ORDERS[solver] if solver in FIXED else 3e-3
    assert (sol.y - exact).norm() < limit


class Counting:
    """A game's gradients, counted."""

    def __init__(self):
        self.calls = 0
        plain = smooth_game()

        def gradients(d, g, batch):
            self.calls += 1
            return plain.gradients(d, g, batch)

        self.game = smooth_game(gradients=gradients)


@pytest.mark.parametrize("placement", ["field", "after_step"])
@pytest.mark.parametrize("solver", FIXED)
@pytest.mark.usefixtures("no_trial")
def test_evaluations_of_fixed_steps(solver, placement):
    counting = Counting()
    extra = {"penalties": [forced(torch.sin)], "placement": placement}
    sol = odegan.odeint_gan(counting.game, START, [0.0, 1.0], solver=solver, step_size=0.125, **extra)
    assert sol.stats["nfe"] == counting.calls == 8 * STAGES[solver]
    assert sol.stats["steps"] == 8


@pytest.mark.parametrize("solver", ADAPTIVE)
@pytest.mark.usefixtures("no_trial")
def test_evaluations_of_adaptive_steps(solver):
    counting = Counting()
    options = {"first_step": 1.0}
    sol = odegan.odeint_gan(counting.game, START, [0.0, 1.0], solver=solver, rtol=1e-5, atol=1e-7, options=options)
    stats = sol.stats
    assert stats["rejected"] > 0
    assert stats["nfe"] == counting.calls == 1 + STAGES[solver] * (stats["steps"] + stats["rejected"])


@pytest.mark.parametrize(
    "solver, options, each",
    [
        ("extragradient", {}, 2),
        ("optimistic", {}, 1),
        ("adam", {}, 1),
        ("rmsprop", {}, 1),
        ("alternating", {}, 1),
        ("alternating", {"disc_steps": 3}, 3),
        ("adam", {"alternating": True, "disc_steps": 2}, 2),
    ],
)
def test_evaluations_of_baselines(solver, options, each):
    sol = odegan.odeint_gan(smooth_game(), START, [0.0, 1.0], solver=solver, step_size=0.125, options=options)
    assert (sol.stats["nfe"], sol.stats["steps"]) == (8 * each, 8)


@pytest.mark.parametrize("solver", FIXED)
def test_first_stage_weight(solver):
    assert solvers.first_stage_weight(solver) == pytest.approx(FIRST_WEIGHT[solver], abs=1e-15)


TABLEAUS = {
    "rk4": ([0, 1 / 3, 2 / 3, 1], [[], [1 / 3], [-1 / 3, 1], [1, -1, 1]], [1 / 8, 3 / 8, 3 / 8, 1 / 8]),
    "rk4_classic": ([0, 1 / 2, 1 / 2, 1], [[], [1 / 2], [0, 1 / 2], [0, 0, 1]], [1 / 6, 1 / 3, 1 / 3, 1 / 6]),
    "heun2": ([0, 1], [[], [1]], [1 / 2, 1 / 2]),
    "ralston": ([0, 2 / 3], [[], [2 / 3]], [1 / 4, 3 / 4]),
    "heun3": ([0, 1 / 3, 2 / 3], [[], [1 / 3], [0, 2 / 3]], [1 / 4, 0, 3 / 4]),
    "midpoint": ([0, 1 / 2], [[], [1 / 2]], [0, 1]),
    "euler": ([0], [[]], [1]),
}


def by_tableau(field, tableau, t, h, y):
    c, a, b = tableau
    slopes = []
    for ci, row in zip(c, a, strict=True):
        slopes.append(field(t + ci * h, y + h * sum(w * k for w, k in zip(row, slopes, strict=True))))
    return y + h * sum(w * k for w, k in zip(b, slopes, strict=True))


@pytest.mark.parametrize("solver", TABLEAUS)
def test_published_tableau(solver):
    """One long step of a nonautonomous, nonlinear field: every coefficient shows."""
    penalties = [forced(lambda t: torch.sin(3 * t))]
    field = odegan.vector_field(smooth_game(), penalties)
    t = torch.tensor([0.4, 1.2], dtype=torch.float64)
    sol = odegan.odeint_gan(smooth_game(), START, t, solver=solver, step_size=0.8, penalties=penalties)
    expected = {name: by_tableau(field, tableau, t[0], 0.8, START) for name, tableau in TABLEAUS.items()}
    torch.testing.assert_close(sol.y, expected[solver], rtol=1e-14, atol=1e-14)
    others = [value for name, value in expected.items() if name != solver]
    assert all((sol.y - value).norm() > 1e-4 for value in others)


def taylor(degree):
    return [1 / math.factorial(k) for k in range(degree + 1)]


POLYNOMIALS = {name: taylor(ORDERS[name]) for name in FIXED}
POLYNOMIALS |= {"bosh3": taylor(3), "dopri5": [*taylor(5), 1 / 600], "adaptive_heun": taylor(2)}
POLYNOMIALS |= {"fehlberg2": [1, 1, 1 / 2, 255 / 512 / 512], "extragradient": [1, 1, 1], "optimistic": [1, 1]}


@pytest.mark.parametrize("z", [complex(-0.8, 1.7), complex(0.3, -0.9), complex(0, 2.5)])
@pytest.mark.parametrize("solver", POLYNOMIALS)
def test_stability_polynomial(solver, z):
    """One step of y' = z y, as a real system of two, multiplies by the polynomial."""
    matrix = torch.tensor([[z.real, -z.imag], [z.imag, z.real]], dtype=torch.float64)
    y0 = torch.tensor([1.0, 0.0], dtype=torch.float64)
    sol = odegan.odeint_gan(odegan.games.quadratic(matrix), y0, [0.0, 1.0], **fixed_step(solver, 1.0))
    assert sol.stats["steps"] == 1
    expected = sum(c * z**k for k, c in enumerate(POLYNOMIALS[solver]))
    assert complex(*sol.y.tolist()) == pytest.approx(expected, abs=1e-13)


@pytest.mark.parametrize("solver", FIXED)
def test_one_step_map_in_complex_numbers(solver):
    z = torch.tensor([-0.8 + 1.7j, 0.2j], dtype=torch.complex128)
    zero = torch.zeros((), dtype=torch.float64)
    one = torch.ones((), dtype=torch.float64)
    factor = solvers.one_step(solver)(lambda t, y: z * y, zero, one, torch.ones_like(z))
    torch.testing.assert_close(factor, sum(c * z**k for k, c in enumerate(POLYNOMIALS[solver])), rtol=0, atol=1e-14)


def test_describe_prints_every_row(capsys):
    solvers.describe()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == solvers.names()
