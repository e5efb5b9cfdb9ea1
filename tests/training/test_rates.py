"""Two time scales: the optimizers' against torch.optim with a learning rate a player; rates that are functions of time."""

import copy

import pytest
import torch

import odegan
from odegan.penalties import generator_gradient
from tests.peers import draw, networks

H = 0.01
STEPS = 4
DTYPE = torch.float64
BATCHES = [draw(8, DTYPE, seed) for seed in range(STEPS)]
KINDS = {"adam": torch.optim.Adam, "rmsprop": torch.optim.RMSprop, "alternating": torch.optim.SGD}
PAIR = networks(DTYPE)


def falling(t):
    return 1.0 / (1.0 + 20.0 * t)


RATES = {
    "numbers": ((4.0, 1.0), lambda t: (4.0, 1.0)),
    "tensors": (tuple(torch.tensor([4.0, 0.5], dtype=DTYPE)), lambda t: (4.0, 0.5)),
    "functions of time": ((falling, 2.0), lambda t: (falling(t), 2.0)),
}


def losses(generator, discriminator, batch):
    real = discriminator(batch[0])
    fake = discriminator(generator(batch[1]))
    softplus = torch.nn.functional.softplus
    return softplus(-real).mean() + softplus(fake).mean(), softplus(-fake).mean()


def by_torch(kind, rates_at, in_turn):
    """The flat state after STEPS steps of an optimizer a player, on the plain modules."""
    generator, discriminator = (copy.deepcopy(module) for module in PAIR)
    players = [list(discriminator.parameters()), list(generator.parameters())]
    optimizers = [kind(parameters, lr=H) for parameters in players]
    for i, batch in enumerate(BATCHES):
        gradients = {}
        for p in (0, 1):
            for group in optimizers[p].param_groups:
                group["lr"] = H * float(rates_at(i * H)[p])
        for p in (0, 1):
            gradients[p] = torch.autograd.grad(losses(generator, discriminator, batch)[p], players[p])
            if in_turn or p == 1:
                for q in [p] if in_turn else [0, 1]:
                    for parameter, gradient in zip(players[q], gradients[q], strict=True):
                        parameter.grad = gradient
                    optimizers[q].step()
    return torch.nn.utils.parameters_to_vector([*players[0], *players[1]]).detach()


def stepped(**given):
    game = odegan.gan(*PAIR)
    stepper = odegan.Stepper(game, step_size=H, **given)
    state = stepper.init(game.init())
    for batch in BATCHES:
        state, _ = stepper.step(state, batch)
    return state.y.detach()


@pytest.mark.parametrize("rates, rates_at", RATES.values(), ids=RATES.keys())
@pytest.mark.parametrize("in_turn", [False, True])
@pytest.mark.parametrize("name", KINDS)
def test_two_learning_rates(name, in_turn, rates, rates_at):
    if name == "alternating" and not in_turn:
        pytest.skip("moves in turn only")
    options = {"alternating": True} if in_turn and name != "alternating" else None
    expected = by_torch(KINDS[name], rates_at, in_turn)
    torch.testing.assert_close(stepped(solver=name, options=options, rates=rates), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("micro_batch", [None, 4])
@pytest.mark.parametrize("clip", [None, 0.05])
def test_a_function_of_time_multiplies_the_clipped_field(clip, micro_batch):
    game = odegan.gan(*PAIR)
    y = game.init()
    plain = odegan.vector_field(game, clip=clip)(0.0, y, BATCHES[0])
    rates = torch.cat([torch.full((game.n_disc,), falling(0.7)), torch.full((game.n_gen,), 3.0)]).to(DTYPE)
    given = {"rates": (falling, lambda t: 3.0), "clip": clip}
    torch.testing.assert_close(odegan.vector_field(game, **given)(0.7, y, BATCHES[0]), rates * plain)
    stepper = odegan.Stepper(game, solver="euler", step_size=H, micro_batch=micro_batch, **given)
    state, _ = stepper.step(stepper.init(y, t0=0.7), BATCHES[0])
    torch.testing.assert_close(state.y.detach(), y + H * rates * plain, rtol=0, atol=1e-9)


@pytest.mark.parametrize("solver", ["euler", "adam", "extragradient"])
def test_rates_multiply_the_penalty_after_the_step(solver):
    """What the penalty adds to a step is h r_D times its gradient, whoever takes the step."""
    game = odegan.gan(*PAIR)
    y = game.init()
    given = {"solver": solver, "step_size": H, "rates": (falling, 1.0)}
    penalty = {"penalties": [generator_gradient(0.3)], "placement": "after_step"}
    ends = []
    for more in ({}, penalty):
        stepper = odegan.Stepper(game, **given, **more)
        ends.append(stepper.step(stepper.init(y, t0=0.5), BATCHES[0])[0].y.detach())
    with_penalty = odegan.vector_field(game, penalty["penalties"])(0.0, y, BATCHES[0])
    gradient = (with_penalty - odegan.vector_field(game)(0.0, y, BATCHES[0])).detach()
    gradient[: game.n_disc] *= falling(0.5)
    torch.testing.assert_close(ends[1] - ends[0], H * gradient, rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_a_clipped_gradient_may_be_huge(dtype):
    """|g| is beyond float32's squares; its direction stays, and its norm is the bound."""
    slope = torch.tensor([3e25, -4e25])
    game = odegan.Game(lambda d, g, batch: (slope.to(d) * d).sum(), lambda d, g, batch: g.sum(), 2, 1)
    dy = odegan.vector_field(game, clip=2.0)(0.0, torch.zeros(3, dtype=dtype))
    torch.testing.assert_close(dy.double(), torch.tensor([-1.2, 1.6, -1.0], dtype=DTYPE), rtol=1e-2, atol=0)
