"""Every penalty of the table against plain torch.autograd and closed forms, as one by one, and refused where it must be."""

import itertools

import pytest
import torch
from torch import nn
from torch.func import functional_call, jvp

import odegan
from odegan import penalties
from odegan.games.batch import Batch
from tests.peers import BACKENDS, compiles, draw, networks
from tests.penalties.penalty_cases import BATCH, MAKERS, NOISE, D

WEIGHT = 0.7
SEES_ONE_SAMPLE = ["r1", "r2", "wgan_gp", "wgan_gp zero", "jare biased", "jare unbiased"]


def test_every_name_is_tried_here():
    assert {name.split()[0] for name in MAKERS} == set(penalties.names())
    assert all(repr(make(0.5)).startswith(name.split()[0] + "(0.5") for name, make in MAKERS.items())


class ByHand:
    """The extra losses written with modules, autograd and loops only: nothing of the library inside."""

    def __init__(self, pair, batch=BATCH):
        self.generator, self.discriminator, self.batch = *pair, batch
        self.d = {n: p.detach().clone().requires_grad_() for n, p in pair[1].named_parameters()}
        self.g = {n: p.detach().clone().requires_grad_() for n, p in pair[0].named_parameters()}

    def critic(self, x, d=None):
        return functional_call(self.discriminator, d or self.d, (x,)).squeeze(-1)

    def fake(self, g=None, latent=None):
        return functional_call(self.generator, g or self.g, (self.batch.latent if latent is None else latent,))

    def losses(self, d=None, g=None, rows=slice(None)):
        real, fake = self.critic(self.batch.real[rows], d), self.critic(self.fake(g, self.batch.latent[rows]), d)
        softplus = nn.functional.softplus
        return softplus(-real).mean() + softplus(fake).mean(), softplus(-fake).mean()

    def gradient(self, which, of, d=None, g=None, rows=slice(None)):
        """Flat gradient of loss ``which`` in the parameters of ``of``."""
        d, g = d or self.d, g or self.g
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
            found, start = {}, 0
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
            d, g = moved(self.d, shift_d), moved(self.g, shift_g)
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


relu, softplus = torch.relu, nn.functional.softplus
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


@pytest.mark.parametrize("name", MAKERS)
def test_fields_are_what_autograd_says(name):
    pair = networks()
    game, me = odegan.gan(*pair), ByHand(pair)
    expected = []
    for p, extra in zip("dg", BY_HAND[name], strict=True):
        own = list((me.d if p == "d" else me.g).values())
        total = me.losses()["dg".index(p)] + (0 if extra is None else WEIGHT * extra(me))
        expected.append(-flat(torch.autograd.grad(total, own, allow_unused=True), own))
    expected = torch.cat(expected)
    field, y = odegan.vector_field(game, [MAKERS[name](WEIGHT)]), game.init()
    with torch.no_grad():
        eager = field(0.0, y, BATCH)
    torch.testing.assert_close(eager, expected, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(field(0.0, y, BATCH), expected, rtol=1e-10, atol=1e-12)
    assert (expected - odegan.vector_field(game)(0.0, y, BATCH)).abs().max() > 1e-6


@pytest.mark.parametrize("name", MAKERS)
def test_values_weights_and_derivatives(name):
    pair = networks()
    game, me = odegan.gan(*pair), ByHand(pair)
    y = game.init()
    for extra, hand in zip(MAKERS[name](WEIGHT)(game), BY_HAND[name], strict=True):
        assert (extra is None) == (hand is None)
        if hand is not None:
            torch.testing.assert_close(
                extra(*game.split(y), BATCH, 0.0), WEIGHT * hand(me).detach(), rtol=1e-10, atol=1e-13
            )
    plain = odegan.vector_field(game, [MAKERS[name](WEIGHT)])
    tensor = torch.tensor(WEIGHT, dtype=D, requires_grad=True)
    for weight in (tensor, lambda t: WEIGHT * t):
        torch.testing.assert_close(
            odegan.vector_field(game, [MAKERS[name](weight)])(1.0, y, BATCH), plain(0.0, y, BATCH)
        )
    (slope,) = torch.autograd.grad(odegan.vector_field(game, [MAKERS[name](tensor)])(0.0, y, BATCH).sum(), tensor)
    difference = (plain(0.0, y, BATCH) - odegan.vector_field(game)(0.0, y, BATCH)).sum() / WEIGHT
    torch.testing.assert_close(slope, difference)


@pytest.mark.parametrize("name", MAKERS)
def test_fields_can_be_differentiated(name):
    """jvp of the penalized field, which the spectrum needs, against central differences of it."""
    game = odegan.gan(*networks())
    field, y = odegan.vector_field(game, [MAKERS[name](WEIGHT)]), game.init()
    v = torch.randn(y.shape, generator=torch.Generator().manual_seed(0), dtype=D)
    _, tangent = jvp(lambda point: field(0.0, point, BATCH), (y,), (v,))
    with torch.no_grad():
        difference = (field(0.0, y + 1e-5 * v, BATCH) - field(0.0, y - 1e-5 * v, BATCH)) / 2e-5
    torch.testing.assert_close(tangent, difference, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", MAKERS)
def test_members_are_one_by_one(name):
    game = odegan.gan(*networks())
    ys = torch.stack([game.init(seed=s) for s in range(3)])
    field = odegan.vector_field(game, [MAKERS[name](WEIGHT)])
    members = [
        Batch(*draw(8, seed=s), noise=NOISE.flip(0) if s else NOISE, replay={"samples 3": draw(8, seed=9 + s)[:1] * 2})
        for s in range(3)
    ]
    stacked = torch.utils._pytree.tree_map(lambda *x: torch.stack(x), *members)
    together = torch.vmap(field, in_dims=(None, 0, 0))(0.0, ys, stacked)
    with torch.no_grad():
        alone = torch.stack([field(0.0, y, batch) for y, batch in zip(ys, members, strict=True)])
    torch.testing.assert_close(together, alone, rtol=1e-11, atol=1e-13)


COMPILED_QUICKLY = ["jare biased", "drift_cancellation", "wgan_gp"]


@compiles
@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[] if n in COMPILED_QUICKLY else pytest.mark.slow) for n in MAKERS]
)
@pytest.mark.parametrize("backend", BACKENDS)
def test_compiled_is_eager(name, backend):
    torch.compiler.reset()
    generator, discriminator = networks()
    discriminator[1] = nn.Tanh()  # aot_eager (not inductor) mistakes the strides of Softplus under two vmaps
    game = odegan.gan(generator, discriminator)
    field, y = odegan.vector_field(game, [MAKERS[name](WEIGHT)]), game.init()
    compiled = torch.compile(field, backend=backend, fullgraph=True)
    with torch.no_grad():
        torch.testing.assert_close(compiled(0.0, y, BATCH), field(0.0, y, BATCH), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("where", ["generator", "discriminator"])
@pytest.mark.parametrize("name", MAKERS)
def test_batch_norm_is_right_or_refused(name, where):
    torch.manual_seed(0)
    generator, discriminator = networks()
    if where == "generator":
        generator.insert(1, nn.BatchNorm1d(4))
    else:
        discriminator.insert(1, nn.BatchNorm1d(4))
    pair = generator.double(), discriminator.double()
    for module in pair:
        for norm in module:
            if isinstance(norm, nn.BatchNorm1d):
                norm.track_running_stats, norm.running_mean, norm.running_var = False, None, None
    game = odegan.gan(*pair)
    if name.startswith("jare ") or (where == "discriminator" and name in SEES_ONE_SAMPLE):
        with pytest.raises(odegan.ArgumentError, match="couples the batch"):
            odegan.vector_field(game, [MAKERS[name](WEIGHT)])
        return
    me, y = ByHand(pair), game.init()
    for extra, hand in zip(MAKERS[name](WEIGHT)(game), BY_HAND[name], strict=True):
        if hand is not None:
            torch.testing.assert_close(
                extra(*game.split(y), BATCH, 0.0), WEIGHT * hand(me).detach(), rtol=1e-9, atol=1e-12
            )
    before = odegan.vector_field(game)(0.0, y, BATCH)
    after = odegan.vector_field(game, [MAKERS[name](WEIGHT)])(0.0, y, BATCH)
    for p, part, hand in zip("dg", game.split(before - after), BY_HAND[name], strict=True):
        own = list((me.d if p == "d" else me.g).values())
        expected = (
            torch.zeros_like(part) if hand is None else flat(torch.autograd.grad(hand(me), own, allow_unused=True), own)
        )
        torch.testing.assert_close(part, WEIGHT * expected, rtol=1e-8, atol=1e-10)


def test_penalties_are_of_the_unpenalised_losses():
    game = odegan.gan(*networks())
    names = ["jare", "drift_cancellation", "r1"]
    y, plain = game.init(), odegan.vector_field(game)
    base = plain(0.0, y, BATCH)
    each = [odegan.vector_field(game, [MAKERS[n](WEIGHT)])(0.0, y, BATCH) - base for n in names]
    for order in itertools.permutations(names):
        field = odegan.vector_field(game, [MAKERS[n](WEIGHT) for n in order])
        torch.testing.assert_close(field(0.0, y, BATCH) - base, sum(each), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", penalties.names())
def test_a_function_in_the_place_of_what_it_returns_is_refused_in_a_line(name):
    with pytest.raises(
        odegan.ArgumentError, match=rf"penalties: .*the function {name}.*{name}\(\.\.\.\) with a weight"
    ):
        odegan.vector_field(odegan.games.bilinear(), [getattr(penalties, name)])
