"""Parameters as views of one flat tensor: aligned where kernels need it, and the same field either way."""

import pytest
import torch
from torch import nn

import odegan
from odegan.modules import views

X = torch.randn(8, 1, 8, 8, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
Z = torch.randn(8, 3, generator=torch.Generator().manual_seed(4), dtype=torch.float64)


STARTS = []


class Spy(nn.Conv2d):
    """Notes where its parameters start."""

    def forward(self, x):
        if not torch._C._functorch.is_functorch_wrapped_tensor(self.weight):
            STARTS.extend([self.weight.data_ptr() % 64, self.bias.data_ptr() % 64])
        return super().forward(x)


def pair(dtype):
    torch.manual_seed(0)
    critic = nn.Sequential(Spy(1, 3, 3), nn.Tanh(), Spy(3, 5, 1), nn.Flatten(), nn.Linear(180, 1))
    generator = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 64), nn.Unflatten(1, (1, 8, 8)))
    return generator.to(dtype), critic.to(dtype)


def field_of(game, y, penalties=()):
    with torch.no_grad():
        return odegan.vector_field(game, list(penalties))(0.0, y, (X.to(y), Z.to(y)))


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_every_view_is_aligned_in_what_the_module_sees(monkeypatch, dtype, channels_last):
    monkeypatch.setattr(views, "on_accelerator", lambda device: True)
    game = odegan.gan(*pair(dtype), channels_last=channels_last)
    y = torch.cat([game.init().new_zeros(1), game.init()])[1:]  # which itself starts off the grid
    STARTS.clear()
    field_of(game, y)
    assert len(STARTS) >= 4
    assert set(STARTS) == {0}


@pytest.mark.parametrize("penalties", [(), (odegan.penalties.generator_gradient(0.3),)], ids=["plain", "penalized"])
@pytest.mark.parametrize("members", [None, 2])
def test_the_same_field_as_without(monkeypatch, penalties, members):
    fields = []
    for aligned in (False, True):
        monkeypatch.setattr(views, "on_accelerator", lambda device, aligned=aligned: aligned)
        game = odegan.gan(*pair(torch.float64))
        if members is None:
            fields.append(field_of(game, game.init(), penalties))
        else:
            f = odegan.vector_field(game, list(penalties))
            y = torch.stack([game.init(), 0.5 * game.init()])
            fields.append(torch.vmap(lambda own, f=f: f(0.0, own, (X, Z)))(y))
    torch.testing.assert_close(fields[1], fields[0], rtol=1e-12, atol=1e-14)


def test_members_are_aligned_too():
    theta = torch.arange(14.0).reshape(2, 7)
    seen = []

    def whole(own):
        parts = views.pieces(own, [3, 4], aligned=True)
        seen.extend(part.storage_offset() * 4 % 64 for part in map(torch._C._functorch.get_unwrapped, parts))
        return torch.cat(list(parts))

    assert torch.equal(torch.vmap(whole)(theta), theta)
    assert set(seen) == {0}
