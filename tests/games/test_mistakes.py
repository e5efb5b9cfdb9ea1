"""Mistakes in the networks that a line tells of; seeds of an ensemble; samples with a gradient."""

import warnings

import pytest
import torch
from torch import nn

import odegan
from odegan.games.closed_form import dirac, gaussian

LATENT = 4
WIDTH = 2
DATA = torch.randn(9, WIDTH, generator=torch.Generator().manual_seed(0))


def generator(*last):
    return nn.Sequential(nn.Linear(LATENT, 8), nn.Tanh(), nn.Linear(8, WIDTH), *last)


def discriminator(*last):
    return nn.Sequential(nn.Linear(WIDTH, 8), nn.Tanh(), nn.Linear(8, 1), *last)


@pytest.mark.parametrize("latent", [None, LATENT])
def test_swapped_networks(latent):
    def run():
        game = odegan.gan(discriminator(), generator(), latent=latent)
        odegan.odeint_gan(game, game.init(), [0.0, 1.0], data=DATA, step_size=0.1)

    with pytest.raises(odegan.ArgumentError, match=r"gan\(generator, discriminator\)"):
        run()


@pytest.mark.parametrize("loss", odegan.losses.names())
def test_a_final_sigmoid(loss):
    taken = loss in ("minimax", "non_saturating", "relativistic")
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        odegan.gan(generator(), discriminator(nn.Sigmoid()), loss=loss)
        odegan.gan(generator(nn.Sigmoid()), discriminator(), loss=loss)
    assert ["final sigmoid" in str(one.message) for one in said] == [True] * taken


class Final(nn.Module):
    """A discriminator that ends in a function."""

    def __init__(self, function):
        super().__init__()
        self.layers = discriminator()
        self.function = function

    def forward(self, x):
        return self.function(self.layers(x))


FINAL = {
    "torch.sigmoid": (torch.sigmoid, True),
    "Tensor.sigmoid, squeezed": (lambda x: x.sigmoid().squeeze(1), True),
    "F.sigmoid, viewed": (lambda x: nn.functional.sigmoid(x).view(-1), True),
    "a gate": (lambda x: x * torch.sigmoid(x), False),
    "a logit of it": (lambda x: torch.logit(torch.sigmoid(x)), False),
}
TAKES_LOGITS = {
    "by name": "non_saturating",
    "of one's own": (
        lambda r, f: nn.functional.binary_cross_entropy_with_logits(r, torch.ones_like(r)) + f.mean(),
        lambda r, f: -f.mean(),
    ),
}


@pytest.mark.parametrize("loss", TAKES_LOGITS.values(), ids=TAKES_LOGITS)
@pytest.mark.parametrize("function, warned", FINAL.values(), ids=FINAL)
def test_a_final_sigmoid_by_function(function, warned, loss):
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        game = odegan.gan(generator(), Final(function), loss=loss)
        odegan.odeint_gan(game, game.init(), [0.0, 0.2], data=DATA, step_size=0.1)
    assert ["final sigmoid" in str(one.message) for one in said] == [True] * warned


def test_a_final_sigmoid_is_right_where_the_loss_takes_probabilities():
    pair = (lambda r, f: -r.log().mean() - (1 - f).log().mean(), lambda r, f: -f.log().mean())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        odegan.gan(generator(), discriminator(nn.Sigmoid()), loss=pair)


def test_seeds_of_an_ensemble():
    game = odegan.gan(generator(), discriminator())
    members = game.init(seed=range(3, 6))
    assert members.shape == (3, game.n_params)
    for member, seed in zip(members, (3, 4, 5), strict=True):
        assert torch.equal(member, game.init(seed=seed))
    for wrong in ([], [0.5], "seven"):
        with pytest.raises(odegan.ArgumentError, match=r"^seed: got"):
            game.init(seed=wrong)


GAMES = {
    "networks": lambda: odegan.gan(generator(), discriminator()),
    "gaussian": lambda: gaussian.gaussian(torch.ones(2), 1.0),
    "dirac": lambda: dirac.dirac("non_saturating", 1.0),
}


@pytest.mark.parametrize("make", GAMES.values(), ids=GAMES.keys())
@pytest.mark.parametrize("members", [None, 2])
def test_samples_with_a_gradient(make, members):
    """A directional derivative against a difference, in float64; without the asking there is no graph."""
    game = make()
    draw = torch.Generator().manual_seed(1)
    y = torch.randn(*([] if members is None else [members]), game.n_params, generator=draw, dtype=torch.float64)
    toward = torch.randn(y.shape, generator=draw, dtype=torch.float64)
    y.requires_grad_()
    assert not game.sample(y, 5).requires_grad
    found = torch.autograd.grad(game.sample(y, 5, differentiable=True).sum(), y)[0]
    with torch.no_grad():
        ends = [game.sample(y + h * toward, 5).sum() for h in (1e-5, -1e-5)]
    torch.testing.assert_close((found * toward).sum(), (ends[0] - ends[1]) / 2e-5, rtol=1e-6, atol=1e-8)


def test_images_with_channels_last():
    grow = nn.Sequential(nn.Linear(LATENT, 48), nn.Unflatten(1, (3, 4, 4)))
    game = odegan.gan(grow, nn.Sequential(nn.Flatten(), nn.Linear(48, 1)))
    with pytest.raises(odegan.ArgumentError, match=r"permute\(0, 3, 1, 2\)"):
        odegan.odeint_gan(game, game.init(), steps=1, data=torch.zeros(5, 4, 4, 3), step_size=0.1)
