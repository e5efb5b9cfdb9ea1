"""What couples the samples of a batch: by structure where a probe would miss it, by a probe where structure does not tell."""

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn

import odegan

Z = torch.randn(16, 3, generator=torch.Generator().manual_seed(1))


class Fn(nn.Module):
    """The critic's layers with a function between them."""

    def __init__(self, function, gain=1.0):
        super().__init__()
        self.first = nn.Linear(2, 4)
        self.last = nn.Linear(4, 1)
        self.function = function
        self.gain = nn.Parameter(torch.tensor(gain))

    def forward(self, x):
        hidden = self.first(x)
        return self.last(hidden + self.gain * self.function(hidden))


class Last(nn.Module):
    """The outputs of a recurrent layer, without its states."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return self.layer(x)[0]


class Own(nn.BatchNorm1d):
    pass


class Centered(torch.autograd.Function):
    """The identity, with a backward pass that couples."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        return gradient - gradient.mean(0)


class Changing(nn.Module):
    """The identity, with another gradient."""

    def __init__(self, change):
        super().__init__()
        self.change = change

    def forward(self, x):
        class Function(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                return x.clone()

            @staticmethod
            def backward(ctx, gradient):
                return self.change(gradient)

        return Function.apply(x)


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
    "the first sample": lambda: Fn(lambda x: x[:1].expand_as(x)),
    "the last sample": lambda: Fn(lambda x: x[-1:].expand_as(x)),
    "a running sum": lambda: Fn(lambda x: x.cumsum(0)),
    "the position": lambda: Fn(lambda x: x * (1 + torch.arange(len(x))[:, None] % 2)),
    "a recurrence over the batch": lambda: Fn(Last(nn.RNN(4, 4))),
    "a backward pass": lambda: Fn(Centered.apply),
    "a gradient divided by its norm": lambda: Fn(Changing(lambda g: g / (g.norm() + 1e-3))),
    "a gradient clipped by its entries": lambda: Fn(Changing(lambda g: g.clamp(-1e-2, 1e-2))),
    "behind a constant zero": lambda: Fn(lambda x: 0 * x.mean(0, keepdim=True).expand_as(x)),
    "attention over the batch": lambda: Fn(lambda x: torch.softmax(x @ x.T, -1) @ x),
}
APART = {
    "plain": lambda: Fn(torch.tanh),
    "batch norm in eval mode": lambda: Fn(nn.BatchNorm1d(4)).eval(),
    "instance norm": lambda: Fn(lambda x: F.instance_norm(x.unsqueeze(1)).squeeze(1)),
    "layer norm": lambda: Fn(nn.LayerNorm(4)),
    "a running sum of a sample": lambda: Fn(lambda x: x.cumsum(1)),
    "a gradient that is scaled": lambda: Fn(Changing(lambda g: 2 * g)),
    "refuses NaN": lambda: Fn(lambda x: x if bool(x.isfinite().all()) else int("x")),
    "squeeze": lambda: nn.Sequential(nn.Linear(2, 4), nn.Linear(4, 1), nn.Flatten(0)),
    "float32 inside": lambda: Fn(lambda x: x @ torch.eye(4, dtype=x.dtype)),
    "a softmax in float32": lambda: Fn(lambda x: torch.softmax(x, 1, dtype=torch.float32).to(x.dtype)),
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


def softly(real, fake):
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def coupled_gradient(real, fake):
    coupling = fake.mean() ** 2
    return softly(real, fake) + coupling - coupling.detach()


LOSSES = {
    "relativistic": ("relativistic", False),
    "hinge": ("hinge", False),
    "cross entropy": (lambda r, f: F.binary_cross_entropy_with_logits(r, torch.ones_like(r)) + f.mean(), False),
    "relativistic average": (lambda r, f: F.softplus(f.mean() - r).mean(), True),
    "sums": (lambda r, f: (f - r).sum(), True),
    "a hinge of the mean": (lambda r, f: F.relu(5 - r.mean()) + f.mean(), True),
    "a far threshold of the mean": (lambda r, f: F.relu(r.mean() - 20) + softly(r, f), True),
    "the upper half": (lambda r, f: F.softplus(-r.topk(max(1, len(r) // 2))[0]).mean() + f.mean(), True),
    "a modulus of the mean": (lambda r, f: softly(r, f) + r.mean().abs(), True),
    "in the gradient alone": (coupled_gradient, True),
    "another loss of few": (lambda r, f: softly(r, f) * (1 if len(r) > 2 else 2), True),
}


@pytest.mark.parametrize("loss, couples", LOSSES.values(), ids=LOSSES)
def test_a_loss_that_is_no_mean_over_samples_couples(loss, couples):
    given = loss if isinstance(loss, str) else (loss, lambda r, f: -f.mean())
    game = odegan.gan(nn.Linear(3, 2), nn.Linear(2, 1), loss=given)
    assert game.couples_batch is couples
    assert game.critic_couples_batch is False


def test_a_loss_of_one_number_of_logits_serves_runs_of_that_number():
    targets = torch.ones(6)
    loss = (lambda r, f: F.binary_cross_entropy_with_logits(r, targets.to(r)) + f.mean(), lambda r, f: -f.mean())
    game = odegan.gan(nn.Linear(3, 2), nn.Linear(2, 1), loss=loss)
    assert game.prepared(game.init(), batch(6)).couples_batch is True
    with pytest.raises(odegan.ArgumentError, match=r"^loss: its disc function fails on logits of shape \(7,\)"):
        game.prepared(game.init(), batch(7))


def test_a_layer_of_the_generator_alone_leaves_the_critic():
    game = odegan.gan(nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)), nn.Linear(2, 1))
    assert (game.couples_batch, game.critic_couples_batch) == (True, False)


def in_blocks(x, shape):
    """Batch norm over blocks of consecutive samples, "ghost batches"."""
    blocks = x.reshape(2, -1, *shape).transpose(0, 1).flatten(1)
    out = F.batch_norm(blocks, None, None, training=True)
    return out.unflatten(1, (2, *shape)).transpose(0, 1).reshape(x.shape)


def native_norm(x):
    return torch.native_batch_norm(x, None, None, None, None, True, 0.1, 1e-5)


class Mean(nn.Module):
    def forward(self, x):
        return x.mean(0, keepdim=True).expand_as(x)


class Images(nn.Module):
    """A critic of (B, 2) by way of images (B, 2, 2, 2)."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(2, 8)
        self.norm = nn.BatchNorm2d(2)
        self.last = nn.Linear(8, 1)

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
    "another batch norm": (lambda: Fn(lambda x: native_norm(x)[0]), False),
    "torch's operator": (
        lambda: Fn(lambda x: torch.ops.aten.batch_norm(x, None, None, None, None, True, 0.1, 1e-5, False)),
        False,
    ),
    "the mean that a batch norm returns": (lambda: Fn(lambda x: native_norm(x)[1].expand_as(x)), True),
    "two norms": (lambda: Fn(nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 4), nn.ReLU(), nn.BatchNorm1d(4))), False),
    "norm and a backward pass": (
        lambda: Fn(lambda x: Centered.apply(F.batch_norm(x, None, None, training=True))),
        True,
    ),
    "norm and a scaled gradient": (
        lambda: Fn(nn.Sequential(nn.BatchNorm1d(4), Changing(lambda g: 2 * g))),
        False,
    ),
    "norm and a normalized gradient": (
        lambda: Fn(nn.Sequential(nn.BatchNorm1d(4), Changing(lambda g: g / g.norm()))),
        True,
    ),
    "norm and mean": (lambda: Fn(nn.Sequential(nn.BatchNorm1d(4), Mean())), True),
}


@pytest.fixture(scope="module")
def process_group():
    """A group of this process alone: what processes cannot share is examined where there is one."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.parametrize("name", BEYOND)
def test_what_processes_cannot_share(name, process_group):
    make, beyond = BEYOND[name]
    torch.manual_seed(0)
    game = odegan.gan(nn.Linear(3, 2), make(), latent=3)
    prepared = game.prepared(game.init(), odegan.Batch(torch.randn(16, 2), Z))
    assert prepared.couples_beyond_norms == beyond
