"""Steps of the baselines beside torch's optimizers and steps written by hand."""

import itertools

import pytest
import torch
from torch.nn.utils import parameters_to_vector

import odegan
from tests.peers import always, draw, networks
from tests.training.step_cases import WEIGHT, ByHand, H, game_of

OPTIMIZERS = [
    ("adam", {}, {"betas": (0.9, 0.999)}, torch.optim.Adam),
    ("adam", {"betas": (0.5, 0.9), "eps": 1e-4}, {"betas": (0.5, 0.9), "eps": 1e-4}, torch.optim.Adam),
    ("adam", {"betas": (0.0, 0.9)}, {"betas": (0.0, 0.9)}, torch.optim.Adam),
    ("rmsprop", {}, {}, torch.optim.RMSprop),
    ("rmsprop", {"alpha": 0.8, "eps": 1e-3}, {"alpha": 0.8, "eps": 1e-3}, torch.optim.RMSprop),
]


@pytest.mark.parametrize("turns", [{}, {"alternating": True}, {"alternating": True, "disc_steps": 2}], ids=str)
@pytest.mark.parametrize("penalized", [False, True])
@pytest.mark.parametrize("solver, options, theirs, optimizer", OPTIMIZERS)
def test_optimizers_are_torchs(solver, options, theirs, optimizer, penalized, turns):
    pair = networks()
    batch = draw()
    hand = ByHand(*pair)
    opt_d = optimizer(hand.disc, lr=0.02, **theirs)
    opt_g = optimizer(hand.gen, lr=0.02, **theirs)

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
    hand = ByHand(*pair)
    game = game_of(pair)
    count = {"extragradient": 2, "alternating": options.get("disc_steps", 1) + 1}[solver] if refresh else 1
    batches = [draw(seed=seed) for seed in range(count)]
    seen = itertools.cycle(batches)
    d0, g0 = game.split(game.init())
    d = d0
    g = g0
    if solver == "alternating":
        for _ in range(options.get("disc_steps", 1)):
            d = d - H * hand.gradients(d, g, next(seen))[0]
        g = g - H * hand.gradients(d, g, next(seen))[1]
    else:
        grad_d, grad_g = hand.gradients(d, g, next(seen))
        grad_d, grad_g = hand.gradients(d - H * grad_d, g - H * grad_g, next(seen))
        d = d0 - H * grad_d
        g = g0 - H * grad_g
    stepper = odegan.Stepper(game, solver=solver, step_size=H, options=options, refresh=refresh)
    state, _ = stepper.step(stepper.init(game.init()), batches if refresh else batches[0])
    torch.testing.assert_close(state.y, torch.cat([d, g]), rtol=0, atol=1e-14)


def test_optimistic_by_hand():
    rotation = torch.tensor([[0.0, -1.0], [1.0, 0.0]], dtype=torch.float64)
    y = torch.tensor([1.0, 0.5], dtype=torch.float64)
    start = y
    previous = rotation @ y
    for _ in range(50):
        velocity = rotation @ y
        y = y + H * (2 * velocity - previous)
        previous = velocity
    sol = odegan.odeint_gan(odegan.games.bilinear(), start, [0.0, 5.0], solver="optimistic", step_size=H)
    torch.testing.assert_close(sol.y, y, rtol=0, atol=1e-13)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize(
    "solver, options", [("optimistic", {}), *((name, dict(given)) for name, given, _, _ in OPTIMIZERS)]
)
def test_steps_in_16_bits_are_those_in_float32(solver, options, dtype):
    """Moments in bfloat16 would stay zero, as 0.999 is 1 there, and the eps of 1e-8 is 0 in float16."""
    game = odegan.gan(*networks(torch.float32))
    given = always(draw(dtype=torch.float32)) | {"solver": solver, "step_size": 0.05, "options": options}
    y0 = game.init().to(dtype)
    narrow, wide = (odegan.odeint_gan(game, y, [0.0, 0.5], **given).y for y in (y0, y0.float()))
    assert narrow.dtype == dtype
    # Small steps of bfloat16 round away in part.
    assert (narrow.float() - wide).norm() < 0.5 * (wide - y0.float()).norm()
