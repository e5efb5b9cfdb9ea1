"""The shared networks: parameter counts, shapes, ranges and initialization."""

import importlib
import inspect
import math
import pkgutil

import pytest
import torch
from torch import nn

from odegan import nets
from odegan.nets import MLP, dcgan, digits, get, mog16, truncated_normal_
from odegan.utils.checks import ArgumentError

torch.set_num_threads(1)


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(
    "make, parameters",
    [
        (lambda: mog16()[0], 1527),
        (lambda: mog16()[1], 751),
        (dcgan.Generator, 3_812_355),
        (lambda: dcgan.Generator(batch_norm=False), 3_811_459),
        (dcgan.Discriminator, 2_935_873),
        (lambda: dcgan.Discriminator(logits=2), 2_944_066),
        (digits.Generator, 37_665),
        (digits.Discriminator, 33_633),
    ],
)
def test_parameter_counts(make, parameters):
    assert count(make()) == parameters


@pytest.mark.parametrize(
    "generator, discriminator, latent, shape",
    [
        (dcgan.Generator(), dcgan.Discriminator(), 128, (3, 32, 32)),
        (dcgan.Generator(64, batch_norm=False), dcgan.Discriminator(logits=2), 64, (3, 32, 32)),
        (digits.Generator(), digits.Discriminator(), 16, (1, 8, 8)),
        (digits.Generator(5, 8, nn.SiLU), digits.Discriminator(8, nn.SiLU), 5, (1, 8, 8)),
        (*mog16(), 32, (2,)),
    ],
)
def test_pairs_fit_each_other(generator, discriminator, latent, shape):
    fake = generator(torch.randn(4, latent))
    assert fake.shape == (4, *shape)
    assert discriminator(fake).shape == (4, 1)
    if len(shape) == 3:
        images = generator(1e4 * torch.randn(4, latent))
        assert images.abs().max() <= 1
        assert images.min() < -0.5
        assert images.max() > 0.5


def test_dcgan_batch_norm_is_tensorflows():
    norms = [m for m in dcgan.Generator().modules() if isinstance(m, nn.BatchNorm2d)]
    assert [m.num_features for m in norms] == [256, 128, 64]
    assert {(m.eps, m.momentum) for m in norms} == {(1e-3, 0.001)}


def test_two_logits_are_softmax_cross_entropy():
    discriminator = dcgan.Discriminator(logits=2)
    x = torch.rand(3, 3, 32, 32) * 2 - 1
    two = nn.Sequential(*list(discriminator)[:-1])(x)
    logit = discriminator(x)[:, 0]
    softplus = nn.functional.softplus
    torch.testing.assert_close(-two.log_softmax(1)[:, 0], softplus(-logit))
    torch.testing.assert_close(-two.log_softmax(1)[:, 1], softplus(logit))


@pytest.mark.parametrize(
    "layer, fan_in",
    [
        (nn.Linear(400, 500), 400),
        (nn.Conv2d(32, 64, 4, stride=2), 32 * 16),
        (nn.Conv2d(32, 640, 4, groups=2), 16 * 16),
        (nn.ConvTranspose2d(32, 64, 4, stride=2), 32 * 16),
        (nn.ConvTranspose2d(128, 32, (3, 5), groups=4), 32 * 15),
        (nn.Conv1d(32, 500, 3), 96),
    ],
)
def test_weights_are_a_truncated_normal_of_variance_one_over_fan_in(layer, fan_in):
    torch.manual_seed(0)
    assert truncated_normal_(layer) is layer
    s = 1 / math.sqrt(fan_in)
    weight = layer.weight.detach().double() / s
    assert weight.abs().max() <= 2 + 1e-6
    assert weight.abs().max() > 1.95
    # variance of a standard normal cut at +-2: 1 - 4 phi(2) / (Phi(2) - Phi(-2))
    phi = math.exp(-2) / math.sqrt(2 * math.pi)
    expected = 1 - 4 * phi / math.erf(math.sqrt(2))
    n = weight.numel()
    assert abs(weight.square().mean() - expected) < 4 * math.sqrt(2 / n)
    assert abs(weight.mean()) < 4 / math.sqrt(n)
    assert torch.equal(layer.bias, torch.zeros_like(layer.bias))


def test_layers_without_bias_and_batch_norm():
    net = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU())
    with torch.no_grad():
        net[1].weight.fill_(7.0)
        net[1].bias.fill_(7.0)
    net(torch.randn(8, 3, 9, 9))
    truncated_normal_(net)
    assert net[1].weight.tolist() == [1.0] * 4
    assert net[1].bias.tolist() == [0.0] * 4
    assert net[1].running_mean.tolist() == [0.0] * 4
    assert net[1].num_batches_tracked == 0


@pytest.mark.parametrize(
    "net",
    [
        nn.Embedding(3, 4),
        nn.utils.parametrizations.spectral_norm(nn.Linear(3, 4)),
        nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 4, 3)),
        nn.Sequential(nn.GRU(3, 4)),
    ],
)
def test_unknown_parameters_are_refused(net):
    with pytest.raises(ValueError, match=r"^module: got .* with .* must be made of Linear, Conv"):
        truncated_normal_(net)


@pytest.mark.parametrize(
    "make",
    [lambda: MLP((3, 5, 1)), dcgan.Generator, dcgan.Discriminator, digits.Generator, digits.Discriminator],
)
def test_reset_parameters_draws_everything_afresh(make):
    with torch.random.fork_rng(devices=[]):
        module = make()
        with torch.no_grad():
            for p in module.parameters():
                p.fill_(9.0)
        torch.manual_seed(3)
        module.reset_parameters()
        first = {name: p.clone() for name, p in module.named_parameters()}
        module.reset_parameters()
        second = dict(module.named_parameters())
        assert all((p != 9).all() for p in first.values())
        assert any(not torch.equal(first[name], second[name]) for name in first)
        torch.manual_seed(3)
        module.reset_parameters()
        assert all(torch.equal(first[name], p) for name, p in module.named_parameters())


def test_construction_already_uses_the_initialization():
    for module in (
        *mog16(),
        dcgan.Generator(),
        dcgan.Discriminator(),
        digits.Generator(),
        digits.Discriminator(),
    ):
        assert all(not p.any() for name, p in module.named_parameters() if "bias" in name)


def test_mlp_layers_and_activation():
    mlp = MLP((2, 3, 4), activation=nn.Tanh)
    assert [type(m) for m in mlp] == [nn.Linear, nn.Tanh, nn.Linear]
    x = torch.randn(5, 2)
    expected = torch.tanh(x @ mlp[0].weight.T + mlp[0].bias) @ mlp[2].weight.T
    torch.testing.assert_close(mlp(x), expected + mlp[2].bias)


@pytest.mark.parametrize("sizes", [(), (3,), (3, 0, 1), (3, -2)])
def test_mlp_refuses_sizes(sizes):
    with pytest.raises(ValueError, match=r"^sizes: got \(.*\); it must be at least two positive widths"):
        MLP(sizes)


@pytest.mark.parametrize("logits", [0, 3, "2"])
def test_dcgan_refuses_logits(logits):
    with pytest.raises(ValueError, match=r"^logits: got .* it must be 1 or 2"):
        dcgan.Discriminator(logits=logits)


def test_a_pair_of_your_own(tmp_path, monkeypatch):
    (tmp_path / "own_networks.py").write_text(
        "from odegan import nets\n"
        "PAIR = nets.Pair(nets.digits.Generator, nets.digits.Discriminator, size=8, channels=1)\n"
        "def made():\n    return PAIR\n"
        "SIZED = PAIR._replace(size='8')\n"
        "NUMBER = 3\n"
        "def fails():\n    raise RuntimeError('no weights')\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    assert get("own_networks:PAIR") is get("own_networks:made")
    assert get("own_networks:PAIR").size == 8
    for name in ("own_networks:ABSENT", "own_networks:fails", "no_such_module:PAIR", ":PAIR"):
        with pytest.raises(ArgumentError, match=r"networks: got .* which cannot be imported"):
            get(name)
    with pytest.raises(ArgumentError, match=r"size of own_networks:SIZED: got '8'"):
        get("own_networks:SIZED")
    with pytest.raises(ArgumentError, match=r"networks: got .*; it must be the module:name of an odegan.nets.Pair"):
        get("own_networks:NUMBER")


def sizes():
    """Every network of the pairs with each of its arguments that is a whole number."""
    for name in sorted(module.name for module in pkgutil.iter_modules(nets.__path__)):
        module = importlib.import_module(f"odegan.nets.{name}")
        for kind in ("Generator", "Discriminator"):
            made = getattr(module, kind, None)
            if inspect.isclass(made) and made.__module__ == module.__name__:
                parameters = inspect.signature(made).parameters.values()
                needed = {p.name: 3 for p in parameters if p.default is inspect.Parameter.empty}
                yield from ((made, needed, p.name) for p in parameters if p.annotation == "int")


@pytest.mark.parametrize("make, needed, name", list(sizes()))
@pytest.mark.parametrize("size", [0, -1, 1.5, "a"])
def test_every_size_is_checked(make, needed, name, size):
    with pytest.raises(ArgumentError, match=f"^{name}: got {size!r}; it must be"):
        make(**needed | {name: size})
