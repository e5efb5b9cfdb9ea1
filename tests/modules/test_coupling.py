"""What couples the samples of a batch: by structure where a probe would miss it, by a probe where structure does not tell."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import odegan

Z = torch.randn(16, 3, generator=torch.Generator().manual_seed(1))


class Fn(nn.Module):
    """The critic's layers with a function between them."""

    def __init__(self, function, gain=1.0):
        super().__init__()
        self.first, self.last, self.function = nn.Linear(2, 4), nn.Linear(4, 1), function
        self.gain = nn.Parameter(torch.tensor(gain))

    def forward(self, x):
        hidden = self.first(x)
        return self.last(hidden + self.gain * self.function(hidden))


class Own(nn.BatchNorm1d):
    pass


def groups_of_four(x):
    spread = x.reshape(4, -1, x.shape[-1]).std(0).mean()
    return torch.zeros_like(x) + spread


def zero_gain(module):
    nn.init.zeros_(module.weight)
    return module


COUPLES = {
    "batch norm": lambda: Fn(nn.BatchNorm1d(4)),
    "behind a zero gain": lambda: Fn(zero_gain(nn.BatchNorm1d(4))),
    "behind a zero parameter": lambda: Fn(nn.BatchNorm1d(4), 0.0),
    "a subclass": lambda: Fn(zero_gain(Own(4))),
    "no running statistics, in eval mode": lambda: Fn(nn.BatchNorm1d(4, track_running_stats=False)).eval(),
    "F.batch_norm behind a zero": lambda: Fn(lambda x: 0 * F.batch_norm(x, None, None, training=True)),
    "torch.batch_norm": lambda: Fn(lambda x: 0 * torch.batch_norm(x, None, None, None, None, True, 0.1, 1e-5, False)),
    "standard deviation behind a zero": lambda: Fn(lambda x: x.std(0, correction=0).expand_as(x), 0.0),
    "standard deviation in groups": lambda: Fn(groups_of_four),
    "mean": lambda: Fn(lambda x: x.mean(0, keepdim=True).expand_as(x)),
    "flip": lambda: Fn(lambda x: x.flip(0)),
    "attention over the batch": lambda: Fn(lambda x: torch.softmax(x @ x.T, -1) @ x),
}
APART = {
    "plain": lambda: Fn(torch.tanh),
    "batch norm in eval mode": lambda: Fn(nn.BatchNorm1d(4)).eval(),
    "instance norm": lambda: Fn(lambda x: F.instance_norm(x.unsqueeze(1)).squeeze(1)),
    "layer norm": lambda: Fn(nn.LayerNorm(4)),
    "squeeze": lambda: nn.Sequential(nn.Linear(2, 4), nn.Linear(4, 1), nn.Flatten(0)),
    "float32 inside": lambda: Fn(lambda x: x @ torch.eye(4, dtype=x.dtype)),
    "its own dtype alone": lambda: Fn(lambda x: x @ torch.eye(4)),
}
CASES = [(make, True) for make in COUPLES.values()] + [(make, False) for make in APART.values()]


def batch(size):
    draw = torch.Generator().manual_seed(size)
    return torch.randn(size, 2, generator=draw), torch.randn(size, 3, generator=draw)


@pytest.mark.parametrize("size", [1, 8])
@pytest.mark.parametrize("make, couples", CASES, ids=[*COUPLES, *APART])
def test_the_verdict(make, couples, size):
    if size == 1 and any(isinstance(part, nn.BatchNorm1d) for part in make().modules()):
        pytest.skip("batch norm of one sample without places fails, in torch too")
    torch.manual_seed(0)
    game = odegan.gan(nn.Linear(3, 2), make())
    try:
        run = game.prepared(game.init(), batch(size))
    except odegan.ArgumentError:
        assert couples  # a group does not go into this batch, or it has no statistics
        assert size == 1
        return
    assert run.critic_couples_batch is couples
    assert run.couples_batch is couples


def test_images_of_equal_pixels_do_not_hide_it():
    critic = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 1))
    game = odegan.gan(nn.Sequential(nn.Linear(3, 16), nn.Unflatten(1, (1, 4, 4))), critic)
    for size in (1, 2):
        run = game.prepared(game.init(), (torch.ones(size, 1, 4, 4), torch.ones(size, 3)))
        assert run.critic_couples_batch is True


def test_a_run_stores_nothing_on_the_game():
    game = odegan.gan(nn.Linear(3, 2), nn.Linear(2, 1))
    before = dict(vars(game))
    parts = [dict(vars(part)) for part in (game.generator, game.discriminator)]
    run = game.prepared(game.init(), batch(8))
    assert run is not game
    assert vars(game).keys() == before.keys()
    assert all(vars(game)[name] is before[name] for name in before)
    assert [vars(part).keys() for part in (game.generator, game.discriminator)] == [part.keys() for part in parts]


@pytest.mark.parametrize(
    "loss, couples",
    [
        ("relativistic", False),
        ("hinge", False),
        ((lambda r, f: F.softplus(f.mean() - r).mean(), lambda r, f: F.softplus(r - f.mean()).mean()), True),
        ((lambda r, f: (f - r).sum(), lambda r, f: -f.sum()), True),
    ],
    ids=["relativistic", "hinge", "relativistic average", "sums"],
)
def test_a_loss_that_is_no_mean_over_samples_couples(loss, couples):
    game = odegan.gan(nn.Linear(3, 2), nn.Linear(2, 1), loss=loss)
    assert game.couples_batch is couples
    assert game.critic_couples_batch is False


def test_a_layer_of_the_generator_alone_leaves_the_critic():
    game = odegan.gan(nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)), nn.Linear(2, 1))
    assert (game.couples_batch, game.critic_couples_batch) == (True, False)


def in_blocks(x, shape):
    """Batch norm over blocks of consecutive samples, "ghost batches"."""
    blocks = x.reshape(2, -1, *shape).transpose(0, 1).flatten(1)
    out = F.batch_norm(blocks, None, None, training=True)
    return out.unflatten(1, (2, *shape)).transpose(0, 1).reshape(x.shape)


class Mean(nn.Module):
    def forward(self, x):
        return x.mean(0, keepdim=True).expand_as(x)


class Images(nn.Module):
    """A critic of (B, 2) by way of images (B, 2, 2, 2)."""

    def __init__(self):
        super().__init__()
        self.first, self.norm, self.last = nn.Linear(2, 8), nn.BatchNorm2d(2), nn.Linear(8, 1)

    def forward(self, x):
        return self.last(self.norm(self.first(x).unflatten(1, (2, 2, 2))).flatten(1))


# Whether processes that share a batch give another result than one, although they share batch norms' statistics.
BEYOND = {
    **{name: (make, False) for name, make in APART.items()},
    **{name: (COUPLES[name], True) for name in list(COUPLES)[7:]},
    **{name: (COUPLES[name], False) for name in list(COUPLES)[:7]},
    "images": (Images, False),
    "over the channels": (lambda: Fn(lambda x: F.batch_norm(x.T, None, None, training=True).T), True),
    "in blocks": (lambda: Fn(lambda x: in_blocks(x, (4,))), True),
    "another batch norm": (
        lambda: Fn(lambda x: torch.native_batch_norm(x, None, None, None, None, True, 0.1, 1e-5)[0]),
        True,
    ),
    "two norms": (lambda: Fn(nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 4), nn.ReLU(), nn.BatchNorm1d(4))), False),
    "norm and mean": (lambda: Fn(nn.Sequential(nn.BatchNorm1d(4), Mean())), True),
}


@pytest.mark.parametrize("name", BEYOND)
def test_what_processes_cannot_share(name):
    make, beyond = BEYOND[name]
    torch.manual_seed(0)
    game = odegan.gan(nn.Linear(3, 2), make(), latent=3)
    prepared = game.prepared(game.init(), odegan.Batch(torch.randn(16, 2), Z))
    assert prepared.couples_beyond_norms == beyond
