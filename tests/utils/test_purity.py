"""Losses and penalties that draw random numbers, or have lost their graph, are refused at the start."""

import random

import numpy as np
import pytest
import torch
from torch import nn

import odegan
from odegan import ArgumentError
from odegan.utils.purity import check_pure

DRAWS = {
    "torch": lambda: torch.rand(()),
    "numpy": lambda: torch.tensor(np.random.rand()),
    "random": lambda: torch.tensor(random.random()),
}
X = torch.randn(24, 2, generator=torch.Generator().manual_seed(0))


def game(loss="non_saturating"):
    torch.manual_seed(0)
    return odegan.gan(nn.Linear(3, 2), nn.Linear(2, 1), loss=loss)


def refused(game, y0=None, **given):
    """The line with which a run is refused before its first step."""
    y0 = game.init() if y0 is None else y0
    called = []
    with pytest.raises(ArgumentError) as error:
        odegan.odeint_gan(
            game, y0, [0.0, 1.0], solver="heun2", step_size=0.1, callback=lambda *_: called.append(1), **given
        )
    assert called == []
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
def test_a_random_loss_is_refused(draw):
    own = odegan.Game(lambda d, g, batch: (d * g).sum() * draw(), lambda d, g, batch: -(d * g).sum(), 1, 1)
    assert refused(own, torch.ones(2)).startswith("loss: got one ")
    pair = (lambda real, fake: fake.mean() - real.mean() * draw(), lambda real, fake: -fake.mean())
    y0 = game().init()
    with pytest.raises(ArgumentError, match=r"^loss: "):  # where the game is made, or where its run starts
        odegan.odeint_gan(game(pair), y0, [0.0, 1.0], data=X, batch_size=6, solver="heun2", step_size=0.1)


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
@pytest.mark.parametrize("placement", ["field", "after_step"])
def test_a_random_penalty_is_refused(draw, placement):
    def penalty(game):
        return lambda d, g, batch, t: (d**2).sum() * draw(), None

    said = refused(game(), data=X, batch_size=6, penalties=[penalty], placement=placement)
    assert said.startswith("penalties: got one ")


def without_graph(function):
    @torch.no_grad()
    def blind(*args):
        return function(*args)

    return blind


LOSSES = {
    "under no_grad": without_graph(lambda real, fake: fake.mean() - real.mean()),
    "detached": lambda real, fake: fake.detach().mean() - real.detach().mean(),
}


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_a_loss_without_its_graph_is_refused(loss):
    disc = game((loss, lambda real, fake: -fake.mean()))
    gen = game((lambda real, fake: fake.mean() - real.mean(), loss))
    assert refused(disc, data=X, batch_size=6).startswith("loss: got one for the discriminator that changes")
    assert refused(gen, data=X, batch_size=6).startswith("loss: got one for the generator that changes")


def test_a_constant_loss_is_a_loss():
    """A player who has nothing to gain stays where he is."""
    own = game((lambda real, fake: fake.mean() - real.mean(), lambda real, fake: torch.zeros(())))
    y0 = own.init()
    sol = odegan.odeint_gan(own, y0, [0.0, 0.3], data=X, batch_size=6, solver="euler", step_size=0.1)
    assert torch.equal(own.split(sol.y)[1], own.split(y0)[1])
    assert not torch.equal(own.split(sol.y)[0], own.split(y0)[0])


def test_the_value_comes_back():
    assert torch.equal(check_pure("f", torch.square, torch.tensor(3.0)), torch.tensor(9.0))
    assert torch.isnan(check_pure("f", torch.sqrt, torch.tensor(-1.0)))
