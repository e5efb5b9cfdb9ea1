"""How networks take labels: from their signatures, by ``conditional=``, and wrapped by ``with_labels``."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import odegan
from odegan import losses
from odegan.games.labels import needed_inputs
from tests.games.conditional_cases import CLASSES, Embedded, Optional, by_autograd, drawn, pair


@pytest.mark.parametrize(
    "module, count",
    [(nn.Linear(1, 1), 1), (Embedded(1, 1), 2), (nn.Bilinear(1, 1, 1), 2), (nn.Sequential(), 1), (Optional(1, 1), 1)],
)
def test_signatures_tell_how_many_inputs_are_needed(module, count):
    assert needed_inputs(module) == count


def test_where_signatures_do_not_tell_conditional_does():
    modules = Optional(3, 2).double(), Optional(2, 1).double()
    batch = drawn()
    for conditional, plain in ((None, True), (False, True), (True, False)):
        made = odegan.gan(*modules, conditional=conditional)
        assert made.conditional == (not plain)
        torch.testing.assert_close(
            made.losses(made.init(), batch)[1],
            odegan.losses.get("non_saturating").gen(None, _judged(modules, batch, plain)),
        )


def _judged(modules, batch, plain):
    label = () if plain else (batch.fake_label,)
    return modules[1](modules[0](batch.latent, *label), *label)[:, 0].detach()


class Dict(nn.Linear):
    def forward(self, given):
        return super().forward(given["x"]) * given["y"]


class Keyword(nn.Linear):
    def forward(self, x, *, y):
        return super().forward(x) * y


class Plain(nn.Linear):
    pass


HOW = {
    "keyword": (Keyword(2, 1), "y"),
    "dict": (Dict(2, 1), ("x", "y")),
    "function": (Plain(2, 1), lambda module, x, y: module(x) * y),
}


@pytest.mark.parametrize("name", HOW)
def test_other_conventions(name):
    module, how = HOW[name]
    table = nn.Embedding(CLASSES, 1)
    wrapped = odegan.with_labels(module, how, embedding=table).double()
    batch = drawn()
    expected = nn.functional.linear(batch.real, module.weight, module.bias) * table.weight[batch.label]
    torch.testing.assert_close(wrapped(batch.real, batch.label), expected)
    modules = pair()[0], wrapped
    made = odegan.gan(*modules, latent=3)
    assert made.conditional
    found = odegan.vector_field(made)(0.0, made.init(), batch)
    torch.testing.assert_close(found, by_autograd(modules, losses.get("non_saturating"), batch))
