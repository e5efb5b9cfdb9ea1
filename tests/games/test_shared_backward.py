"""One pass through the discriminator for both players: the gradients of two, or none at all."""

import pytest
import torch
from torch import nn

import odegan
from odegan import losses
from odegan.games import network_gradients, shared_backward
from odegan.nets import MLP

B = 6
Z = 3
RATIOS = [name for name in losses.names() if losses.get(name).ratio is not None]


def make(loss, dtype=torch.float64, norm=False):
    torch.manual_seed(0)
    disc = nn.Sequential(nn.Linear(2, 8), *([nn.BatchNorm1d(8)] if norm else []), nn.Tanh(), nn.Linear(8, 1))
    return odegan.gan(MLP((Z, 8, 2)).to(dtype), disc.to(dtype), loss)


def minibatch(dtype=torch.float64):
    draw = torch.Generator().manual_seed(1)
    return torch.randn(B, 2, generator=draw, dtype=dtype), torch.randn(B, Z, generator=draw, dtype=dtype)


def by_autograd(game, y, batch):
    """Each player's gradient from a graph of its own, with the losses written out on the modules."""
    generator, discriminator = game.modules(y)
    fake = generator(batch[1])
    real_logits = discriminator(batch[0]).squeeze(-1)
    fake_logits = discriminator(fake).squeeze(-1)
    loss = game.loss
    grads_d = torch.autograd.grad(loss.disc(real_logits, fake_logits), [*discriminator.parameters()], retain_graph=True)
    grads_g = torch.autograd.grad(
        loss.gen(real_logits if loss.gen_sees_real else fake_logits, fake_logits), [*generator.parameters()]
    )
    return torch.cat([g.reshape(-1) for g in (*grads_d, *grads_g)])


@pytest.fixture
def passes(monkeypatch):
    """Counts what the one pass gave: True for gradients, False for a refusal."""
    given = []

    def counted(*arguments):
        result = shared_backward.shared_gradients(*arguments)
        given.append(result is not None)
        return result

    monkeypatch.setattr(network_gradients, "shared_gradients", counted)
    return given


@pytest.mark.parametrize("name", RATIOS)
def test_ratio_is_that_of_the_slopes(name):
    loss = losses.get(name)
    f = torch.linspace(-20, 20, 41, dtype=torch.float64)
    disc = torch.func.grad(lambda fake: loss.disc(torch.zeros_like(f), fake))(f)
    gen = torch.func.grad(lambda fake: loss.gen(fake, fake))(f)
    torch.testing.assert_close(loss.ratio(f) * disc, gen, rtol=1e-12, atol=0)


@pytest.mark.parametrize("name", losses.names())
def test_field_is_that_of_two_passes(name, passes):
    game = make(name)
    batch = minibatch()
    y = game.init(seed=2)
    with torch.no_grad():
        field = odegan.vector_field(game)(0.0, y, batch)
    torch.testing.assert_close(-field, by_autograd(game, y, batch), rtol=1e-12, atol=1e-14)
    assert passes == ([True] if name in RATIOS else [])


@pytest.mark.parametrize("logit", [-30.0, -60.0, -120.0, -1000.0, 1000.0])
def test_saturated_discriminators_lose_nothing(logit, passes):
    """Float32: at -120 the discriminator's slope is no number any more, and the generator's is 1."""
    game = make("non_saturating", torch.float32)
    batch = minibatch(torch.float32)
    y = game.init(seed=2).clone()
    y[game.n_disc - 1] += logit
    wide = make("non_saturating")
    exact = by_autograd(wide, y.double(), tuple(x.double() for x in batch))
    with torch.no_grad():
        field = odegan.vector_field(game)(0.0, y, batch)
    n = game.n_disc
    torch.testing.assert_close(-field[n:].double(), exact[n:], rtol=1e-4, atol=1e-9)
    torch.testing.assert_close(-field[:n].double(), exact[:n], rtol=1e-4, atol=1e-9)
    assert passes == [abs(logit) <= 40]


def test_a_discriminator_that_couples_the_batch_gets_two_passes(passes):
    game = make("minimax", norm=True)
    batch = minibatch()
    with torch.no_grad():
        odegan.vector_field(game)(0.0, game.init(), batch)
    assert passes == []


@pytest.mark.parametrize("name", RATIOS)
def test_derivatives_of_the_field_are_exact(name, passes):
    """Where the field is differentiated, a ratio that varies is left out; a constant one is exact there too."""
    game = make(name)
    batch = minibatch()
    y = game.init(seed=2)
    direction = torch.randn(game.n_params, dtype=torch.float64)
    field = odegan.vector_field(game)
    _, along = torch.func.jvp(lambda at: field(0.0, at, batch), (y,), (direction,))
    h = 1e-5
    ends = [by_autograd(game, y + s * h * direction, batch) for s in (1, -1)]
    torch.testing.assert_close(along, -(ends[0] - ends[1]) / (2 * h), rtol=1e-6, atol=1e-8)
    assert passes == ([True] if losses.get(name).constant_ratio else [])
