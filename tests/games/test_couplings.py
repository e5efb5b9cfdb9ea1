"""What couples the samples of a batch, where labels do it or where only structure can tell."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import odegan

X = torch.randn(8, 2, generator=torch.Generator().manual_seed(0))
Z = torch.ones(8, 3)
LABEL = torch.arange(8) % 4


class Critic(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.embedding = nn.Embedding(4, 4)
        self.first = nn.Linear(2, 4)
        self.last = nn.Linear(4, 1)
        self.function = function

    def forward(self, x, label):
        return self.last(self.function(torch.tanh(self.first(x)), label) + self.embedding(label))


class Generator(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(4, 3)
        self.last = nn.Linear(3, 2)

    def forward(self, z, label):
        return self.last(z + self.embedding(label))


def of_class(h, label):
    members = F.one_hot(label, 4).to(h)
    return h - members @ (members.T @ h / members.sum(0).clamp(min=1)[:, None])


BY_LABEL = {
    "nothing": (lambda h, label: h, False),
    "a factor of its own": (lambda h, label: h * (1 + label[:, None]), False),
    "the mean of a class": (of_class, True),
    "the size of a class": (lambda h, label: h * torch.bincount(label, minlength=4)[label][:, None], True),
    "the mean label": (lambda h, label: h + label.to(h).mean(), True),
    "the largest label": (lambda h, label: h + label.max(), True),
    "an order by label": (lambda h, label: h[label.argsort()], True),
}


@pytest.mark.parametrize("function, couples", BY_LABEL.values(), ids=BY_LABEL)
def test_couplings_by_labels(function, couples):
    torch.manual_seed(0)
    game = odegan.gan(Generator(), Critic(function), latent=3)
    batch = odegan.Batch(X, Z, label=LABEL)
    assert game.prepared(game.init(), batch).critic_couples_batch is couples


class Weights(nn.Module):
    """A generator that does not tell the shape of its latents."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3, 2))

    def forward(self, z):
        return z @ self.weight


def test_batch_norms_are_known_without_latents():
    normed = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
    game = odegan.gan(Weights(), normed)
    assert (game.latent, game.critic_couples_batch, game.couples_batch) == (None, True, True)
    with pytest.raises(odegan.ArgumentError, match=r"^penalties: r1 needs D's gradient at each sample"):
        odegan.vector_field(game, [odegan.penalties.r1(0.1)])
    of_generator = odegan.gan(nn.Sequential(Weights(), nn.BatchNorm1d(2)), nn.Linear(2, 1))
    assert (of_generator.critic_couples_batch, of_generator.couples_batch) == (None, True)
    plain = odegan.gan(Weights(), normed.eval())
    assert (plain.critic_couples_batch, plain.couples_batch, plain.couples_beyond_norms) == (None, None, None)
    assert plain.prepared(plain.init(), (X, Z)).couples_batch is False
