"""``ModuleStepper`` and what a script changes or gives between its steps: read again, or refused."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from torch import nn

import odegan
from tests.training.test_module_stepper import B, batches, flat, pair


def frozen(module):
    module[0].requires_grad_(False)
    return module


class Faded(nn.Module):
    """A critic that a script fades in by an attribute, and that keeps its features."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(2, 4)
        self.last = nn.Linear(4, 1)
        self.alpha = 0.1
        self.register_buffer("scale", torch.ones(()))
        self.features = None

    def forward(self, x):
        self.features = self.first(x)
        return self.last(self.alpha * self.scale * self.features.tanh())


def set_alpha(module):
    module.alpha = 0.5


# A change that a script makes between two steps, and what the message names.
CHANGES: dict[str, tuple[Any, Any, str]] = {
    "an attribute": (Faded, set_alpha, "attribute 'alpha'"),
    "a buffer": (Faded, lambda module: module.scale.mul_(2), "constant 'scale'"),
    "a frozen parameter": (
        lambda: frozen(pair()[1]),
        lambda module: module.load_state_dict({name: x + 1 for name, x in module.state_dict().items()}),
        r"constant '0\.",
    ),
    "the statistics of a norm in eval mode": (
        lambda: pair(norm=True)[1].eval(),
        lambda module: module[1].running_mean.add_(1),
        "constant '1.running_mean'",
    ),
    "another layer": (lambda: pair()[1], lambda module: module.__setitem__(1, nn.ReLU()), "layer '1'"),
    "a layer more": (lambda: pair()[1], lambda module: module.append(nn.Linear(1, 1).double()), "layer '3'"),
}


@pytest.mark.parametrize("make, change, named", CHANGES.values(), ids=CHANGES)
def test_a_change_that_is_not_read_again_is_refused(make, change, named):
    discriminator = make().double()
    generator = pair()[0]
    stepper = odegan.ModuleStepper(generator, discriminator, solver="euler", step_size=0.1)
    (first, second, third) = batches(3)
    stepper.step(*first)
    discriminator(second[0])  # a forward pass of the script's own changes nothing that counts
    stepper.step(*second)
    change(discriminator)
    before = flat(generator, discriminator)
    with pytest.raises(odegan.ArgumentError, match=rf"^discriminator: got a change of its {named}.*make a new one"):
        stepper.step(*third)
    assert torch.equal(flat(generator, discriminator), before)


def test_frozen_parameters_may_be_loaded_with_their_own_values():
    generator, discriminator = pair()
    stepper = odegan.ModuleStepper(generator, frozen(discriminator), solver="euler", step_size=0.1)
    discriminator.load_state_dict(copy.deepcopy(discriminator.state_dict()))
    stepper.step(*batches(1)[0])


@pytest.mark.parametrize("solver", ["euler", "adam"])
def test_a_step_that_is_not_finite_changes_nothing_and_the_next_one_is_a_plain_step(solver):
    made = [pair(norm=True) for _ in range(2)]
    (first, _, third) = batches(3)
    broken = (first[0], first[1] * math.nan)
    for modules, given in zip(made, [[first, broken, third], [first, third]], strict=True):
        stepper = odegan.ModuleStepper(*modules, solver=solver, step_size=0.1)
        assert [bool(stepper.step(*batch).finite) for batch in given] == [batch is not broken for batch in given]
    for with_it, without in zip(*made, strict=True):
        assert all(torch.equal(x, without.state_dict()[name]) for name, x in with_it.state_dict().items())


def test_labels_of_networks_without_labels_are_left_unused():
    made = [pair(norm=True) for _ in range(2)]
    (real, latent) = batches(1)[0]
    odegan.ModuleStepper(*made[0], solver="euler", step_size=0.1).step(real, latent)
    odegan.ModuleStepper(*made[1], solver="euler", step_size=0.1).step(real, latent, torch.zeros(B, dtype=torch.long))
    assert torch.equal(flat(*made[0]), flat(*made[1]))
    assert torch.equal(made[0][0][1].running_mean, made[1][0][1].running_mean)


def wrapped(game):
    """A game of the same networks that is neither made by ``gan`` nor an unrolling."""
    return odegan.Game(game.disc_loss, game.gen_loss, game.n_disc, game.n_gen, fake=game.fake, critic=game.critic)


TRANSFORMS = {
    "another game": wrapped,
    "unrolled": lambda game: odegan.unrolled(game, 1, 0.1),
    "unrolled twice": lambda game: odegan.unrolled(odegan.unrolled(game, 1, 0.1), 1, 0.1),
}


@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)
def test_changes_are_refused_under_every_transform(transform):
    discriminator = Faded().double()
    stepper = odegan.ModuleStepper(pair()[0], discriminator, solver="euler", step_size=0.1, transform=transform)
    first, second = batches(2)
    stepper.step(*first)
    discriminator(first[0])
    stepper.step(*second)
    set_alpha(discriminator)
    with pytest.raises(odegan.ArgumentError, match=r"attribute 'alpha'"):
        stepper.step(*first)
