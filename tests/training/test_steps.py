"""Single steps, to float rounding, beside steps written by hand with plain autograd on the modules."""

import copy
import itertools

import pytest
import torch
import torch.nn.functional as F
import torchdiffeq
from torch.nn.utils import parameters_to_vector, vector_to_parameters

import odegan
from benchmarks.handwritten import HandWritten, loop
from tests.peers import ADAPTIVE, FIRST_WEIGHT, FIXED, TIGHT, always, draw, networks

H, WEIGHT = 0.1, 0.3
TABLEAUS = {
    "euler": ([[]], [1]),
    "heun2": ([[], [1]], [1 / 2, 1 / 2]),
    "rk4_classic": ([[], [1 / 2], [0, 1 / 2], [0, 0, 1]], [1 / 6, 1 / 3, 1 / 3, 1 / 6]),
}
ONES, ZEROS = torch.ones_like, torch.zeros_like
BCE = F.binary_cross_entropy_with_logits


def squash(u):
    return torch.tanh(u).mean()


LOSSES = {
    "minimax": (lambda r, f: BCE(r, ONES(r)) + BCE(f, ZEROS(f)), lambda r, f: -BCE(f, ZEROS(f))),
    "non_saturating": (lambda r, f: BCE(r, ONES(r)) + BCE(f, ZEROS(f)), lambda r, f: BCE(f, ONES(f))),
    "wasserstein": (lambda r, f: f.mean() - r.mean(), lambda r, f: -f.mean()),
    "hinge": (lambda r, f: (1 - r).clamp(min=0).mean() + (1 + f).clamp(min=0).mean(), lambda r, f: -f.mean()),
    "least_squares": (
        lambda r, f: 0.5 * F.mse_loss(r, ONES(r)) + 0.5 * F.mse_loss(f, ZEROS(f)),
        lambda r, f: 0.5 * F.mse_loss(f, ONES(f)),
    ),
    "relativistic": (lambda r, f: BCE(r - f, ONES(r)), lambda r, f: BCE(f - r, ONES(r))),
    "own": (lambda r, f: squash(f) - 2 * squash(r), lambda r, f: squash(r) - squash(f * r)),
}


class ByHand:
    """A GAN's gradients and Runge-Kutta steps in the modules' own parameters."""

    def __init__(self, generator, discriminator, loss="non_saturating"):
        self.generator, self.discriminator = copy.deepcopy(generator), copy.deepcopy(discriminator)
        self.disc, self.gen = list(self.discriminator.parameters()), list(self.generator.parameters())
        self.losses = LOSSES[loss]

    def at(self, theta_d, theta_g, batch):
        vector_to_parameters(theta_d, self.disc)
        vector_to_parameters(theta_g, self.gen)
        real = self.discriminator(batch[0]).flatten()
        fake = self.discriminator(self.generator(batch[1])).flatten()
        return self.losses[0](real, fake), self.losses[1](real, fake)

    def gradients(self, theta_d, theta_g, batch):
        loss_d, loss_g = self.at(theta_d, theta_g, batch)
        grad_d = torch.autograd.grad(loss_d, self.disc, retain_graph=True)
        return parameters_to_vector(grad_d), parameters_to_vector(torch.autograd.grad(loss_g, self.gen))

    def penalty(self, theta_d, theta_g, batch):
        _, loss_g = self.at(theta_d, theta_g, batch)
        grads = torch.autograd.grad(loss_g, self.gen, create_graph=True)
        squared = sum((g**2).sum() for g in grads)
        return parameters_to_vector(torch.autograd.grad(squared, self.disc, materialize_grads=True))

    def step(self, method, batches, placement, players):
        """The parameters (D, G) after one step of H from where the modules stand."""
        stages, weights = TABLEAUS[method]
        d0, g0 = parameters_to_vector(self.disc).detach(), parameters_to_vector(self.gen).detach()
        after = self.penalty(d0, g0, batches[0])
        slopes = []
        for i, row in enumerate(stages):
            batch = batches[i % len(batches)]
            d = d0 - H * sum(a * k for a, (k, _) in zip(row, slopes, strict=True))
            g = g0 - H * sum(a * k for a, (_, k) in zip(row, slopes, strict=True))
            seen_d, seen_g = (d0, g0) if players == "frozen" else (d, g)
            slope_d, slope_g = self.gradients(d, seen_g, batch)[0], self.gradients(seen_d, g, batch)[1]
            if placement == "field":
                slope_d = slope_d + WEIGHT * self.penalty(d, seen_g, batch)
            if placement == "first_stage" and i == 0:
                slope_d = slope_d + WEIGHT / FIRST_WEIGHT[method] * after
            slopes.append((slope_d, slope_g))
        d1 = d0 - H * sum(b * k for b, (k, _) in zip(weights, slopes, strict=True))
        g1 = g0 - H * sum(b * k for b, (_, k) in zip(weights, slopes, strict=True))
        return torch.cat([d1 - (H * WEIGHT * after if placement == "after_step" else 0), g1])


def tolerance(dtype):
    return {"rtol": 0, "atol": 2e-6 if dtype == torch.float32 else 1e-14}


def game_of(pair, loss="non_saturating"):
    return odegan.gan(*pair, loss=LOSSES["own"] if loss == "own" else loss)


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
    real, latent = iter(batches), iter(batches)
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
        self.batches, self.part, self.first = batches, part, None

    def __call__(self, n, generator):
        if self.first is None:
            self.first = next(self.batches)[self.part]
            return self.first
        if self.first is not False:
            first, self.first = self.first, False
            return first
        return next(self.batches)[self.part]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["f32", "f64"])
@pytest.mark.parametrize("loss", LOSSES)
def test_gradients_of_every_loss(loss, dtype):
    pair, batch = networks(dtype), draw(8, dtype)
    game, hand = game_of(pair, loss), ByHand(*pair, loss)
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


OPTIMISERS = [
    ("adam", {}, {"betas": (0.9, 0.999)}, torch.optim.Adam),
    ("adam", {"betas": (0.5, 0.9), "eps": 1e-4}, {"betas": (0.5, 0.9), "eps": 1e-4}, torch.optim.Adam),
    ("adam", {"betas": (0.0, 0.9)}, {"betas": (0.0, 0.9)}, torch.optim.Adam),
    ("rmsprop", {}, {}, torch.optim.RMSprop),
    ("rmsprop", {"alpha": 0.8, "eps": 1e-3}, {"alpha": 0.8, "eps": 1e-3}, torch.optim.RMSprop),
]


@pytest.mark.parametrize("turns", [{}, {"alternating": True}, {"alternating": True, "disc_steps": 2}], ids=str)
@pytest.mark.parametrize("penalized", [False, True])
@pytest.mark.parametrize("solver, options, theirs, optimizer", OPTIMISERS)
def test_optimizers_are_torchs(solver, options, theirs, optimizer, penalized, turns):
    pair, batch = networks(), draw()
    hand = ByHand(*pair)
    opt_d, opt_g = optimizer(hand.disc, lr=0.02, **theirs), optimizer(hand.gen, lr=0.02, **theirs)

    def gradients():
        at = [parameters_to_vector(hand.disc).detach(), parameters_to_vector(hand.gen).detach(), batch]
        grad_d, grad_g = hand.gradients(*at)
        return grad_d + WEIGHT * hand.penalty(*at) if penalized else grad_d, grad_g

    def move(optimizer, parameters, gradient):
        for p, part in zip(parameters, gradient.split([p.numel() for p in parameters]), strict=True):
            p.grad = part.view_as(p).clone()
        optimizer.step()

    for _ in range(6):
        grad_d, grad_g = gradients()
        move(opt_d, hand.disc, grad_d)
        if turns:
            for _ in range(turns.get("disc_steps", 1) - 1):
                move(opt_d, hand.disc, gradients()[0])
            grad_g = gradients()[1]
        move(opt_g, hand.gen, grad_g)
    sol = odegan.odeint_gan(
        game_of(pair),
        game_of(pair).init(),
        [0.0, 0.12],
        **always(batch),
        solver=solver,
        step_size=0.02,
        options=options | turns,
        penalties=[odegan.penalties.generator_gradient(WEIGHT)] if penalized else [],
    )
    expected = torch.cat([parameters_to_vector(hand.disc), parameters_to_vector(hand.gen)]).detach()
    torch.testing.assert_close(sol.y, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("refresh", [None, "stage"])
@pytest.mark.parametrize(
    "solver, options", [("alternating", {}), ("alternating", {"disc_steps": 2}), ("extragradient", {})]
)
def test_simple_baselines_by_hand(solver, options, refresh):
    pair = networks()
    hand, game = ByHand(*pair), game_of(pair)
    count = {"extragradient": 2, "alternating": options.get("disc_steps", 1) + 1}[solver] if refresh else 1
    batches = [draw(seed=seed) for seed in range(count)]
    seen = itertools.cycle(batches)
    d0, g0 = d, g = game.split(game.init())
    if solver == "alternating":
        for _ in range(options.get("disc_steps", 1)):
            d = d - H * hand.gradients(d, g, next(seen))[0]
        g = g - H * hand.gradients(d, g, next(seen))[1]
    else:
        grad_d, grad_g = hand.gradients(d, g, next(seen))
        grad_d, grad_g = hand.gradients(d - H * grad_d, g - H * grad_g, next(seen))
        d, g = d0 - H * grad_d, g0 - H * grad_g
    stepper = odegan.Stepper(game, solver=solver, step_size=H, options=options, refresh=refresh)
    state, _ = stepper.step(stepper.init(game.init()), batches if refresh else batches[0])
    torch.testing.assert_close(state.y, torch.cat([d, g]), rtol=0, atol=1e-14)


def test_optimistic_by_hand():
    rotation = torch.tensor([[0.0, -1.0], [1.0, 0.0]], dtype=torch.float64)
    y = torch.tensor([1.0, 0.5], dtype=torch.float64)
    start, previous = y, rotation @ y
    for _ in range(50):
        velocity = rotation @ y
        y, previous = y + H * (2 * velocity - previous), velocity
    sol = odegan.odeint_gan(odegan.games.bilinear(), start, [0.0, 5.0], solver="optimistic", step_size=H)
    torch.testing.assert_close(sol.y, y, rtol=0, atol=1e-13)


@pytest.mark.parametrize("solver", [*FIXED, *ADAPTIVE])
def test_frozen_opponents_are_simultaneous_euler_on_the_bilinear_game(solver):
    y = start = torch.tensor([1.0, 0.5], dtype=torch.float64)
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
    pair, batch = networks(), draw()
    game, hand = game_of(pair), ByHand(*pair)
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
    r, w = 0.25, 0.4
    y = start = torch.tensor([1.0, 0.5], dtype=torch.float64)
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
