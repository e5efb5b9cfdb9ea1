"""Every penalty of the table by hand: modules, autograd and loops only, nothing of the library inside."""

import itertools

import torch
from torch import nn
from torch.func import functional_call

from tests.penalties.penalty_cases import BATCH, D


class ByHand:
    """The extra losses written with modules, autograd and loops only: nothing of the library inside."""

    def __init__(self, pair, batch=BATCH):
        self.generator, self.discriminator = pair
        self.batch = batch
        self.d = {n: p.detach().clone().requires_grad_() for n, p in pair[1].named_parameters()}
        self.g = {n: p.detach().clone().requires_grad_() for n, p in pair[0].named_parameters()}

    def critic(self, x, d=None):
        return functional_call(self.discriminator, d or self.d, (x,)).squeeze(-1)

    def fake(self, g=None, latent=None):
        return functional_call(self.generator, g or self.g, (self.batch.latent if latent is None else latent,))

    def losses(self, d=None, g=None, rows=slice(None)):
        real = self.critic(self.batch.real[rows], d)
        fake = self.critic(self.fake(g, self.batch.latent[rows]), d)
        softplus = nn.functional.softplus
        return softplus(-real).mean() + softplus(fake).mean(), softplus(-fake).mean()

    def gradient(self, which, of, d=None, g=None, rows=slice(None)):
        """Flat gradient of loss ``which`` in the parameters of ``of``."""
        d = d or self.d
        g = g or self.g
        own = list((d if of == "d" else g).values())
        value = self.losses(d, g, rows)[0 if which == "d" else 1]
        found = torch.autograd.grad(value, own, create_graph=True, allow_unused=True)
        return torch.cat(
            [torch.zeros_like(p).flatten() if x is None else x.flatten() for x, p in zip(found, own, strict=True)]
        )

    def own(self, p, **rest):
        return self.gradient(p, p, **rest)

    def chunks(self, p):
        return torch.stack([self.own(p, rows=slice(2 * k, 2 * k + 2)) for k in range(4)])

    def input_gradients(self, x):
        each = [x[i : i + 1].detach().requires_grad_() for i in range(len(x))]
        return torch.cat([torch.autograd.grad(self.critic(one).sum(), one, create_graph=True)[0] for one in each])

    def mixed(self):
        u = self.batch.noise[:, None]
        return u * self.batch.real + (1 - u) * self.fake()

    def stages(self, h, beta):
        """k_i of the field for explicit coefficients, each point moved by hand."""

        def moved(values, direction):
            found = {}
            start = 0
            for name, p in values.items():
                found[name] = p + direction[start : start + p.numel()].view(p.shape)
                start += p.numel()
            return found

        slopes = []
        for row in [(), *beta]:
            shift_d = sum(
                (h * c * k[0] for c, k in zip(row, slopes, strict=False)), torch.zeros(self.own("d").numel(), dtype=D)
            )
            shift_g = sum(
                (h * c * k[1] for c, k in zip(row, slopes, strict=False)), torch.zeros(self.own("g").numel(), dtype=D)
            )
            d = moved(self.d, shift_d)
            g = moved(self.g, shift_g)
            slopes.append((-self.own("d", d=d, g=g), -self.own("g", d=d, g=g)))
        return slopes


def sq(x):
    return (x**2).sum()


def unbiased(chunks):
    pairs = [(chunks[i] * chunks[j]).sum() for i, j in itertools.permutations(range(len(chunks)), 2)]
    return sum(pairs) / len(pairs)


def heun_error(me):
    (k1d, k1g), (k2d, k2g) = me.stages(3.0, [(1.0,)])
    return (sq(1.5 * (k1d - k2d)) + sq(1.5 * (k1g - k2g))) / 2


def bosh3_error(me):
    stages = me.stages(3.0, [(1 / 2,), (0, 3 / 4), (2 / 9, 1 / 3, 4 / 9)])
    weights = [2 / 9 - 7 / 24, 1 / 3 - 1 / 4, 4 / 9 - 1 / 3, -1 / 8]
    return sum(sq(sum(3.0 * w * k[p] for w, k in zip(weights, stages, strict=True))) for p in (0, 1)) / 2


def drift(me, p, own=True, other=True):
    q = "g" if p == "d" else "d"
    cross = (me.gradient(p, q) * me.own(q).detach()).sum()
    return -sq(me.own(p)) / 4 * own - cross / 2 * other


def stored(me):
    return [me.critic(x) for x in me.batch.replay["samples 3"]]


def current(me):
    return me.critic(me.batch.real), me.critic(me.fake().detach())


relu = torch.relu
softplus = nn.functional.softplus
BY_HAND = {  # name -> (extra loss of D or None, of G or None), unweighted
    "generator_gradient": (lambda me: sq(me.own("g")), None),
    "jare": (lambda me: sq(me.own("g")) / 2, lambda me: sq(me.own("d")) / 2),
    "jare biased": (lambda me: sq(me.chunks("g").mean(0)) / 2, lambda me: sq(me.chunks("d").mean(0)) / 2),
    "jare unbiased": (lambda me: unbiased(me.chunks("g")) / 2, lambda me: unbiased(me.chunks("d")) / 2),
    "consensus": (lambda me: (sq(me.own("d")) + sq(me.own("g"))) / 2,) * 2,
    "reg G1": (None, lambda me: (sq(me.own("d")) + sq(me.own("g"))) / 2),
    "reg G2": (None, lambda me: sq(me.own("d")) / 2),
    "reg D1": (lambda me: (sq(me.own("d")) + sq(me.own("g"))) / 2, None),
    "reg D2": (lambda me: sq(me.own("g")) / 2, None),
    "closed_loop square": (lambda me: sum((x**2).mean() for x in stored(me)), None),
    "closed_loop abs": (lambda me: sum(x.abs().mean() for x in current(me)), None),
    "closed_loop loss": (lambda me: softplus(-stored(me)[0]).mean() + softplus(stored(me)[1]).mean(), None),
    "closed_loop one_sided": (lambda me: relu(current(me)[0]).mean() + relu(-current(me)[1]).mean(), None),
    "r1": (lambda me: (me.input_gradients(me.batch.real) ** 2).sum(1).mean() / 2, None),
    "r2": (lambda me: (me.input_gradients(me.fake()) ** 2).sum(1).mean() / 2, None),
    "wgan_gp": (lambda me: ((me.input_gradients(me.mixed()).norm(dim=1) - 1) ** 2).mean(), None),
    "wgan_gp zero": (lambda me: (me.input_gradients(me.mixed()) ** 2).sum(1).mean(), None),
    "truncation_error": (heun_error, heun_error),
    "truncation_error gen": (None, bosh3_error),
    "drift_cancellation": (lambda me: drift(me, "d"), lambda me: drift(me, "g")),
    "drift_cancellation self": (lambda me: drift(me, "d", other=False), lambda me: drift(me, "g", other=False)),
    "drift_cancellation other": (lambda me: drift(me, "d", own=False), lambda me: drift(me, "g", own=False)),
}


def flat(found, own):
    return torch.cat(
        [torch.zeros(p.numel(), dtype=D) if x is None else x.flatten() for x, p in zip(found, own, strict=True)]
    )
