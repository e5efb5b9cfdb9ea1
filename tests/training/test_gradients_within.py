"""Gradients in tensors that functions read, and in step sizes that change, beside central differences in float64."""

import pytest
import torch
from torch import nn

import odegan
from tests.peers import START, draw, networks, smooth_game

SPAN = [0.0, 0.3, 0.74]  # 0.13 divides neither: the gradient in the step size is two-sided


def game_of_losses(leaf):
    return odegan.Game(
        lambda d, g, batch: (leaf * d * g).sum() + (d**4).sum() / 4,
        lambda d, g, batch: -(d * g).sum() + leaf * (g**2).sum() / 2,
        2,
        2,
    )


penalty, schedules = odegan.penalties.generator_gradient, odegan.schedules
# A tensor that only a function, a schedule or an option of the solver reads.
WITHIN = {
    "a weight in time": lambda leaf: {"penalties": [penalty(lambda t: leaf * (1 + t))]},
    "a weight's schedule": lambda leaf: {"penalties": [penalty(schedules.linear(leaf, 0.1, 1.0))]},
    "pieces of a weight": lambda leaf: {"penalties": [penalty(schedules.piecewise([0.1, leaf, 2 * leaf], [0.2, 0.5]))]},
    "a rate in time": lambda leaf: {"rates": (lambda t: leaf + t, 1.0)},
    "a step size in time": lambda leaf: {"step_size": lambda t: leaf * 0.4},
    "a step size's schedule": lambda leaf: {"step_size": schedules.cosine(leaf, 0.1, 4, unit="steps")},
    "losses": lambda leaf: {"game": game_of_losses(leaf)},
    "an option": lambda leaf: {"solver": "adam", "options": {"betas": (leaf, 0.9)}},
}


def ends(given, stepwise=False):
    run = {"game": smooth_game(), "solver": "heun2", "step_size": 0.13} | given
    game = run.pop("game")
    if not stepwise:
        return odegan.odeint_gan(game, START, SPAN, **run).y.sin().sum()
    stepper = odegan.Stepper(game, **run)
    state = stepper.init(START)
    for _ in range(3):
        state, _ = stepper.step(state)
    return state.y.sin().sum()


@pytest.mark.parametrize("stepwise", [False, True], ids=["run", "stepper"])
@pytest.mark.parametrize("within", WITHIN.values(), ids=WITHIN)
def test_through_what_functions_read(within, stepwise):
    leaf = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    (found,) = torch.autograd.grad(ends(within(leaf), stepwise), leaf)
    up, down = (ends(within(leaf.detach() + sign * 1e-5), stepwise) for sign in (1, -1))
    assert found.item() == pytest.approx(((up - down) / 2e-5).item(), rel=1e-6, abs=1e-8)
    assert abs(found) > 1e-4


SIZES = {
    "a number": lambda h: h,
    "a schedule": lambda h: schedules.cosine(h, 0.02, 7, unit="steps"),
}


@pytest.mark.parametrize("length", [{"steps": 4}, {"t": [0.0, 0.5]}], ids=["steps", "times"])
@pytest.mark.parametrize("data", [False, True])
@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_in_the_step_size_with_either_end(size, data, length):
    """A number of steps ends where the last one does; times end at the last of them, with a shorter step."""
    game = odegan.gan(*networks(width=2)) if data else smooth_game()
    given = {"data": draw(32)[0], "batch_size": 4} if data else {}

    def end(h):
        y0 = game.init() if data else START
        return odegan.odeint_gan(game, y0, solver="heun2", step_size=size(h), **given, **length).y.sin().sum()

    live = torch.tensor(0.13, dtype=torch.float64, requires_grad=True)
    (found,) = torch.autograd.grad(end(live), live)
    quotient = (end(live.detach() + 1e-5) - end(live.detach() - 1e-5)) / 2e-5
    assert found.item() == pytest.approx(quotient.item(), rel=1e-6, abs=1e-7)


def test_a_network_within_a_loss_is_not_recorded():
    judge = nn.Linear(2, 1).double()
    game = odegan.Game(lambda d, g, batch: judge(d * g).sum(), lambda d, g, batch: -judge(d * g).sum(), 2, 2)
    assert not odegan.odeint_gan(game, START, SPAN, solver="heun2", step_size=0.1).y.requires_grad


@pytest.mark.parametrize("given", [{"clip": 1.0}, {"options": {"weight_decay": 0.1}}], ids=["clip", "weight_decay"])
def test_numbers_without_a_gradient_are_refused(given):
    ((name, value),) = given.get("options", given).items()
    live = torch.tensor(value, requires_grad=True)
    asked = {"options": {name: live}} if "options" in given else {name: live}
    with pytest.raises(odegan.ArgumentError, match=f"^{name}: got 'a tensor that requires a gradient'"):
        odegan.odeint_gan(smooth_game(), START, SPAN, solver="alternating", step_size=0.1, **asked)


@pytest.mark.parametrize("name", ["a weight in time", "a step size in time"])
def test_pieces_that_are_computed_again_cannot_see_them(name):
    leaf = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    with pytest.raises(odegan.ArgumentError, match=r"^checkpoint_steps: got a run that depends on a tensor within"):
        ends(WITHIN[name](leaf) | {"checkpoint_steps": 2})


def test_pieces_that_are_computed_again_see_what_a_loss_encloses():
    leaf = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    plain, again = (
        torch.autograd.grad(ends(WITHIN["losses"](leaf) | more), leaf) for more in ({}, {"checkpoint_steps": 2})
    )
    torch.testing.assert_close(plain, again)
