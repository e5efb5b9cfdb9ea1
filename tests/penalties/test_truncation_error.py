"""The integration error as a penalty: closed forms, torchdiffeq's own estimate, finite differences."""

import pytest
import torch
from torchdiffeq._impl.odeint import SOLVERS
from torchdiffeq._impl.rk_common import _runge_kutta_step

import odegan
from odegan import penalties, solvers
from tests.peers import draw, networks, smooth_game

D = torch.float64
PAIRS = {"heun_euler": "adaptive_heun", "bosh3": "bosh3", "dopri5": "dopri5"}


def value(game, y, h, pair, batch=None, **rest):
    disc, gen = penalties.truncation_error(1.0, h, pair, **rest)(game)
    values = [extra(*game.split(y), batch, 0.0) for extra in (disc, gen)]
    torch.testing.assert_close(*values, rtol=0, atol=0)
    return values[0]


def own_estimate(game, y, h, pair, batch=None):
    """Half the square of the error that torchdiffeq's own step reports."""
    field = odegan.vector_field(game)
    slope = field(0.0, y, batch)
    times = [torch.tensor(t, dtype=D) for t in (0.0, h, h)]
    tableau = SOLVERS[PAIRS[pair]].tableau
    error = _runge_kutta_step(lambda t, x, perturb=None: field(t, x, batch), y, slope, *times, tableau)[2]
    return (error**2).sum() / 2


@pytest.mark.parametrize("seed", range(4))
def test_heun_euler_on_linear_fields(seed):
    source = torch.Generator().manual_seed(seed)
    A = torch.randn(7, 7, generator=source, dtype=D)
    y = torch.randn(7, generator=source, dtype=D)
    for h in (0.01, 0.3, 2.0):
        expected = h**4 / 8 * (A @ A @ y).pow(2).sum()
        torch.testing.assert_close(
            value(odegan.games.quadratic(A), y, h, "heun_euler"), expected, rtol=1e-10, atol=1e-12
        )


@pytest.mark.parametrize("pair", PAIRS)
def test_every_pair_is_torchdiffeqs_estimate(pair):
    game = smooth_game()
    y = torch.tensor([0.7, -0.4, 0.3, 0.9], dtype=D)
    torch.testing.assert_close(value(game, y, 0.5, pair), own_estimate(game, y, 0.5, pair), rtol=1e-10, atol=1e-16)
    network = odegan.gan(*networks())
    y = network.init()
    expected = own_estimate(network, y, 4.0, pair, draw())
    torch.testing.assert_close(value(network, y, 4.0, pair, draw()), expected, rtol=1e-9, atol=1e-16)
    assert expected > 1e-12


@pytest.mark.parametrize("pair", PAIRS)
def test_gradient_against_finite_differences(pair):
    game = smooth_game()
    h = 0.5
    y = torch.tensor([0.7, -0.4, 0.3, 0.9], dtype=D)
    pushed = odegan.vector_field(game)(0.0, y) - odegan.vector_field(game, [penalties.truncation_error(1.0, h, pair)])(
        0.0, y
    )
    steps = 1e-5 * torch.eye(4, dtype=D)
    slopes = torch.stack([(value(game, y + e, h, pair) - value(game, y - e, h, pair)) / 2e-5 for e in steps])
    torch.testing.assert_close(pushed, slopes, rtol=1e-5, atol=1e-10)


@pytest.mark.parametrize("player", ["disc", "gen"])
def test_one_player_pays(player):
    game = smooth_game()
    y = torch.tensor([0.7, -0.4, 0.3, 0.9], dtype=D)
    fields = [odegan.vector_field(game, p)(0.0, y) for p in ([], [penalties.truncation_error(1.0, 0.5)])]
    one = odegan.vector_field(game, [penalties.truncation_error(1.0, 0.5, player=player)])(0.0, y)
    pays = torch.tensor([player == "disc"] * 2 + [player == "gen"] * 2)
    torch.testing.assert_close(one, torch.where(pays, fields[1], fields[0]))
    assert (fields[1] - fields[0]).abs().min() > 1e-4


def test_step_size_may_be_a_tensor_or_a_function_of_time():
    game = smooth_game()
    y = torch.tensor([0.7, -0.4, 0.3, 0.9], dtype=D)
    h = torch.tensor(0.5, dtype=D, requires_grad=True)
    (slope,) = torch.autograd.grad(value(game, y, h, "heun_euler"), h)
    difference = (value(game, y, 0.5 + 1e-5, "heun_euler") - value(game, y, 0.5 - 1e-5, "heun_euler")) / 2e-5
    torch.testing.assert_close(slope, difference, rtol=1e-6, atol=1e-12)
    timed = penalties.truncation_error(1.0, lambda t: 0.25 * t)(game)[0]
    torch.testing.assert_close(timed(*game.split(y), None, 2.0), value(game, y, 0.5, "heun_euler"))
    t = torch.tensor([0.0, 0.2], dtype=D)
    sol = odegan.odeint_gan(game, y, t, solver="euler", step_size=0.1, penalties=[penalties.truncation_error(1.0, h)])
    assert torch.autograd.grad(sol.y.sum(), h)[0].abs() > 1e-5


def test_rates_are_part_of_the_field():
    A = torch.randn(4, 4, generator=torch.Generator().manual_seed(0), dtype=D)
    y = torch.ones(4, dtype=D)
    scale = torch.tensor([2.0, 2.0, 0.5, 0.5], dtype=D)
    scaled = odegan.games.quadratic(scale[:, None] * A)
    found = value(odegan.games.quadratic(A), y, 0.3, "heun_euler", rates=(2.0, 0.5))
    torch.testing.assert_close(found, value(scaled, y, 0.3, "heun_euler"))


def test_the_penalty_lowers_the_error():
    """Gradient flow with the penalty ends with a smaller local error than without."""
    game = odegan.gan(*networks())
    t = torch.tensor([0.0, 1.0], dtype=D)
    y0 = game.init()
    batch = draw()
    run = {
        "data": batch[0],
        "latent": lambda n, g: batch[1],
        "solver": "heun2",
        "step_size": 0.1,
        "refresh": float("inf"),
    }
    ends = [odegan.odeint_gan(game, y0, t, penalties=p, **run).y for p in ([], [penalties.truncation_error(1.0, 3.0)])]
    plain, penalized = (value(game, y, 3.0, "heun_euler", batch) for y in ends)
    assert penalized < 0.9 * plain


def test_tableaus_are_read_off():
    for name in ("adaptive_heun", "fehlberg2", "bosh3", "dopri5", "dopri8"):
        found = solvers.tableau(name)
        assert len(found.error) == len(found.a) == solvers.get(name).stages + 1
        assert sum(found.error) == pytest.approx(0, abs=1e-12)
    with pytest.raises(odegan.ArgumentError, match="did you mean 'bosh3'"):
        solvers.tableau("bosh")
