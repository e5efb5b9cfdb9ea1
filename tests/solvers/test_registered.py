"""Fixed-step solvers of one's own: Ralston's method, registered by a file outside the library, wherever a solver is named."""

import importlib
import itertools
import math

import pytest
import torch
from torchdiffeq._impl.odeint import SOLVERS

import odegan
from odegan import solvers
from odegan.solvers import stability
from tests.convergence import log_slope
from tests.peers import START, always, draw, forced, networks, smooth_game

pytestmark = pytest.mark.usefixtures("ralston")
FILE = """
from odegan import solvers

solvers.register("own_ralston", a=[[], [2 / 3]], b=[1 / 4, 3 / 4], c=[0, 2 / 3], order=2, remarks="Ralston 1962")
"""
H = 0.125
TIMES = torch.tensor([0.0, 0.25, 1.0], dtype=torch.float64)


@pytest.fixture(scope="module")
def ralston(library_solvers, tmp_path_factory):
    folder = tmp_path_factory.mktemp("outside")
    (folder / "my_solvers.py").write_text(FILE)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        importlib.import_module("my_solvers")
        yield


def by_hand(f, grid, y):
    """The states at the grid's points by Ralston's method, written out."""
    found = [y]
    for t, end in itertools.pairwise(grid):
        h = end - t
        k1 = f(t, y)
        k2 = f(t + 2 / 3 * h, y + 2 / 3 * h * k1)
        y = y + h * (k1 / 4 + 3 / 4 * k2)
        found.append(y)
    return torch.stack(found)


def uniform(end=1.0, h=H):
    return torch.arange(round(end / h) + 1, dtype=torch.float64) * h


def close(found, expected, atol=1e-13):
    torch.testing.assert_close(found, expected, rtol=0, atol=atol)


def run(game, y0=START, t=TIMES, **arguments):
    return odegan.odeint_gan(game, y0, t, solver="own_ralston", **({"step_size": H} | arguments))


FORCE = [forced(lambda t: torch.sin(3 * t))]


def test_its_facts():
    facts = solvers.get("own_ralston")
    assert (facts.order, facts.stages, facts.evaluations, facts.kind) == (2, 2, 2, "fixed")
    assert facts.options == solvers.get("heun2").options
    assert "own_ralston" in solvers.names()
    assert solvers.first_stage_weight("own_ralston") == pytest.approx(1 / 4)


def test_one_call():
    sol = run(smooth_game(), penalties=FORCE)
    expected = by_hand(odegan.vector_field(smooth_game(), FORCE), uniform(), START)
    close(sol.ys, expected[[0, 2, 8]])
    assert sol.stats["nfe"] == 2 * sol.stats["steps"] == 16


def test_measured_order():
    exact = run(smooth_game(), penalties=FORCE, t=[0.0, 1.0], step_size=2.0**-10).y
    sizes = [2.0**-3, 2.0**-4, 2.0**-5, 2.0**-6]
    ends = [run(smooth_game(), penalties=FORCE, t=[0.0, 1.0], step_size=h).y for h in sizes]
    assert log_slope(sizes, [float((end - exact).norm()) for end in ends]) == pytest.approx(2, abs=0.15)


def test_cubic_interpolation_between_steps():
    field = odegan.vector_field(smooth_game(), FORCE)
    states = by_hand(field, uniform(), START)
    sol = run(smooth_game(), penalties=FORCE, t=[0.0, 0.3, 1.0], options={"interp": "cubic"})
    s = (0.3 - 0.25) / H
    ends = states[2:4]
    slopes = [H * field(t, y) for t, y in zip(torch.tensor([0.25, 0.375], dtype=torch.float64), ends, strict=True)]
    cubic = (1 - s) ** 2 * ((1 + 2 * s) * ends[0] + s * slopes[0]) + s**2 * (
        (3 - 2 * s) * ends[1] + (s - 1) * slopes[1]
    )
    close(sol.ys[1], cubic)


def test_perturb_sees_a_jump_from_within_the_step():
    """The force jumps after t = 1/2; with perturb the step that starts there is wholly behind the jump."""
    jump = [forced(lambda t: torch.where(torch.as_tensor(t) > 0.5, 1.0, 0.0))]
    later = [forced(lambda t: torch.where(torch.as_tensor(t) >= 0.5, 1.0, 0.0))]
    expected = by_hand(odegan.vector_field(smooth_game(), later), uniform(), START)[-1]
    assert not torch.allclose(run(smooth_game(), penalties=jump).y, expected, atol=1e-3)
    close(run(smooth_game(), penalties=jump, options={"perturb": True}).y, expected)


def test_a_grid_of_ones_own():
    grid = torch.tensor([0.0, 0.1, 0.3, 0.35, 1.0], dtype=torch.float64)
    options = {"grid_constructor": lambda func, y0, t: grid}
    sol = run(smooth_game(), t=[0.0, 1.0], step_size=None, penalties=FORCE, options=options)
    close(sol.y, by_hand(odegan.vector_field(smooth_game(), FORCE), grid, START)[-1])


def test_frozen_players():
    field = odegan.vector_field(smooth_game())
    y = START
    for t in uniform()[:-1]:
        step = torch.stack([t, t + H])
        d = by_hand(lambda t, d, y=y: field(t, torch.cat([d, y[2:]]))[:2], step, y[:2])[-1]
        g = by_hand(lambda t, g, y=y: field(t, torch.cat([y[:2], g]))[2:], step, y[2:])[-1]
        y = torch.cat([d, g])
    close(run(smooth_game(), players="frozen").y, y)


def test_interval_by_interval():
    game = odegan.gan(*networks())
    batch = draw()
    field = odegan.vector_field(game)
    expected = by_hand(lambda t, y: field(t, y, batch), uniform(), game.init())[-1]
    close(run(game, game.init(), **always(batch)).y, expected)
    close(run(game, game.init(), refresh=2 * H, **always(batch)).y, expected)


def test_a_minibatch_a_stage():
    game = odegan.gan(*networks())
    batches = [draw(seed=s) for s in range(2)]
    field = odegan.vector_field(game)
    stepper = odegan.Stepper(game, solver="own_ralston", step_size=H, refresh="stage")
    state, _ = stepper.step(stepper.init(game.init()), batches)
    remaining = iter(batches)
    close(state.y, by_hand(lambda t, y: field(t, y, next(remaining)), uniform(H), game.init())[-1])


@pytest.mark.parametrize("players", ["joint", "frozen"])
def test_an_ensemble_is_its_members(players):
    starts = torch.stack([START, START.flip(0), -START])
    together = run(smooth_game(), starts, players=players).ys
    close(together, torch.stack([run(smooth_game(), y, players=players).ys for y in starts], dim=1))


@pytest.mark.parametrize("players", ["joint", "frozen"])
def test_compiled(players):
    close(run(smooth_game(), players=players, compile="eager").y, run(smooth_game(), players=players).y)


def test_penalty_in_the_first_stage():
    """The penalty's part of the field at the step's start, over b_1, in the first stage alone."""
    penalties = [odegan.penalties.consensus(0.3)]
    free = odegan.vector_field(smooth_game())
    penalized = odegan.vector_field(smooth_game(), penalties)
    y = START
    for t in uniform()[:-1]:
        k1 = free(t, y) + (penalized(t, y) - free(t, y)) / (1 / 4)
        y = y + H * (k1 / 4 + 3 / 4 * free(t, y + 2 / 3 * H * k1))
    close(run(smooth_game(), penalties=penalties, placement="first_stage").y, y)


def test_stability():
    z = torch.tensor([-0.3 + 2j, 1.5, -2.0], dtype=torch.complex128)
    close(odegan.stability_function("own_ralston")(z), 1 + z + z**2 / 2)
    assert stability.polynomial("own_ralston") == pytest.approx([1, 1, 1 / 2])
    assert odegan.max_stable_step([-4.0], "own_ralston") == pytest.approx(1 / 2)
    advice = odegan.advise(odegan.games.quadratic(-torch.eye(2)), torch.zeros(2), solvers=["own_ralston"])
    assert (advice["own_ralston"].step, advice["own_ralston"].stages) == (pytest.approx(2), 2)
    assert "own_ralston" in stability.names()


def test_a_gradient_passes_through():
    y0 = START.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda y: run(smooth_game(), y, t=[0.0, 0.25]).y, y0)


def test_a_stabilized_method_of_many_stages():
    """First-order Runge-Kutta-Chebyshev undamped: R(z) = T_s(1 + z / s^2), stable to -2 s^2 (Hairer and Wanner, IV.2)."""
    s = 10
    a = [[2 * (i - j) / s**2 if j else i / s**2 for j in range(i)] for i in range(s)]
    b = [(2 * (s - j) if j else s) / s**2 for j in range(s)]
    solvers.register("chebyshev", a=a, b=b, c=[i**2 / s**2 for i in range(s)], order=1)
    z = torch.linspace(-200, 0, 41, dtype=torch.complex128)
    expected = torch.cos(s * torch.acos(1 + z.real / s**2))
    close(odegan.stability_function("chebyshev")(z).real, expected, 1e-8)
    assert odegan.max_stable_step([-1.0], "chebyshev") == pytest.approx(
        200, rel=1e-3
    )  # it touches 1 nine times on the way


def test_torchdiffeqs_table_is_left_as_it_was():
    before = dict(SOLVERS)
    with solvers.registered():
        with solvers.registered():
            assert "own_ralston" in SOLVERS
        assert "own_ralston" in SOLVERS  # another run, within this one or beside it, has ended
    assert before == SOLVERS
    run(smooth_game())
    assert before == SOLVERS


def test_the_same_again_and_another():
    again = {
        "a": [[0, 0], [2 / 3, 0]],
        "b": torch.tensor([1 / 4, 3 / 4], dtype=torch.float64),
        "c": (0, 2 / 3),
        "order": 2,
    }
    solvers.register("own_ralston", **again)
    for taken in ("own_ralston", "heun2", "rk4_classic", "adam"):
        with pytest.raises(odegan.ArgumentError, match=f"name: got '{taken}'; it must be a new name"):
            solvers.register(taken, a=[[], [1]], b=[1 / 2, 1 / 2], c=[0, 1], order=2)


HEUN = {"a": [[], [1]], "b": [1 / 2, 1 / 2], "c": [0, 1], "order": 2}


@pytest.mark.parametrize(
    "wrong, words",
    [
        ({"order": 3}, "order: got 3; it must be 2: this tableau misses a condition of order 3 by 0.17"),
        ({"order": 1}, "order: got 1; it must be 2, which this tableau has by the order conditions"),
        ({"order": 2.5}, "order: got 2.5; it must be a whole number >= 1"),
        ({"order": 11}, "order: got 11; it must be at most 10"),
        ({"c": [0, 0.9]}, "c: got 0.9; it must be the sum 1 of row 1 of a"),
        ({"c": [0]}, "c: got (0.0,); it must be 2 numbers, as many as b"),
        ({"b": [0.5, 0.6]}, "b: got (0.5, 0.6); it must be weights of sum 1, not 1.1"),
        ({"b": [0.5, math.nan]}, "b: got nan; it must be a finite number"),
        ({"b": "ab"}, "b: got 'ab'; it must be a list of numbers"),
        ({"a": [[], [0.5, 0.5]]}, "a: got [0.5, 0.5]; it must be strictly lower triangular"),
        ({"a": [[1]]}, "a: got [(1.0,)]; it must be 2 rows"),
        ({"a": 1}, "a: got 1; it must be a list of rows"),
        ({"b_error": [1 / 2, 1 / 2]}, "b_error: got (0.5, 0.5); it must be other weights than b"),
        ({"b_error": [1, 1]}, "b_error: got (1.0, 1.0); it must be weights of sum 1, not 2"),
        ({"b_error": [1]}, "b_error: got (1.0,); it must be 2 numbers"),
        ({"remarks": 3}, "remarks: got 3; it must be a line of text"),
    ],
)
def test_what_is_refused(wrong, words):
    before = solvers.names()
    with pytest.raises(odegan.ArgumentError) as caught:
        solvers.register("wrong", **(HEUN | wrong))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert solvers.names() == before


@pytest.mark.parametrize("name", ["", "my solver", 3, None])
def test_names_that_are_none(name):
    with pytest.raises(odegan.ArgumentError, match="name: got"):
        solvers.register(name, **HEUN)
