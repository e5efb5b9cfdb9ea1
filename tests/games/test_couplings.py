"""What couples the samples of a batch, where labels do it or where only structure can tell."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import odegan
from odegan.modules.classes import ENDLESS, classes_taken
from odegan.modules.pure_module import PureModule

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


def of_one_class(h, label):
    return torch.where((label == 2)[:, None], h - h.mean(0), h)


class Indexed(nn.Module):
    """A critic whose classes no embedding tells."""

    def __init__(self, encode):
        super().__init__()
        self.first = nn.Linear(2, 4)
        self.last = nn.Linear(4, 1)
        self.encode = encode

    def forward(self, x, label):
        return self.last(of_one_class(torch.tanh(self.first(x)), label) + self.encode(label)[:, :1])


# Critics that couple the samples of one class of four, and how their number of classes shows.
OF_ONE_CLASS = {
    "an embedding": lambda: Critic(of_one_class),
    "one-hot rows": lambda: Indexed(lambda label: F.one_hot(label, 4).float()),
    "a table": lambda: Indexed(lambda label: torch.eye(4)[label]),
    "numbers": lambda: Indexed(lambda label: label[:, None].float()),
}


@pytest.mark.parametrize("given", [0, 3])
@pytest.mark.parametrize("make", OF_ONE_CLASS.values(), ids=OF_ONE_CLASS)
def test_couplings_of_a_class_that_the_batch_lacks(make, given):
    torch.manual_seed(0)
    game = odegan.gan(Generator(), make(), latent=3)
    batch = odegan.Batch(X, Z, label=torch.full((8,), given))
    assert game.prepared(game.init(), batch).critic_couples_batch is True


TAKEN = {
    "rows": (nn.Embedding(5, 1), 5),
    "one-hot": (lambda label: F.one_hot(label, 7)[:, :1].float(), 7),
    "a table": (lambda label: torch.ones(300, 1)[label], 300),
    "numbers": (lambda label: label[:, None].float(), ENDLESS),
}


@pytest.mark.parametrize("encode, classes", TAKEN.values(), ids=TAKEN)
@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8])
@pytest.mark.parametrize("seen", [1, 4])
def test_classes_that_a_network_takes(encode, classes, seen, dtype):
    critic = PureModule(Indexed(encode), "discriminator")
    assert classes_taken(critic, critic.values, X, torch.arange(8, dtype=dtype) % seen) == classes


def test_classes_of_a_network_that_takes_no_part_of_a_batch_are_unknown():
    critic = Critic(lambda h, label: h.unflatten(0, (16, -1)).flatten(0, 1))
    pure = PureModule(critic, "discriminator")
    assert classes_taken(pure, pure.values, X[:1].expand(16, 2), torch.zeros(16).long()) is None


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
