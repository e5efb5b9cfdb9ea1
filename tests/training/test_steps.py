"""Single steps, to float rounding, beside steps written by hand with plain autograd on the modules."""

import copy

import pytest
import torch
import torchdiffeq
from torch.nn.utils import parameters_to_vector

import odegan
from benchmarks.handwritten import HandWritten, loop
from tests.peers import ADAPTIVE, FIXED, TIGHT, draw, networks
from tests.training.step_cases import LOSSES, TABLEAUS, WEIGHT, ByHand, H, game_of


def tolerance(dtype):
    return {"rtol": 0, "atol": 2e-6 if dtype == torch.float32 else 1e-14}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["f32", "f64"])
@pytest.mark.parametrize("players", ["joint", "frozen"])
@pytest.mark.parametrize("refresh", [None, "stage"])
@pytest.mark.parametrize("placement", ["field", "after_step", "first_stage"])
@pytest.mark.parametrize("method", TABLEAUS)
def test_step_by_hand(method, placement, refresh, players, dtype):
    pair = networks(dtype)
    count = len(TABLEAUS[method][0]) if refresh == "stage" else 1
    batches = [draw(8, dtype, seed) for seed in range(count)]
    expected = ByHand(*pair).step(method, batches, placement, players)
    stepper = odegan.Stepper(
        game_of(pair),
        solver=method,
        step_size=H,
        penalties=[odegan.penalties.generator_gradient(WEIGHT)],
        placement=placement,
        refresh=refresh,
        players=players,
    )
    state, _ = stepper.step(stepper.init(game_of(pair).init()), batches if refresh else batches[0])
    torch.testing.assert_close(state.y, expected, **tolerance(dtype))
    assert (state.y - game_of(pair).init()).norm() > 1e-3


@pytest.mark.parametrize("players", ["joint", "frozen"])
@pytest.mark.parametrize("method", TABLEAUS)
def test_run_equals_the_benchmarks_loop(method, players):
    pair = networks()
    batches = [draw(8, seed=seed) for seed in range(5)]
    peer = HandWritten(*copy.deepcopy(pair), method, H, WEIGHT, players)
    loop(peer, iter(batches).__next__, 5)
    real = iter(batches)
    latent = iter(batches)
    sol = odegan.odeint_gan(
        game_of(pair),
        game_of(pair).init(),
        [0.0, 5 * H],
        data=Draws(real, 0),
        latent=Draws(latent, 1),
        batch_size=8,
        solver=method,
        step_size=H,
        penalties=[odegan.penalties.generator_gradient(WEIGHT)],
        placement="after_step",
        players=players,
    )
    expected = torch.cat([parameters_to_vector(peer.disc), parameters_to_vector(peer.gen)]).detach()
    torch.testing.assert_close(sol.y, expected, rtol=0, atol=1e-13)


class Draws:
    """A source that gives one part of each batch in turn; the look at the first batch before the run takes nothing."""

    def __init__(self, batches, part):
        self.batches = batches
        self.part = part
        self.first = None

    def __call__(self, n, generator):
        if self.first is None:
            self.first = next(self.batches)[self.part]
            return self.first
        if self.first is not False:
            first = self.first
            self.first = False
            return first
        return next(self.batches)[self.part]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["f32", "f64"])
@pytest.mark.parametrize("loss", LOSSES)
def test_gradients_of_every_loss(loss, dtype):
    pair = networks(dtype)
    batch = draw(8, dtype)
    game = game_of(pair, loss)
    hand = ByHand(*pair, loss)
    y = game.init()
    theta_d, theta_g = game.split(y)
    grad_d, grad_g = hand.gradients(theta_d, theta_g, batch)
    limit = tolerance(dtype)
    for seen in (batch, odegan.Batch(*batch)):
        torch.testing.assert_close(odegan.vector_field(game)(0.0, y, seen), -torch.cat([grad_d, grad_g]), **limit)
    torch.testing.assert_close(game.player_gradient("disc", theta_d, theta_g, batch), grad_d, **limit)
    torch.testing.assert_close(game.player_gradient("gen", theta_d, theta_g, batch), grad_g, **limit)
    torch.testing.assert_close(
        torch.stack(game.losses(y, batch)), torch.stack(hand.at(theta_d, theta_g, batch)), **limit
    )
    push = odegan.vector_field(game, [odegan.penalties.generator_gradient(WEIGHT)])(0.0, y, batch)
    extra = torch.cat([WEIGHT * hand.penalty(theta_d, theta_g, batch), torch.zeros_like(theta_g)])
    torch.testing.assert_close(push, -torch.cat([grad_d, grad_g]) - extra, **limit)


def test_every_loss_is_there():
    assert {*odegan.losses.names(), "own"} == set(LOSSES)


@pytest.mark.parametrize("solver", [*FIXED, *ADAPTIVE])
def test_frozen_opponents_are_simultaneous_euler_on_the_bilinear_game(solver):
    start = torch.tensor([1.0, 0.5], dtype=torch.float64)
    y = start
    for _ in range(20):
        y = y + H * torch.stack([-y[1], y[0]])
    size = {"step_size": H} if solver in FIXED else {"refresh": H}
    sol = odegan.odeint_gan(odegan.games.bilinear(), start, [0.0, 20 * H], solver=solver, players="frozen", **size)
    torch.testing.assert_close(sol.y, y, rtol=0, atol=1e-13)
    assert sol.y.norm().item() == pytest.approx(start.norm().item() * (1 + H * H) ** 10)


@pytest.mark.parametrize("clip", [0.05, 1e6])
@pytest.mark.parametrize("rates", [(1.0, 1.0), (2.0, 0.5), (0.0, 1.0)])
@pytest.mark.parametrize("penalized", [False, True])
def test_clip_and_rates(clip, rates, penalized):
    pair = networks()
    batch = draw()
    game = game_of(pair)
    hand = ByHand(*pair)
    theta_d, theta_g = game.split(game.init())
    grad_d, grad_g = hand.gradients(theta_d, theta_g, batch)
    if penalized:
        grad_d = grad_d + WEIGHT * hand.penalty(theta_d, theta_g, batch)
    parts = [-r * g * min(1.0, clip / g.norm().item()) for r, g in zip(rates, (grad_d, grad_g), strict=True)]
    penalties = [odegan.penalties.generator_gradient(WEIGHT)] if penalized else []
    field = odegan.vector_field(game, penalties, rates=rates, clip=clip)
    torch.testing.assert_close(field(0.0, game.init(), batch), torch.cat(parts), rtol=0, atol=1e-14)
    stepper = odegan.Stepper(game, solver="euler", step_size=H, penalties=penalties, rates=rates, clip=clip)
    state, _ = stepper.step(stepper.init(game.init()), batch)
    torch.testing.assert_close(state.y, game.init() + H * torch.cat(parts), rtol=0, atol=1e-14)


@pytest.mark.parametrize("solver", [*FIXED, "bosh3", "dopri5", "dopri8"])
def test_after_step_multiplies_by_the_interval(solver):
    """On the bilinear game the penalty's push is 2 w x: y <- R(r) y - r (2 w x, 0) for an interval of length r."""
    r = 0.25
    w = 0.4
    start = torch.tensor([1.0, 0.5], dtype=torch.float64)
    y = start
    game = odegan.games.bilinear()
    field = odegan.vector_field(game)
    arguments = TIGHT if solver not in FIXED else {"step_size": r}
    for _ in range(4):
        if solver in FIXED:
            moved = odegan.odeint_gan(game, y, [0.0, r], solver=solver, **arguments).y
        else:
            times = torch.tensor([0.0, r], dtype=torch.float64)
            moved = torchdiffeq.odeint(field, y, times, method="dopri5", rtol=1e-12, atol=1e-13)[-1]
        y = moved - r * torch.stack([2 * w * y[0], torch.zeros_like(y[0])])
    sol = odegan.odeint_gan(
        game,
        start,
        [0.0, 4 * r],
        solver=solver,
        penalties=[odegan.penalties.generator_gradient(w)],
        placement="after_step",
        refresh=r,
        **arguments,
    )
    torch.testing.assert_close(sol.y, y, rtol=0, atol=1e-13 if solver in FIXED else 1e-7)
