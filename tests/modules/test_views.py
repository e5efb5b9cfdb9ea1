"""Parameters as views of one flat tensor: aligned where kernels need it, and the same field either way."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.overrides import TorchFunctionMode

import odegan
from odegan.modules import views
from odegan.nets import dcgan

X = torch.randn(8, 1, 8, 8, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
Z = torch.randn(8, 3, generator=torch.Generator().manual_seed(4), dtype=torch.float64)


LAYOUT = {"channels_last": True}
PARAMETERS_OF = (torch.conv2d, torch.conv_transpose2d, F.linear)


class Starts(TorchFunctionMode):
    """Notes, in bytes, where the weights and biases that layers read start, and how far those of two members are apart."""

    def __init__(self):
        self.remainders = []

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function in PARAMETERS_OF:
            for parameter in args[1:3]:
                self.remainders += [n % views.ALIGNMENT for n in places(parameter)]
        return function(*args, **(kwargs or {}))


def places(parameter):
    """The address of a parameter below every transform, and the distances between those of members."""
    found = []
    while torch._C._functorch.is_functorch_wrapped_tensor(parameter):
        dim = torch._C._functorch.maybe_get_bdim(parameter)
        parameter = torch._C._functorch.get_unwrapped(parameter)
        if dim >= 0:
            found.append(parameter.stride(dim) * parameter.element_size())
    return [parameter.data_ptr(), *found]


def pair(dtype):
    torch.manual_seed(0)
    critic = nn.Sequential(nn.Conv2d(1, 3, 3), nn.Tanh(), nn.Conv2d(3, 5, 1), nn.Flatten(), nn.Linear(180, 1))
    generator = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 64), nn.Unflatten(1, (1, 8, 8)))
    return generator.to(dtype), critic.to(dtype)


def field_of(game, y, penalties=()):
    with torch.no_grad():
        return odegan.vector_field(game, list(penalties))(0.0, y, (X.to(y), Z.to(y)))


@pytest.mark.parametrize(
    "execution, members",
    [
        ({}, None),
        ({}, 3),
        ({"channels_last": True}, None),
        ({"channels_last": True}, 3),
        ({"autocast": torch.bfloat16}, None),
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_every_view_is_aligned_in_what_the_module_sees(monkeypatch, dtype, execution, members):
    monkeypatch.setattr(views, "on_accelerator", lambda device: True)
    game = odegan.gan(*pair(dtype), **execution)
    y = torch.cat([game.init().new_zeros(1), game.init()])[1:]  # which itself starts off the grid
    assert seen_by(game, y, (X.to(y), Z.to(y)), members) == {0}


@pytest.mark.parametrize("members", [None, pytest.param(2, marks=pytest.mark.slow)])
def test_every_view_of_ode_gans_pair(monkeypatch, members):
    monkeypatch.setattr(views, "on_accelerator", lambda device: True)
    game = odegan.gan(dcgan.Generator(), dcgan.Discriminator())
    batch = torch.zeros(1, 3, 32, 32), torch.zeros(1, 128)
    assert seen_by(game, game.init(), batch, members) == {0}


def test_without_they_start_anywhere():
    game = odegan.gan(*pair(torch.float32))
    y = game.init()
    assert len(seen_by(game, y, (X.to(y), Z.to(y)), 3)) > 1


def seen_by(game, y, batch, members):
    """What is left of all starts and distances over the alignment, in one evaluation of the field."""
    field = odegan.vector_field(game)
    with torch.no_grad(), Starts() as starts:
        if members is None:
            field(0.0, y, batch)
        else:
            torch.vmap(lambda own: field(0.0, own, batch))(y.expand(members, -1).clone())
    layers = sum(isinstance(m, nn.Conv2d | nn.ConvTranspose2d | nn.Linear) for m in both_modules(game))
    assert len(starts.remainders) >= 2 * layers
    return set(starts.remainders)


def both_modules(game):
    return [*game.discriminator.template.modules(), *game.generator.template.modules()]


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
