"""Gradients in tensors that functions read, and in step sizes that change, beside central differences in float64."""

import argparse
import collections
import functools
import types

import pytest
import torch
from torch import nn

import odegan
from odegan.training.reads import tensors_read
from tests.peers import START, draw, forced, networks, smooth_game

SPAN = [0.0, 0.3, 0.74]  # 0.13 divides neither: the gradient in the step size is two-sided


def game_of_losses(leaf):
    return odegan.Game(
        lambda d, g, batch: (leaf * d * g).sum() + (d**4).sum() / 4,
        lambda d, g, batch: -(d * g).sum() + leaf * (g**2).sum() / 2,
        2,
        2,
    )


class Decay:
    """A function of time with an attribute, as a user's own class may be one."""

    def __init__(self, start):
        self.start = start

    def __call__(self, t):
        return self.start * (1 - t) if t > 0.1 else 0.1


penalty = odegan.penalties.generator_gradient
schedules = odegan.schedules
# A tensor that only a function, a schedule or an option of the solver reads.
WITHIN = {
    "a weight in time": lambda leaf: {"penalties": [penalty(lambda t: leaf * (1 + t))]},
    "a weight's schedule": lambda leaf: {"penalties": [penalty(schedules.linear(leaf, 0.1, 1.0))]},
    "pieces of a weight": lambda leaf: {"penalties": [penalty(schedules.piecewise([0.1, leaf, 0.2], [0.2, 0.5]))]},
    "a rate in time": lambda leaf: {"rates": (lambda t: leaf + t, 1.0)},
    "a step size in time": lambda leaf: {"step_size": lambda t: leaf * 0.4},
    "a step size's schedule": lambda leaf: {"step_size": schedules.cosine(leaf, 0.1, 4, unit="steps")},
    "losses": lambda leaf: {"game": game_of_losses(leaf)},
    # Seen without a call: at the start none of them depends on the leaf.
    "a later piece of a step size": lambda leaf: {"step_size": schedules.piecewise([0.1, leaf], [1], unit="steps")},
    "a later piece of a weight": lambda leaf: {"penalties": [penalty(schedules.piecewise([0.1, leaf], [0.1]))]},
    "a step size that is met later": lambda leaf: {"step_size": lambda t: 0.4 * leaf if t > 0.1 else 0.1},
    "a weight that is met later": lambda leaf: {
        "penalties": [forced(lambda t: 1 + leaf * t if t > 0.1 else 1 + 0 * t)]
    },
    "an object's attribute": lambda leaf: {"rates": (Decay(leaf), 1.0)},
    "an object's slot that is met later": lambda leaf: {"step_size": Slotted(leaf)},
    "an option": lambda leaf: {"solver": "adam", "options": {"betas": (leaf, 0.9)}},
}


class Slotted:
    """A function of time without a dictionary."""

    __slots__ = ("start",)

    def __init__(self, start):
        self.start = start

    def __call__(self, t):
        return 0.4 * self.start if t > 0.1 else 0.1


class Namespace:
    """Names that a class holds, some of which are computed when they are read."""

    def method(self):
        return LATER[0]

    @property
    def read(self):
        return LATER[0]

    @functools.cached_property
    def read_once(self):
        return LATER[0]

    @staticmethod
    def plain():
        return LATER[0]

    @classmethod
    def of_class(cls):
        return LATER[0]


class Inheriting(Namespace):
    """A class that reads by its base alone."""


LATER = []  # a global name that functions read


@functools.cache
def cached(t):
    return LATER[0]


# Where a function of time may find a tensor that it does not name.
HELD = {
    "a slot": Slotted,
    "a namespace": lambda leaf: types.SimpleNamespace(leaf=leaf),
    "arguments of a command": lambda leaf: argparse.Namespace(leaf=leaf),
    "a queue": lambda leaf: collections.deque([leaf]),
    "a function that caches": lambda leaf: cached,
    "a method": lambda leaf: Namespace().method,
    "an object's methods": lambda leaf: Namespace(),
    "a class": lambda leaf: type("Names", (), {"leaf": leaf}),
    "a base's methods": lambda leaf: Inheriting(),
    **{
        f"a {name}": lambda leaf, name=name: type("One", (), {name: vars(Namespace)[name]})
        for name in ("read", "read_once", "plain", "of_class")
    },
}


@pytest.mark.parametrize("held", HELD.values(), ids=HELD)
def test_what_functions_may_read_is_found(held, monkeypatch):
    leaf = torch.tensor(0.3, requires_grad=True)
    monkeypatch.setattr(f"{__name__}.LATER", [leaf])
    assert any(one is leaf for one in tensors_read([held(leaf)]))


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


def test_only_what_a_function_may_read_is_searched():
    """Neither the parameters of networks nor all that a module or an object of a library holds."""
    leaf = torch.tensor(1.0)
    given = nn.Parameter(torch.tensor(2.0))
    network = nn.Linear(2, 1)
    library = torch
    parameters = [*network.parameters()]
    found = tensors_read([lambda t: (leaf, network, parameters, library), given, Decay(leaf)])
    assert [id(one) for one in found] == [id(leaf), id(given)]


def test_a_network_within_a_loss_is_not_recorded():
    critic = nn.Linear(2, 1).double()
    game = odegan.Game(lambda d, g, batch: critic(d * g).sum(), lambda d, g, batch: -critic(d * g).sum(), 2, 2)
    assert not odegan.odeint_gan(game, START, SPAN, solver="heun2", step_size=0.1).y.requires_grad


@pytest.mark.parametrize("given", [{"clip": 1.0}, {"options": {"weight_decay": 0.1}}], ids=["clip", "weight_decay"])
def test_numbers_without_a_gradient_are_refused(given):
    ((name, value),) = given.get("options", given).items()
    live = torch.tensor(value, requires_grad=True)
    asked = {"options": {name: live}} if "options" in given else {name: live}
    with pytest.raises(odegan.ArgumentError, match=f"^{name}: got 'a tensor that requires a gradient'"):
        odegan.odeint_gan(smooth_game(), START, SPAN, solver="alternating", step_size=0.1, **asked)


@pytest.mark.parametrize("within", WITHIN.values(), ids=WITHIN)
def test_pieces_that_are_computed_again_see_them_too(within):
    leaf = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    plain, again = (torch.autograd.grad(ends(within(leaf) | more), leaf) for more in ({}, {"checkpoint_steps": 2}))
    torch.testing.assert_close(plain, again)


def test_pieces_that_are_computed_again_cannot_see_attributes_of_a_module():
    holder = nn.Module()
    holder.start = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    hidden = {"step_size": lambda t: holder.start * 0.4}
    (found,) = torch.autograd.grad(ends(hidden), holder.start)
    assert abs(found) > 1e-4
    with pytest.raises(odegan.ArgumentError, match=r"^checkpoint_steps: got a run that depends on a tensor that only"):
        ends(hidden | {"checkpoint_steps": 2})


@pytest.mark.parametrize("stepwise", [False, True], ids=["run", "stepper"])
def test_pieces_of_equal_steps_have_gradients_of_their_own(stepwise):
    """In a field that depends on time, in which each piece moves the times of those that follow."""

    def end(a, b):
        sizes = schedules.piecewise([a, b, 0.1, a], [1, 2, 3], unit="steps")
        length = {} if stepwise else {"steps": 5}
        return timed(sizes, stepwise, **length).sin().sum()

    pair = [torch.tensor(0.13, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    found = torch.autograd.grad(end(*pair), pair)
    near = torch.tensor([0.13 + 1e-5, 0.13 - 1e-5], dtype=torch.float64)
    expected = [(end(near[0], 0.13) - end(near[1], 0.13)) / 2e-5, (end(0.13, near[0]) - end(0.13, near[1])) / 2e-5]
    torch.testing.assert_close(torch.stack(found), torch.stack(expected), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("stepwise", [False, True], ids=["run", "stepper"])
def test_numbers_after_a_tensor_keep_time(stepwise):
    given = {} if stepwise else {"steps": 5}
    first = torch.tensor(0.13, dtype=torch.float64)
    mixed, plain = (
        timed(schedules.piecewise([h, 0.1], [1], unit="steps"), stepwise, **given) for h in (first, first.item())
    )
    torch.testing.assert_close(mixed, plain, rtol=0, atol=1e-14)


def timed(step_size, stepwise, **length):
    """The end of five steps in a field that depends on time."""
    run = {
        "solver": "heun2",
        "step_size": step_size,
        "penalties": [forced(lambda t: torch.sin(3 * torch.as_tensor(t)))],
    }
    if not stepwise:
        return odegan.odeint_gan(smooth_game(), START, **run, **length).y
    stepper = odegan.Stepper(smooth_game(), **run)
    state = stepper.init(START)
    for _ in range(5):
        state, _ = stepper.step(state)
    return state.y
