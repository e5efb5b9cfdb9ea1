"""The losses of the table are what their rows state; of others this is tried out."""

import copy

import pytest
import torch
import torch.nn.functional as F

import odegan
from odegan.games import losses
from odegan.games.examine_loss import divides

LIKE = torch.zeros(1)


@pytest.mark.parametrize("name", odegan.losses.names())
def test_a_loss_of_the_table_would_pass_the_trial(name):
    known = losses.get(name)
    assert divides(known, LIKE, 6)
    assert losses.name_of(copy.deepcopy(known)) == name
    own = known._replace(disc=lambda real, fake: known.disc(real, fake))
    assert losses.name_of(own) is None
    assert divides(own, LIKE, 6)


NO_MEANS = {
    "a relativistic average": lambda real, fake: F.softplus(fake - real.mean()).mean(),
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
    assert not divides(losses.get("hinge")._replace(disc=function), LIKE, 6)


def opposite(fake):
    return -torch.ones_like(fake)


WRONG_FIELDS = {
    "its ratio is not": [
        losses.get("wasserstein")._replace(gen=lambda real, fake: (fake**2).mean()),
        losses.get("non_saturating")._replace(disc=losses.get("hinge").disc),
        losses.get("non_saturating")._replace(constant_ratio=True),
        losses.get("hinge")._replace(constant_ratio=True),
        losses.get("relativistic")._replace(ratio=opposite),
    ],
    "its gen function depends on the real logits": [
        losses.get("relativistic")._replace(gen_sees_real=False),
        losses.get("hinge")._replace(gen=lambda real, fake: F.softplus(real - fake).mean()),
    ],
}


@pytest.mark.parametrize("said, loss", [(said, loss) for said, all_of in WRONG_FIELDS.items() for loss in all_of])
def test_fields_that_do_not_describe_the_functions_are_refused(said, loss):
    with pytest.raises(odegan.ArgumentError, match=f"^loss: {said}"):
        odegan.gan(torch.nn.Linear(3, 2), torch.nn.Linear(2, 1), loss=loss)
