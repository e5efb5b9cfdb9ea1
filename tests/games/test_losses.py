"""The losses of the table are what their rows state."""

import pytest
import torch

import odegan
from odegan.games import losses
from odegan.games.examine_loss import divides

LIKE = torch.zeros(1)


@pytest.mark.parametrize("name", odegan.losses.names())
def test_a_loss_of_the_table_is_a_mean_of_samples(name):
    known = losses.get(name)
    assert known.mean_of_samples
    assert divides(known._replace(mean_of_samples=None), LIKE, 6)


NO_MEANS = {
    "a relativistic average": lambda real, fake: torch.nn.functional.softplus(fake - real.mean()).mean(),
    "a sum": lambda real, fake: fake.sum() - real.sum(),
    "a maximum": lambda real, fake: fake.max() - real.mean(),
    "a threshold far out": lambda real, fake: (fake + (fake.mean() > 40.0) * fake.square()).mean(),
}


@pytest.mark.parametrize("function", NO_MEANS.values(), ids=NO_MEANS)
def test_other_losses_are_tried_out(function):
    generator = lambda real, fake: -fake.mean()  # noqa: E731
    assert divides(losses.get((generator, generator)), LIKE, 6)
    assert not divides(losses.get((function, generator)), LIKE, 6)
    assert not divides(losses.get((generator, function)), LIKE, 6)
    assert divides(losses.Loss(function, generator, mean_of_samples=True), LIKE, 6)
