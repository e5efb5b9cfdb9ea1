"""Exported modules and state dicts: they load into the original classes, with and without minibatches."""

import copy

import pytest
import torch
from torch import nn

import odegan


def pair():
    generator = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2))
    return generator, nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.LeakyReLU(), nn.Linear(8, 1))


@pytest.mark.parametrize("batches", [None, [(torch.randn(16, 2), torch.randn(16, 6))]], ids=["without", "with"])
def test_they_load_strictly_into_the_original_class(batches):
    game = odegan.gan(*pair())
    exported = game.modules(game.init(seed=1), batches)
    for made, original in zip(exported, pair(), strict=True):
        original.load_state_dict(made.state_dict())
        made.load_state_dict(original.state_dict())
        assert list(made.state_dict()) == list(original.state_dict())
        x = torch.randn(16, made[0].in_features)
        assert torch.equal(made.train()(x), original.train()(x))


def test_without_minibatches_batch_statistics_are_used_in_evaluation_mode_too():
    game = odegan.gan(*pair())
    generator, _ = game.modules(game.init(seed=1))
    z = torch.randn(16, 6)
    expected = generator.train()(z)
    assert torch.equal(generator.eval()(z), expected)
    assert torch.equal(copy.deepcopy(generator)(z), expected)


def test_exported_modules_make_a_game():
    game = odegan.gan(*pair())
    y = game.init(seed=1)
    assert torch.equal(odegan.gan(*game.modules(y)).init(), y)
