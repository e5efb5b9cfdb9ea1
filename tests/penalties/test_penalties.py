"""Every penalty of the table against plain torch.autograd and closed forms, as one by one, and refused where it must be."""

import functools
import itertools
import math

import pytest
import torch
from torch import nn
from torch.func import functional_call, jacrev, jvp

import odegan
from odegan import penalties
from odegan.games.batch import Batch
from tests.peers import START, compiles, draw, networks, smooth_game

D = torch.float64
UNIT = torch.tensor([0.0, 1.0], dtype=D)
NOISE = torch.rand(8, generator=torch.Generator().manual_seed(3), dtype=D)
BATCH = Batch(*draw(8), noise=NOISE, replay={"samples 3": (draw(8, seed=5)[0], draw(8, seed=6)[0])})
MAKERS = {
    "generator_gradient": lambda w: penalties.generator_gradient(w),
    "jare": lambda w: penalties.jare(w),
    "jare biased": lambda w: penalties.jare(w, chunks=4),
    "jare unbiased": lambda w: penalties.jare(w, chunks=4, unbiased=True),
    "consensus": lambda w: penalties.consensus(w),
    "reg G1": lambda w: penalties.reg(w),
    "reg G2": lambda w: penalties.reg(w, "gen", "opponent"),
    "reg D1": lambda w: penalties.reg(w, "disc", "joint"),
    "reg D2": lambda w: penalties.reg(w, "disc", "opponent"),
    "closed_loop square": lambda w: penalties.closed_loop(w, buffer=3),
    "closed_loop abs": lambda w: penalties.closed_loop(w, "abs", 0),
    "closed_loop loss": lambda w: penalties.closed_loop(w, "loss", 3),
    "closed_loop one_sided": lambda w: penalties.closed_loop(w, "one_sided", 0),
    "r1": lambda w: penalties.r1(w),
    "r2": lambda w: penalties.r2(w),
    "wgan_gp": lambda w: penalties.wgan_gp(w),
    "wgan_gp zero": lambda w: penalties.wgan_gp(w, 0.0),
    "truncation_error": lambda w: penalties.truncation_error(w, 3.0),
    "truncation_error gen": lambda w: penalties.truncation_error(w, 3.0, "bosh3", "gen"),
    "drift_cancellation": lambda w: penalties.drift_cancellation(w),
    "drift_cancellation self": lambda w: penalties.drift_cancellation(w, interaction=False),
    "drift_cancellation other": lambda w: penalties.drift_cancellation(w, self_terms=False),
}
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

    def judge(self, x, d=None):
        return functional_call(self.discriminator, d or self.d, (x,)).squeeze(-1)

    def fake(self, g=None, latent=None):
        return functional_call(self.generator, g or self.g, (self.batch.latent if latent is None else latent,))

    def losses(self, d=None, g=None, rows=slice(None)):
        real, fake = self.judge(self.batch.real[rows], d), self.judge(self.fake(g, self.batch.latent[rows]), d)
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
        return torch.cat([torch.autograd.grad(self.judge(one).sum(), one, create_graph=True)[0] for one in each])

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
    return [me.judge(x) for x in me.batch.replay["samples 3"]]


def current(me):
    return me.judge(me.batch.real), me.judge(me.fake().detach())


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
def test_compiled_is_eager(name):
    torch.compiler.reset()
    generator, discriminator = networks()
    discriminator[1] = nn.Tanh()  # aot_eager (not inductor) mistakes the strides of Softplus under two vmaps
    game = odegan.gan(generator, discriminator)
    field, y = odegan.vector_field(game, [MAKERS[name](WEIGHT)]), game.init()
    compiled = torch.compile(field, backend="aot_eager", fullgraph=True)
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


# Closed forms.
def dirac(c=1.0):
    """Wasserstein, D(x) = phi x, data at c, generator at theta: phi' = c - theta, theta' = phi."""
    return odegan.Game(
        lambda d, g, batch: (d * (g - c)).sum(),
        lambda d, g, batch: -(d * g).sum(),
        1,
        1,
        critic=lambda d, x: x[:, 0] * d,
        real=lambda batch: torch.full((1, 1), c, dtype=D),
        fake=lambda g, batch: g[:, None],
    )


@pytest.mark.parametrize(
    "penalty, damping",
    [
        (penalties.closed_loop(0.3, buffer=0), lambda phi, theta, c: 2 * 0.3 * phi * (c**2 + theta**2)),
        (
            penalties.closed_loop(0.3, "abs", 0),
            lambda phi, theta, c: 0.3 * (abs(c) + abs(theta)) * (1 if phi > 0 else -1),
        ),
        (penalties.r1(0.3), lambda phi, theta, c: 0.3 * phi),
        (penalties.r2(0.3), lambda phi, theta, c: 0.3 * phi),
        (penalties.wgan_gp(0.3), lambda phi, theta, c: 2 * 0.3 * (abs(phi) - 1) * (1 if phi > 0 else -1)),
        (penalties.wgan_gp(0.3, 0.0), lambda phi, theta, c: 2 * 0.3 * phi),
    ],
    ids=["closed_loop", "closed_loop-abs", "r1", "r2", "wgan_gp", "wgan_gp-0"],
)
@pytest.mark.parametrize("c", [0.0, 1.3])
def test_dirac(penalty, damping, c):
    for phi, theta in [(0.4, 0.7), (-1.2, 0.2)]:
        y = torch.tensor([phi, theta], dtype=D)
        expected = torch.tensor([c - theta - damping(phi, theta, c), phi], dtype=D)
        torch.testing.assert_close(odegan.vector_field(dirac(c), [penalty])(0.0, y), expected)


def test_feedback_on_dirac_moves_the_poles():
    """At c != 0 the literal penalty is a feedback of 4 lambda c^2: s^2 + 4 lambda c^2 s + 1. At c = 0 it vanishes."""
    for c in (0.0, 0.8):
        field = odegan.vector_field(dirac(c), [penalties.closed_loop(0.25, buffer=0)])
        jacobian = jacrev(lambda y, field=field: field(0.0, y))(torch.tensor([0.0, c], dtype=D))
        expected = torch.tensor([[-4 * 0.25 * c**2, -1.0], [1.0, 0.0]], dtype=D)
        torch.testing.assert_close(jacobian, expected)


def potential_matrix(size=6, seed=0):
    """A with symmetric diagonal blocks, so that both players have losses; the blocks off it are arbitrary."""
    A = torch.randn(size, size, generator=torch.Generator().manual_seed(seed), dtype=D)
    n = size // 2
    A[:n, :n], A[n:, n:] = A[:n, :n] + A[:n, :n].T, A[n:, n:] + A[n:, n:].T
    return A / 3


def blocks(A, keep):
    """A with only the named blocks kept, in D and G's halves."""
    out, n = torch.zeros_like(A), len(A) // 2
    halves = {"d": slice(0, n), "g": slice(n, None)}
    for row, column in keep:
        out[halves[row], halves[column]] = A[halves[row], halves[column]]
    return out


LINEAR = {  # v = A y: g_D = -(A y)_D, so that 1/2 |g_q|^2 adds -A_qp^T (A y)_q to player p
    "jare": lambda A: A - 0.3 * blocks(A, ["dg", "gd"]).T @ A,
    "consensus": lambda A: A - 0.3 * A.T @ A,
    "reg G2": lambda A: A - 0.3 * blocks(A, ["dg"]).T @ A,
    "reg D2": lambda A: A - 0.3 * blocks(A, ["gd"]).T @ A,
    "drift_cancellation": lambda A: A + 0.15 * A @ A,
    "drift_cancellation self": lambda A: A + 0.15 * blocks(A, ["dd", "gg"]) @ A,
    "drift_cancellation other": lambda A: A + 0.15 * blocks(A, ["dg", "gd"]) @ A,
}


@pytest.mark.parametrize("name", LINEAR)
def test_linear_fields(name):
    A = potential_matrix()
    field = odegan.vector_field(odegan.games.quadratic(A), [MAKERS[name](0.3)])
    found = jacrev(lambda y: field(0.0, y))(torch.zeros(6, dtype=D))
    torch.testing.assert_close(found, LINEAR[name](A), rtol=1e-12, atol=1e-12)


# JARE's estimators.
def gradient_game():
    """g_D = m + mean of the real samples, g_G = m' + mean of the latents: the estimators' moments are known."""
    return odegan.Game(
        lambda d, g, batch: d @ (g[:2] + batch[0].mean(0)), lambda d, g, batch: g @ (d.sum() + batch[1].mean(0)), 2, 3
    )


@pytest.mark.parametrize("chunks", [2, 8])
def test_estimators_of_the_norm(chunks):
    """Over many draws: the unbiased mean is ||E g||^2 / 2, and the biased one exceeds it by trace(Cov) / (2 B)."""
    game, n, size = gradient_game(), 20_000, 16
    source = torch.Generator().manual_seed(chunks)
    real = torch.randn(n, size, 2, generator=source, dtype=D) * torch.tensor([1.0, 2.0], dtype=D)
    latent = torch.randn(n, size, 3, generator=source, dtype=D)
    d, g = torch.tensor([0.3, -0.2], dtype=D), torch.tensor([0.1, 0.4, 0.0], dtype=D)
    truth = {"gen": (0.1**2 + 0.4**2) / 2, "disc": 3 * 0.1**2 / 2}
    excess = {"gen": 5 / (2 * size), "disc": 3 / (2 * size)}
    for unbiased_ in (True, False):
        extras = dict(zip(["disc", "gen"], penalties.jare(1.0, chunks, unbiased_)(game), strict=True))
        for player, extra in extras.items():
            values = torch.vmap(lambda r, z, extra=extra: extra(d, g, Batch(r, z), 0.0))(real, latent)
            error = values.std() / n**0.5
            expected = truth[player] + (0 if unbiased_ else excess[player])
            assert abs(values.mean() - expected) < 3 * error
            assert error < excess[player] / 10  # fine enough to tell the two apart
            assert not unbiased_ or values.min() < 0


def test_chunks_are_checked():
    game = odegan.gan(*networks())
    field = odegan.vector_field(game, [penalties.jare(1.0, chunks=3)])
    with pytest.raises(odegan.ArgumentError, match="chunks: got 3; it must be a divisor of the batch size 8"):
        field(0.0, game.init(), BATCH)
    with pytest.raises(odegan.ArgumentError, match="chunks: got 1"):
        penalties.jare(1.0, chunks=1)
    with pytest.raises(odegan.ArgumentError, match="chunks: got None"):
        penalties.jare(1.0, unbiased=True)
    with pytest.raises(odegan.ArgumentError, match="nothing to divide"):
        odegan.vector_field(odegan.games.bilinear(), [penalties.jare(1.0, 2)])(0.0, torch.ones(2))


def test_chunks_wait_until_coupling_is_known():
    game = odegan.Game(lambda d, g, b: d @ b[0].mean(0), lambda d, g, b: g @ b[1].mean(0), 2, 3, couples_batch=None)
    field = odegan.vector_field(game, [penalties.jare(1.0, chunks=2)])
    with pytest.raises(odegan.ArgumentError, match=r"game\.check"):
        field(0.0, torch.ones(5, dtype=D), BATCH)
    game.couples_batch = False
    assert field(0.0, torch.ones(5, dtype=D), BATCH).shape == (5,)


# Drift cancellation.
@functools.cache
def exactly(rates=(1.0, 1.0)):
    return odegan.odeint_gan(smooth_game(), START, UNIT, solver="dopri5", rtol=1e-10, atol=1e-11, rates=rates).y


def euler_errors(extra, rates=(1.0, 1.0)):
    arguments = {"solver": "euler", "rates": rates}
    runs = [
        odegan.odeint_gan(smooth_game(), START, UNIT, step_size=1 / n, penalties=extra(1 / n), **arguments)
        for n in (30, 60)
    ]
    return [(sol.y - exactly(rates)).norm().item() for sol in runs]


@pytest.mark.parametrize(
    "extra, order",
    [
        (lambda h: [penalties.drift_cancellation(h)], 2),
        (lambda h: [penalties.drift_cancellation(lambda t: h)], 2),
        (lambda h: [penalties.drift_cancellation(h, interaction=False)], 1),
        (lambda h: [penalties.drift_cancellation(h, self_terms=False)], 1),
        (lambda h: [], 1),
    ],
    ids=["both", "function", "self", "interaction", "none"],
)
def test_euler_becomes_second_order(extra, order):
    coarse, fine = euler_errors(extra)
    assert math.log2(coarse / fine) == pytest.approx(order, abs=0.12)


def test_drift_cancellation_knows_rates():
    rates = (1.5, 0.5)
    coarse, fine = euler_errors(lambda h: [penalties.drift_cancellation(h, rates=rates)], rates)
    assert math.log2(coarse / fine) == pytest.approx(2, abs=0.12)
    coarse, fine = euler_errors(lambda h: [penalties.drift_cancellation(h)], rates)
    assert math.log2(coarse / fine) == pytest.approx(1, abs=0.2)


# Names, words and refusals.
@pytest.mark.parametrize(
    "text, expected",
    [
        ("jare:10", penalties.jare(10.0)),
        ("jare:10,chunks=4,unbiased=True", penalties.jare(10.0, 4, True)),
        ("consensus:2", penalties.consensus(2.0)),
        ("reg:10,player=gen,norm=opponent", penalties.reg(10.0, "gen", "opponent")),
        ("closed_loop:0.01,kind=abs,buffer=0", penalties.closed_loop(0.01, "abs", 0)),
        ("wgan_gp:10,center=0", penalties.wgan_gp(10.0, 0)),
        ("truncation_error:1e3,step_size=0.1,pair=bosh3", penalties.truncation_error(1e3, 0.1, "bosh3")),
        ("drift_cancellation:0.1,interaction=False", penalties.drift_cancellation(0.1, interaction=False)),
        ("truncation_error:1,step_size=0.1,player=gen", penalties.truncation_error(1.0, 0.1, player="gen")),
        ("truncation_error:1,rates=(1, 2),step_size=0.1", penalties.truncation_error(1.0, 0.1, rates=(1, 2))),
    ],
)
def test_command_line(text, expected):
    assert repr(penalties.parse(text)) == repr(expected)


@pytest.mark.parametrize(
    "text, words",
    [
        ("jar:10", "did you mean 'jare'"),
        ("jare", "jare:weight"),
        ("jare:10,chunk=4", "did you mean 'chunks'"),
        ("jare:10,4", "key=value"),
        ("r1:10,center=0", "takes a weight only"),
        ("reg:10,player=both", "player: got 'both'"),
        ("reg:1,norm=opponents", "did you mean 'opponent'"),
        ("closed_loop:1,kind=cube", "kind: got 'cube'"),
        ("closed_loop:1,buffer=-1", "buffer: got -1"),
        ("wgan_gp:1,center=one", "center: got 'one'"),
        ("truncation_error:1", "step_size"),
        ("truncation_error:1,step_size=0", "step_size: got 0"),
        ("truncation_error:1,step_size=0.1,pair=euler", "pair: got 'euler'"),
        ("drift_cancellation:0.1,self_terms=False,interaction=False", "self_terms, interaction"),
        ("jare:-1", "weight: got -1"),
    ],
)
def test_wrong_words_are_one_line(text, words):
    with pytest.raises(odegan.ArgumentError) as caught:
        penalties.parse(text)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["closed_loop square", "closed_loop abs", "r1", "r2", "wgan_gp"])
def test_games_without_a_critic_are_refused(name):
    with pytest.raises(odegan.ArgumentError, match=f"{name.split()[0]} needs a critic"):
        odegan.vector_field(odegan.games.bilinear(), [MAKERS[name](1.0)])


def test_games_without_samples_or_loss_are_refused():
    bare = odegan.Game(lambda d, g, b: d @ g, lambda d, g, b: -d @ g, 1, 1, critic=lambda d, x: x[:, 0] * d)
    for name in ("closed_loop abs", "r2", "wgan_gp"):
        with pytest.raises(odegan.ArgumentError, match="needs generated samples"):
            odegan.vector_field(bare, [MAKERS[name](1.0)])
    with pytest.raises(odegan.ArgumentError, match="needs a loss of logits"):
        odegan.vector_field(dirac(), [penalties.closed_loop(1.0, "loss", 0)])
    with pytest.raises(odegan.ArgumentError, match="batch: got None"):
        odegan.vector_field(bare, [penalties.r1(1.0)])(0.0, torch.ones(2))


@pytest.mark.parametrize("name, part", [("wgan_gp", "batch.noise"), ("closed_loop square", "batch.replay")])
def test_batches_without_what_is_read_are_refused(name, part):
    game = odegan.gan(*networks())
    with pytest.raises(odegan.ArgumentError, match=part):
        odegan.vector_field(game, [MAKERS[name](1.0)])(0.0, game.init(), draw(8))
