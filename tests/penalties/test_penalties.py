"""Every penalty of the table against plain torch.autograd and closed forms, as one by one, and refused where it must be."""

import itertools

import pytest
import torch
from torch import nn
from torch.func import jvp

import odegan
from odegan import penalties
from odegan.games.batch import Batch
from tests.peers import BACKENDS, compiles, draw, networks
from tests.penalties.by_hand import BY_HAND, ByHand, flat
from tests.penalties.penalty_cases import BATCH, MAKERS, NOISE, WEIGHT, D

SEES_ONE_SAMPLE = ["r1", "r2", "wgan_gp", "wgan_gp zero", "jare biased", "jare unbiased"]


def test_every_name_is_tried_here():
    assert {name.split()[0] for name in MAKERS} == set(penalties.names())
    assert all(repr(make(0.5)).startswith(name.split()[0] + "(0.5") for name, make in MAKERS.items())


@pytest.mark.parametrize("name", MAKERS)
def test_fields_are_what_autograd_says(name):
    pair = networks()
    game = odegan.gan(*pair)
    me = ByHand(pair)
    expected = []
    for p, extra in zip("dg", BY_HAND[name], strict=True):
        own = list((me.d if p == "d" else me.g).values())
        total = me.losses()["dg".index(p)] + (0 if extra is None else WEIGHT * extra(me))
        expected.append(-flat(torch.autograd.grad(total, own, allow_unused=True), own))
    expected = torch.cat(expected)
    field = odegan.vector_field(game, [MAKERS[name](WEIGHT)])
    y = game.init()
    with torch.no_grad():
        eager = field(0.0, y, BATCH)
    torch.testing.assert_close(eager, expected, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(field(0.0, y, BATCH), expected, rtol=1e-10, atol=1e-12)
    assert (expected - odegan.vector_field(game)(0.0, y, BATCH)).abs().max() > 1e-6


@pytest.mark.parametrize("name", MAKERS)
def test_values_weights_and_derivatives(name):
    pair = networks()
    game = odegan.gan(*pair)
    me = ByHand(pair)
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
    field = odegan.vector_field(game, [MAKERS[name](WEIGHT)])
    y = game.init()
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
    field = odegan.vector_field(game, [MAKERS[name](WEIGHT)])
    y = game.init()
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
                norm.track_running_stats = False
                norm.running_mean = None
                norm.running_var = None
    game = odegan.gan(*pair)
    if name.startswith("jare ") or (where == "discriminator" and name in SEES_ONE_SAMPLE):
        with pytest.raises(odegan.ArgumentError, match="couples the batch"):
            odegan.vector_field(game, [MAKERS[name](WEIGHT)])
        return
    me = ByHand(pair)
    y = game.init()
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


def test_penalties_are_of_the_unpenalized_losses():
    game = odegan.gan(*networks())
    names = ["jare", "drift_cancellation", "r1"]
    y = game.init()
    plain = odegan.vector_field(game)
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
