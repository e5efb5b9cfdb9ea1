"""Pairs of games between which one thing differs: name -> (arguments, other arguments)."""

import functools

import torch
from torch import nn
from torch.nn.utils import parametrizations

import odegan
from odegan import games
from odegan.flows import fourier_features, particle_game

X = torch.randn(24, 2, generator=torch.Generator().manual_seed(0))


def fixed(module):
    """The module with its parameters at fixed values, so that only what is not in y0 differs."""
    for i, parameter in enumerate(module.parameters()):
        parameter.data.copy_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(i)) / 4)
    return module


def game(disc=None, gen=None, **given):
    generator = gen or fixed(nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)))
    return odegan.gan(generator, disc or layers(nn.Tanh()), **given)


def layers(*between):
    return fixed(nn.Sequential(nn.Linear(2, 4), *between, nn.Linear(4, 1)))


class Attention(nn.Module):
    def __init__(self, heads):
        super().__init__()
        self.first = nn.Linear(2, 4)
        self.last = nn.Linear(4, 1)
        self.attention = nn.MultiheadAttention(4, heads, batch_first=True)

    def forward(self, x):
        h = self.first(x)[:, None]
        return self.last(self.attention(h, h, h, need_weights=False)[0][:, 0])


class Held(nn.Module):
    """A discriminator with settings as attributes."""

    def __init__(self, activation=torch.tanh, slope=1.0, constant=1.0):
        super().__init__()
        self.first = nn.Linear(2, 4)
        self.last = nn.Linear(4, 1)
        self.activation = activation
        self.slope = slope
        self.register_buffer("constant", torch.tensor(constant))

    def forward(self, x):
        return self.last(self.activation(self.slope * self.first(x))) * self.constant


class Plus(Held):
    def forward(self, x):
        return self.last(self.activation(self.slope * self.first(x))) + self.constant


class Helped(Held):
    """A forward pass that calls a method, and that a class variable decides."""

    power = 1

    def forward(self, x):
        return self.helper(super().forward(x))

    def helper(self, x):
        return x**self.power


class Squared(Helped):
    power = 2


class OtherHelper(Helped):
    def helper(self, x):
        return x + 1


class Frozen(Held):
    def __init__(self, value):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(value), requires_grad=False)

    def forward(self, x):
        return super().forward(x) * self.weight


def frozen(value):
    module = Frozen(value)
    for part in (module.first, module.last):
        fixed(part)
    return module


def own_forward(function):
    module = fixed(Held())
    module.forward = functools.partial(function, module)
    return module


def hooked(scale):
    module = fixed(Held())
    module.first.register_forward_hook(lambda m, x, y: scale * y)
    return module


def spectral(on):
    module = layers(nn.Tanh())
    if on:
        parametrizations.spectral_norm(module[0])
    return module


def own_game(critic_scale=1.0, loss_scale=1.0, gradient_scale=None, project=None):
    gradients = None if gradient_scale is None else (lambda d, g, batch: (gradient_scale * g, -d))
    return odegan.Game(
        lambda d, g, batch: loss_scale * (d * g).sum(),
        lambda d, g, batch: -(d * g).sum(),
        2,
        2,
        critic=lambda d, x: critic_scale * (x @ d),
        gradients=gradients,
        project=project,
    )


def pair_of_losses(scale):
    return (
        lambda real, fake: nn.functional.softplus(-real).mean() + fake.mean() * scale,
        lambda real, fake: -fake.mean(),
    )


def of_networks(make, *values):
    return [{"game": make(value)} for value in values]


def closed_form(y0, *made):
    nothing = dict.fromkeys(["data", "latent", "batch_size"])
    return [nothing | {"game": one, "y0": y0, "solver": "rk4"} for one in made]


def gaussians(*given):
    return closed_form(torch.full((4,), 0.3), *(games.gaussian(*one) for one in given))


FEATURES = fourier_features(2, 5, 1.0)
PARTICLES = particle_game(X, FEATURES, 4).init(0)
CHANGES = {
    "gaussian v": gaussians(([0.0, 2.0], 0.7), ([0.0, 2.5], 0.7)),
    "gaussian sigma": gaussians(([0.0, 2.0], 0.7), ([0.0, 2.0], 0.8)),
    "gaussian loss": gaussians(([0.0, 2.0], 0.7), ([0.0, 2.0], 0.7, "wasserstein")),
    "dirac c": closed_form(torch.ones(2), *(games.dirac("wasserstein", c) for c in (0.0, 0.5))),
    "dirac feedback": closed_form(torch.ones(2), *(games.dirac("wasserstein", 0.0, feedback=f) for f in (0.0, 0.5))),
    "quadratic matrix": closed_form(
        torch.ones(2), *(games.quadratic(torch.tensor([[-1.0, a], [-a, -1.0]])) for a in (1.0, 2.0))
    ),
    "particles data": closed_form(PARTICLES, particle_game(X, FEATURES, 4), particle_game(X.flip(1), FEATURES, 4)),
    "particles kernel": closed_form(PARTICLES, *(particle_game(X, fourier_features(2, 5, b), 4) for b in (1.0, 1.1))),
    "critic of a game": closed_form(torch.ones(4), own_game(critic_scale=1.0), own_game(critic_scale=2.0)),
    "loss of a game": closed_form(torch.ones(4), own_game(loss_scale=1.0), own_game(loss_scale=2.0)),
    "gradients of a game": closed_form(torch.ones(4), own_game(gradient_scale=1.0), own_game(gradient_scale=2.0)),
    "projection of a game": closed_form(
        torch.ones(4), *(own_game(project=lambda y, a=a: y.clamp(-a, a)) for a in (1, 2))
    ),
    "unrolled steps": of_networks(lambda n: odegan.unrolled(game(), n, 0.1), 1, 2),
    "unrolled step size": of_networks(lambda h: odegan.unrolled(game(), 1, h), 0.1, 0.2),
    "latent of gan": [
        {"latent": None, "game": game(gen=fixed(nn.Linear(3, 2)), latent=scaled)}
        for scaled in [lambda n, g, s=s: s * torch.randn(n, 3, generator=g) for s in (1.0, 2.0)]
    ],
    "autocast": of_networks(lambda dtype: game(autocast=dtype), None, torch.bfloat16),
    "channels_last": of_networks(lambda on: game(channels_last=on), False, True),
    "class of the forward pass": of_networks(lambda kind: game(fixed(kind())), Held, Plus),
    "class variable": of_networks(lambda kind: game(fixed(kind())), Helped, Squared),
    "method that forward calls": of_networks(lambda kind: game(fixed(kind())), Helped, OtherHelper),
    "forward as an attribute": of_networks(
        lambda f: game(own_forward(f)), lambda m, x: m.last(m.first(x)), lambda m, x: m.last(m.first(x).tanh())
    ),
    "activation as an attribute": of_networks(lambda a: game(fixed(Held(a))), torch.tanh, torch.sigmoid),
    "activation as a lambda": of_networks(lambda a: game(fixed(Held(a))), lambda x: x.tanh(), lambda x: x.sigmoid()),
    "number as an attribute": of_networks(lambda s: game(fixed(Held(slope=s))), 1.0, 1.5),
    "buffer": of_networks(lambda c: game(fixed(Held(constant=c))), 1.0, 1.5),
    "frozen parameter": of_networks(lambda c: game(frozen(c)), 1.0, 1.5),
    "heads": of_networks(lambda h: game(fixed(Attention(h))), 1, 2),
    "slope of a layer": of_networks(lambda s: game(layers(nn.LeakyReLU(s))), 0.1, 0.2),
    "eps of a norm": of_networks(lambda e: game(layers(nn.LayerNorm(4, eps=e))), 1e-5, 1e-3),
    "kind of a layer": of_networks(lambda kind: game(layers(kind())), nn.Tanh, nn.Sigmoid),
    "train and eval": of_networks(lambda on: game(layers(nn.BatchNorm1d(4).train(on))), True, False),
    "rate of dropout": of_networks(lambda p: game(layers(nn.Dropout(p).eval())), 0.1, 0.2),
    "hook": of_networks(lambda s: game(hooked(s)), 1.0, 2.0),
    "parametrization": of_networks(lambda on: game(spectral(on)), False, True),
    "order of layers": of_networks(lambda two: game(layers(*two)), (nn.Tanh(), nn.ReLU()), (nn.ReLU(), nn.Tanh())),
    "loss by name": of_networks(lambda name: game(loss=name), "non_saturating", "hinge"),
    "loss as a pair": of_networks(lambda s: game(loss=pair_of_losses(s)), 1.0, 2.0),
}
