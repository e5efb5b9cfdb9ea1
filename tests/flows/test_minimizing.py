"""Minimizing movements against closed forms, stationarity computed apart from them, and what they refuse."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

import odegan
from odegan import ArgumentError, Batch, Game, games, odeint_gan, penalties
from odegan.data.minibatches import Minibatches
from odegan.flows import InnerProblemError, minimizing_movement
from odegan.flows.proximal import proximal
from tests.peers import START, draw, networks, smooth_game

Y0 = torch.tensor([0.7, -1.1], dtype=torch.float64)
ORDERS = ("simultaneous", "discriminator_first", "generator_first")


def monotone(m: float) -> Game:
    """E_X = m x^2 / 2 + x y for the discriminator's x, E_Y = m y^2 / 2 - x y for the generator's y."""
    return games.quadratic(torch.tensor([[-m, -1.0], [1.0, -m]], dtype=torch.float64))


def exact(solver: str, game: Game, t: torch.Tensor) -> torch.Tensor:
    return odeint_gan(game, Y0, t, solver=solver, rtol=1e-12, atol=1e-14, options={"step_t": t[1:]}).ys


# The closed forms.
@pytest.mark.parametrize("solver", ["dopri5", "dopri8"])
def test_flow_of_the_bilinear_game_keeps_the_norm(solver: str) -> None:
    squared = (exact(solver, games.bilinear(), torch.linspace(0, 4, 9, dtype=torch.float64)) ** 2).sum(1)
    assert float((squared - squared[0]).abs().max()) < 1e-10


@pytest.mark.parametrize("solver", ["dopri5", "dopri8"])
def test_flow_of_the_monotone_game_decays_at_its_rate(solver: str) -> None:
    t = torch.linspace(0, 4, 9, dtype=torch.float64)
    distance = exact(solver, monotone(0.5), t).norm(dim=1)
    assert float((distance - Y0.norm() * torch.exp(-0.5 * t)).abs().max()) < 1e-10


@pytest.mark.parametrize("tau", [0.01, 0.1, 0.5])
def test_simultaneous_is_euler_on_the_bilinear_game(tau: float) -> None:
    found = minimizing_movement(games.bilinear(), Y0, tau, 100)
    euler = odeint_gan(games.bilinear(), Y0, found.ts, solver="euler", step_size=tau).ys
    growth = (found.ys**2).sum(1)[1:] / (found.ys**2).sum(1)[:-1]
    assert float(((found.ys - euler) / euler.norm(dim=1)[:, None]).abs().max()) < 1e-10
    assert float((growth - (1 + tau**2)).abs().max()) < 1e-10


@pytest.mark.parametrize("tau", [0.01, 0.1, 1.0])
@pytest.mark.parametrize("order, sign", [("discriminator_first", -1), ("generator_first", 1)])
def test_alternating_keeps_its_quadratic_form_on_the_bilinear_game(order: str, sign: int, tau: float) -> None:
    x, y = minimizing_movement(games.bilinear(), Y0, tau, 100, order=order).ys.T
    kept, other = (x**2 + y**2 + s * tau * x * y for s in (sign, -sign))
    assert float((kept - kept[0]).abs().max()) < 1e-10
    assert float((other - other[0]).abs().max()) > tau / 10


@pytest.mark.parametrize("tau", [0.1, 1.0, 10.0])
@pytest.mark.parametrize("m", [0.5, 2.0])
def test_simultaneous_contracts_the_monotone_game_by_its_factor(m: float, tau: float) -> None:
    distance = minimizing_movement(monotone(m), Y0, tau, 20).ys.norm(dim=1)
    factor = math.sqrt(1 + tau**2) / (1 + m * tau)
    assert float((distance[1:] / distance[:-1] - factor).abs().max()) < 1e-10


def test_weighted_metric_solves_the_weighted_linear_system() -> None:
    source = torch.Generator().manual_seed(0)
    root, coupling = (torch.randn(3, 3, generator=source, dtype=torch.float64) for _ in range(2))
    curvature = root @ root.T
    tau = 0.7
    matrix = torch.cat([torch.cat([-curvature, -coupling], 1), torch.cat([coupling.T, -torch.eye(3)], 1)]).double()
    w = torch.tensor([1.0, 4.0, 0.25, 2.0, 1.0, 0.5]).double()
    y0 = torch.randn(6, generator=source).double()
    found = minimizing_movement(games.quadratic(matrix), y0, tau, 1, metric=w, tolerance=1e-12).y
    disc = torch.linalg.solve(torch.diag(w[:3]) + tau * curvature, w[:3] * y0[:3] - tau * coupling @ y0[3:])
    gen = (w[3:] * y0[3:] + tau * coupling.T @ y0[:3]) / (w[3:] + tau)
    torch.testing.assert_close(found, torch.cat([disc, gen]), rtol=1e-10, atol=1e-11)


# The scheme tends to the flow, in the metric given.
@pytest.mark.parametrize("order", ORDERS)
def test_first_order_to_the_flow_with_rates(order: str) -> None:
    game = smooth_game()
    rates = (2.0, 0.5)
    t = torch.tensor([0.0, 1.0], dtype=torch.float64)
    flow = odeint_gan(game, START, t, solver="dopri8", rates=rates, rtol=1e-10, atol=1e-10).y
    metric = [1 / rates[0]] * 2 + [1 / rates[1]] * 2
    gaps = [
        float((minimizing_movement(game, START, 1 / n, n, order=order, metric=metric).y - flow).norm())
        for n in (40, 80)
    ]
    assert math.log2(gaps[0] / gaps[1]) == pytest.approx(1, abs=0.1)


# Each step solves its inner problems: gradients by plain autograd.
def gradient(loss, u: torch.Tensor) -> torch.Tensor:
    own = u.clone().requires_grad_()
    return torch.autograd.grad(loss(own), own)[0]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(
    "made", [[], [penalties.consensus(0.3)], [penalties.generator_gradient(0.5), penalties.jare(0.2)]]
)
def test_steps_are_stationary(order: str, made: list) -> None:
    game = smooth_game()
    tau = 0.2
    tolerance = 1e-11
    found = minimizing_movement(game, START, tau, 3, order=order, penalties=made, tolerance=tolerance)
    extras = [penalty(game) for penalty in made]

    def penalized(player: int, d: torch.Tensor, g: torch.Tensor) -> torch.Tensor:
        loss = (game.disc_loss, game.gen_loss)[player](d, g, None)
        return loss + sum(pair[player](d, g, None, 0.0) for pair in extras if pair[player] is not None)

    for old, new in zip(found.ys, found.ys[1:], strict=False):
        d0, g0 = game.split(old)
        d1, g1 = game.split(new)
        seen_g = g1 if order == "generator_first" else g0
        seen_d = d1 if order == "discriminator_first" else d0
        losses = (lambda d, g=seen_g: penalized(0, d, g), lambda g, d=seen_d: penalized(1, d, g))
        for loss, u0, u1 in zip(losses, (d0, g0), (d1, g1), strict=True):
            assert float(((u1 - u0) / tau + gradient(loss, u1)).norm()) <= 2 * tolerance * float(
                gradient(loss, u0).norm()
            )
            assert ((u1 - u0) ** 2).sum() / (2 * tau) + loss(u1) < loss(u0)
    assert float(found.stats["residual"].max()) <= tolerance


def test_finds_a_minimum_and_not_a_nearer_maximum() -> None:
    def loss(u: torch.Tensor) -> torch.Tensor:
        return (u**4 - 2 * u**2).sum()

    v = torch.tensor([0.01], dtype=torch.float64)
    scale = torch.tensor([1.0], dtype=torch.float64)
    found = proximal(loss, v, scale, 1e-10)  # 4 u^3 - 3 u = v has its maximum of the objective at u = -v / 3
    assert found.solved
    assert 4 * float(found.u) ** 3 - 3 * float(found.u) == pytest.approx(0.01, abs=1e-10)
    assert float(found.u) == pytest.approx(math.sqrt(0.75), abs=0.01)


@pytest.mark.parametrize("spread", [1e1, 1e5])
def test_stiff_inner_problems_reach_the_tolerance(spread: float) -> None:
    source = torch.Generator().manual_seed(1)
    basis = torch.linalg.qr(torch.randn(30, 30, generator=source, dtype=torch.float64))[0]
    matrix = basis @ torch.diag(torch.logspace(-2, math.log10(spread) - 2, 30, dtype=torch.float64)) @ basis.T
    v = torch.randn(30, generator=source, dtype=torch.float64)
    found = proximal(lambda u: u @ matrix @ u / 2, v, torch.ones_like(v), 1e-10)
    solution = torch.linalg.solve(torch.eye(30, dtype=torch.float64) + matrix, v)
    assert found.solved
    assert float((found.u - solution).norm()) <= 1e-10 * float((matrix @ v).norm())


def test_rests_at_an_equilibrium() -> None:
    game = games.gaussian([0.0, 2.0], 0.7)
    y0 = torch.tensor([0.0, 0.0, 0.0, 2.0], dtype=torch.float64)
    found = minimizing_movement(game, y0, 0.5, 3)
    assert float((found.ys - y0).abs().max()) < 1e-15
    shifted = minimizing_movement(game, y0 + 1e-9, 0.5, 3)
    assert float((shifted.y - y0).abs().max()) < 3e-9


# Networks and batches.
def network() -> Game:
    return odegan.gan(*networks(), latent=3)


def test_batch_of_every_step() -> None:
    game = network()
    real, _ = draw(12)
    minibatches = Minibatches(real, 3, 4, 0, game.init())
    found = minimizing_movement(game, game.init(), 0.1, 3, batch=minibatches)
    y = game.init()
    for k in range(3):
        y = minimizing_movement(game, y, 0.1, 1, batch=minibatches(k)).y
    assert torch.equal(found.y, y)
    fixed = minimizing_movement(game, game.init(), 0.1, 3, batch=minibatches(0)).y
    assert float((fixed - y).norm()) > 1e-3


def test_module_buffers_move_between_steps() -> None:
    generator, discriminator = networks()
    nn.utils.parametrizations.spectral_norm(discriminator[0])
    game = odegan.gan(generator, discriminator, latent=3)
    batch = draw()
    y = game.init()
    buffers = game.initial_buffers(game.init())
    found = minimizing_movement(game, y, 0.3, 3, batch=batch)
    for state in found.ys[1:]:
        with torch.no_grad():
            y = minimizing_movement_once(game, y, Batch(*batch, buffers=buffers))
        torch.testing.assert_close(state, y, rtol=0, atol=1e-10)
        buffers = game.update_buffers(buffers, y)


def minimizing_movement_once(game: Game, y: torch.Tensor, batch: Batch) -> torch.Tensor:
    theta_d, theta_g = game.split(y)
    step = torch.full((1,), 0.3**0.5, dtype=torch.float64)
    disc = proximal(lambda d: game.disc_loss(d, theta_g, batch), theta_d, step.expand(game.n_disc), 1e-10)
    gen = proximal(lambda g: game.gen_loss(theta_d, g, batch), theta_g, step.expand(game.n_gen), 1e-10)
    return torch.cat([disc.u, gen.u])


def test_statistics() -> None:
    found = minimizing_movement(smooth_game(), START, 0.1, 5)
    assert found.status == "finished"
    assert found.ys.shape == (6, 4)
    torch.testing.assert_close(found.ts, 0.1 * torch.arange(6, dtype=torch.float64))
    evaluations = found.stats["evaluations"]
    assert evaluations.shape == (5, 2)
    assert found.stats["steps"] == 5
    assert 5 <= found.stats["nfe"] == int(evaluations.amax(1).sum()) < 5 * 40


def test_progress_bar(capsys: pytest.CaptureFixture[str]) -> None:
    minimizing_movement(games.bilinear(), Y0, 0.1, 2, progress="movement")
    first, last = capsys.readouterr().err.splitlines()
    assert first == "movement: step 0/2 after 0 s"
    assert last.startswith("movement: step 2/2 after ")


# What is refused.
def test_inner_problem_without_a_minimum() -> None:
    # The generator's loss: -3/2 y^2.
    game = games.quadratic(torch.tensor([[-1.0, 0.0], [0.0, 3.0]], dtype=torch.float64))
    assert minimizing_movement(game, Y0, 0.3, 2).status == "finished"
    with pytest.raises(InnerProblemError, match=r"^tau: got a step .* generator .* .step 0, .* smaller tau") as caught:
        minimizing_movement(game, Y0, 0.4, 2)
    assert "\n" not in str(caught.value)
    assert caught.value.solution.status == "stopped"
    assert torch.equal(caught.value.solution.ys, Y0[None])


def test_loss_that_turns_nan_keeps_the_steps_before() -> None:
    game = Game(lambda d, g, batch: torch.where(d < 0.5, math.nan, d).sum(), lambda d, g, batch: (g**2).sum(), 1, 1)
    with pytest.raises(InnerProblemError, match=r"\(step 2") as caught:
        minimizing_movement(game, torch.tensor([1.0, 1.0], dtype=torch.float64), 0.2, 50)
    torch.testing.assert_close(caught.value.solution.ys[:, 0], torch.tensor([1.0, 0.8, 0.6], dtype=torch.float64))


NO_POTENTIAL = torch.tensor([[-1.0, 2.0, 0.0], [0.0, -1.0, 0.0], [0.0, 0.0, -1.0]], dtype=torch.float64)
WRONG = {
    "y0: ": {"y0": Y0.float()},
    "y0: got a float64 tensor of shape": {"y0": Y0.repeat(2, 1)},
    "tau: ": {"tau": 0.0},
    "steps: ": {"steps": 0},
    "tolerance: ": {"tolerance": -1.0},
    "order: .*did you mean 'simultaneous'": {"order": "simultanous"},
    "metric: ": {"metric": [1.0, 0.0]},
    "metric: .*shape": {"metric": [1.0]},
    "metric: got 'euclid'": {"metric": "euclid"},
    "batch: ": {"batch": (torch.zeros(1),)},
    "penalties: .*holds a part constant": {"penalties": [penalties.drift_cancellation(0.1)]},
    "penalties: .*buffer": {"penalties": [penalties.closed_loop(0.1)]},
    "game: .*gradients": {"game": games.quadratic(NO_POTENTIAL, n_disc=2), "y0": torch.zeros(3, dtype=torch.float64)},
    "game: .*projection": {"game": smooth_game(project=lambda y: y), "y0": START},
    "game: .*odegan.Game": {"game": None},
}


@pytest.mark.parametrize("message", WRONG)
def test_wrong_arguments_are_one_line(message: str) -> None:
    given = {"game": games.bilinear(), "y0": Y0, "tau": 0.1, "steps": 2} | WRONG[message]
    with pytest.raises(ArgumentError, match=f"^{message}") as caught:
        minimizing_movement(given.pop("game"), given.pop("y0"), given.pop("tau"), given.pop("steps"), **given)
    assert "\n" not in str(caught.value)
