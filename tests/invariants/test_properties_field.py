"""The field as a function: its value, its purity, and how it depends on rates, clips, penalties and batches."""

import copy

import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch.autograd import grad
from torch.utils._pytree import tree_map

import odegan
from odegan.analysis.state import complete_batch
from tests.strategies import (
    assert_close,
    closed_form,
    double,
    dtypes,
    examples,
    map_batch,
    networks,
    normal,
    penalty,
    penalty_lists,
    penalty_names,
    rates,
    seeds,
    weights,
)

# The table of losses once more, as (D's, G's) of the logits on real and on generated samples.
LOSSES = {
    "minimax": (lambda r, f: F.softplus(-r).mean() + F.softplus(f).mean(), lambda r, f: -F.softplus(f).mean()),
    "non_saturating": (lambda r, f: F.softplus(-r).mean() + F.softplus(f).mean(), lambda r, f: F.softplus(-f).mean()),
    "wasserstein": (lambda r, f: f.mean() - r.mean(), lambda r, f: -f.mean()),
    "hinge": (lambda r, f: (1 - r).clamp(min=0).mean() + (1 + f).clamp(min=0).mean(), lambda r, f: -f.mean()),
    "least_squares": (
        lambda r, f: ((r - 1).square().mean() + f.square().mean()) / 2,
        lambda r, f: (f - 1).square().mean() / 2,
    ),
    "relativistic": (lambda r, f: F.softplus(f - r).mean(), lambda r, f: F.softplus(r - f).mean()),
}


def by_hand(example):
    """(losses, gradients) of (D, G) with plain autograd on the modules, and what penalties by hand read."""
    generator, discriminator = example.modules
    real, latent = example.batch
    fake = generator(latent)
    logits = [discriminator(x).flatten() for x in (real, fake)]
    values = [loss(*logits) for loss in LOSSES[example.loss]]
    parameters = list(discriminator.parameters()), list(generator.parameters())
    gradients = [_flat(v, p) for v, p in zip(values, parameters, strict=True)]
    return values, gradients, parameters


def _flat(value, parameters):
    found = grad(value, parameters, create_graph=True, allow_unused=True)
    return torch.cat(
        [(torch.zeros_like(p) if g is None else g).flatten() for g, p in zip(found, parameters, strict=True)]
    )


@given(networks(norms=("none", "layer", "batch")))
def test_the_field_is_minus_the_gradients_of_the_losses(example):
    values, gradients, _ = by_hand(example)
    assert_close(odegan.vector_field(example.game)(0.0, example.y, example.batch), -torch.cat(gradients).detach())
    assert_close(torch.stack(example.game.losses(example.y, example.batch)), torch.stack(values).detach())


def input_norms(discriminator, x, center=None):
    """The squared norms, or squared distances of the norms to the center, of D's gradient at every sample."""
    x = x if x.requires_grad else x.detach().requires_grad_()
    slope = grad(discriminator(x).sum(), x, create_graph=True)[0]
    return slope.square().sum(1) if center is None else (slope.square().sum(1).sqrt() - center).square()


def between(example):
    real, latent = example.batch
    u = example.batch.noise
    return u[:, None] * real + (1 - u[:, None]) * example.modules[0](latent)


def chunked(example):
    """The gradients of both players as means over two halves, whatever a half is."""
    halves = [example._replace(batch=tree_map(lambda part, i=i: part.chunk(2)[i], example.batch)) for i in (0, 1)]
    return [torch.stack(g).mean(0) for g in zip(*(by_hand(half)[1] for half in halves), strict=True)]


def squares(gradients):
    return [g.square().sum() for g in gradients]


# name -> the unweighted extra losses (of D, of G); None: nothing.
BY_HAND = {
    "generator_gradient": lambda e, g: (squares(g)[1], None),
    "jare": lambda e, g: (squares(g)[1] / 2, squares(g)[0] / 2),
    "jare, chunks": lambda e, g: tuple(s / 2 for s in squares(chunked(e))[::-1]),
    "consensus": lambda e, g: (sum(squares(g)) / 2, sum(squares(g)) / 2),
    "reg-D1": lambda e, g: (sum(squares(g)) / 2, None),
    "reg-G1": lambda e, g: (None, sum(squares(g)) / 2),
    "reg-G2": lambda e, g: (None, squares(g)[0] / 2),
    "r1": lambda e, g: (input_norms(e.modules[1], e.batch[0]).mean() / 2, None),
    "r2": lambda e, g: (input_norms(e.modules[1], e.modules[0](e.batch[1])).mean() / 2, None),
    "wgan_gp": lambda e, g: (input_norms(e.modules[1], between(e), 1.0).mean(), None),
    "wgan_gp at 0": lambda e, g: (input_norms(e.modules[1], between(e)).mean(), None),
    "closed_loop": lambda e, g: (
        sum(e.modules[1](x).square().mean() for x in (e.batch[0], e.modules[0](e.batch[1]))),
        None,
    ),
    "closed_loop, loss": lambda e, g: (by_hand(e)[0][0], None),
}


@given(networks(norms=("none", "layer")), st.sampled_from(list(BY_HAND)), weights)
def test_penalties_are_gradients_by_hand(example, name, weight):
    _, gradients, parameters = by_hand(example)
    extras = BY_HAND[name](example, gradients)
    pushed = [
        g if extra is None or not extra.requires_grad else g + weight * _flat(extra, p)
        for g, extra, p in zip(gradients, extras, parameters, strict=True)
    ]
    field = odegan.vector_field(example.game, [penalty(name, weight)])
    assert_close(field(0.0, example.y, example.batch), -torch.cat(pushed).detach(), 1e5)


def snapshot(example):
    tensors = [example.y, *(part for part in example.batch or () if part is not None), torch.get_rng_state()]
    states = [part.state_dict() for part in example.modules or ()]
    return copy.deepcopy([tensors, states])


@given(st.one_of(examples(), networks(norms=("batch", "spectral"))), st.data())
def test_the_field_is_pure(example, data):
    """Same arguments, same value; no argument, module, buffer or global random state changes."""
    field = odegan.vector_field(example.game, data.draw(penalty_lists(example)))
    before = snapshot(example)
    first = field(0.3, example.y, example.batch)
    with torch.no_grad():
        plain = field(0.3, example.y, example.batch)
    assert torch.equal(first, field(0.3, example.y, example.batch))
    assert_close(plain, first)
    after = snapshot(example)
    assert all(torch.equal(a, b) for a, b in zip(before[0], after[0], strict=True))
    assert all(torch.equal(a[k], b[k]) for a, b in zip(before[1], after[1], strict=True) for k in a)


@given(examples(), st.data())
def test_the_field_keeps_the_dtype(example, data):
    field = odegan.vector_field(example.game, data.draw(penalty_lists(example)), rates=(0.5, 2), clip=0.7)
    dy = field(torch.tensor(0.3, dtype=torch.float64), example.y, example.batch)
    assert (dy.dtype, dy.shape) == (example.dtype, example.y.shape)
    assert all(loss.dtype == example.dtype for loss in example.game.losses(example.y, example.batch))


@given(examples(), rates, st.data())
def test_rates_multiply_the_players_parts(example, rates, data):
    chosen = data.draw(penalty_lists(example, 1))
    one = odegan.vector_field(example.game, chosen)(0.0, example.y, example.batch)
    scaled = odegan.vector_field(example.game, chosen, rates=rates)(0.0, example.y, example.batch)
    parts = [rate * part for rate, part in zip(rates, example.parts(one), strict=True)]
    assert_close(scaled, torch.cat(parts))


@given(examples(), rates, st.floats(1e-3, 10), st.data())
def test_a_clip_bounds_each_players_norm_and_keeps_its_direction(example, rates, clip, data):
    chosen = data.draw(penalty_lists(example, 1))
    free = odegan.vector_field(example.game, chosen)(0.0, example.y, example.batch)
    clipped = odegan.vector_field(example.game, chosen, rates=rates, clip=clip)(0.0, example.y, example.batch)
    for rate, was, is_ in zip(rates, example.parts(free), example.parts(clipped), strict=True):
        norm = was.norm().item()
        assert_close(is_, was * (rate * min(1.0, clip / norm) if norm else rate))


@given(examples(double), st.data())
def test_penalties_add_up_in_any_order(example, data):
    chosen = [penalty(data.draw(penalty_names(example)), w) for w in (0.3, 0.7)]

    def field(given):
        return odegan.vector_field(example.game, given)(0.0, example.y, example.batch)

    free = field([])
    total = free + sum(field([one]) - free for one in chosen)
    assert_close(field(chosen), total, 1e5)
    assert_close(field(chosen[::-1]), total, 1e5)


@given(examples(double), weights, weights, st.data())
def test_the_field_is_linear_in_a_weight(example, one, other, data):
    name = data.draw(penalty_names(example))

    def pushed(weight):
        field = odegan.vector_field(example.game, [penalty(name, weight)])(0.0, example.y, example.batch)
        return field - odegan.vector_field(example.game)(0.0, example.y, example.batch)

    assert_close(pushed(one + other), pushed(one) + pushed(other), 1e5)
    assert_close(pushed(lambda t: one), pushed(one), 0)
    assert_close(pushed(torch.tensor(one, dtype=torch.float64)), pushed(one))


@given(networks(), seeds, st.data())
def test_the_order_of_a_batch_does_not_matter(example, seed, data):
    names = data.draw(st.lists(penalty_names(example).filter(lambda name: "chunks" not in name), max_size=2))
    if example.loss == "relativistic":  # it pairs real and generated samples as they come: both are permuted alike
        assert example.game.couples_batch is False
    field = odegan.vector_field(example.game, [penalty(name, 0.3) for name in names])
    order = torch.randperm(len(example.batch.real), generator=torch.Generator().manual_seed(seed))
    permuted = tree_map(lambda part: part[order], example.batch)
    assert_close(field(0.0, example.y, permuted), field(0.0, example.y, example.batch), 1e5)


@given(networks(), st.sampled_from([1, 2]), st.data())
def test_micro_batches_give_the_whole_batchs_step(example, size, data):
    names = st.lists(penalty_names(example).filter(lambda name: name != "truncation_error"), max_size=2)
    chosen = [penalty(name, 0.3) for name in data.draw(names) if "chunks" not in name]
    whole, parts = (
        odegan.Stepper(example.game, solver="heun2", step_size=0.1, penalties=chosen, clip=2.0, micro_batch=n)
        for n in (None, size)
    )
    (one, info), (other, divided) = (s.step(s.init(example.y), example.batch) for s in (whole, parts))
    assert_close(other.y, one.y, 1e5)
    assert_close(divided.losses, info.losses, 1e5)


@given(st.one_of(examples(), networks(norms=("batch",))), st.integers(1, 4), seeds, st.data())
def test_the_mapped_field_is_each_members(example, members, seed, data):
    field = odegan.vector_field(example.game, data.draw(penalty_lists(example)), clip=5.0)
    ys = example.y + 0.1 * normal(members, len(example.y), seed=seed, dtype=example.dtype)
    batches = map_batch(lambda x: x + 0.1 * normal(members, *x.shape, seed=seed, dtype=x.dtype), example.batch)
    mapped = torch.vmap(field, in_dims=(None, 0, None if batches is None else 0))(0.0, ys, batches)
    for e in range(members):
        assert_close(mapped[e], field(0.0, ys[e], map_batch(lambda x, e=e: x[e], batches)), 1e5)


@given(st.one_of(closed_form(double), networks(double)), seeds, st.data())
def test_a_directional_derivative_is_the_difference_quotients_limit(example, seed, data):
    """The field under torch.func: jvp and vjp agree with each other and with central differences."""
    chosen = data.draw(penalty_lists(example, 1))
    field = odegan.vector_field(example.game, chosen)
    u, w = (normal(len(example.y), seed=seed + i) for i in (0, 1))
    batch = complete_batch(example.game, example.y, example.batch)  # spectral norm's vectors are constants

    def at(y):
        return field(0.0, y, batch)

    _, forward = torch.func.jvp(at, (example.y,), (u,))
    backward = torch.func.vjp(at, example.y)[1](w)[0]
    assert_close(forward @ w, backward @ u, 1e6, scale=10.0)
    h = 1e-5
    quotient = (at(example.y + h * u) - at(example.y - h * u)) / (2 * h)
    torch.testing.assert_close(forward, quotient, rtol=1e-5, atol=1e-6 * (1 + forward.abs().max().item()))


@given(networks(norms=("none", "layer", "batch", "spectral")), seeds)
def test_modules_come_back_as_they_went_in(example, seed):
    y = example.game.init(seed=seed)
    assert torch.equal(y, example.game.init(seed=seed))
    again = odegan.gan(*example.game.modules(y), loss=example.loss)
    assert torch.equal(again.init(), y)
    assert torch.equal(torch.cat(example.game.split(y)), y)


@given(networks(dtypes, norms=("none", "layer")), seeds)
def test_modules_compute_what_the_game_does(example, seed):
    y = example.game.init(seed=seed)
    moved = example._replace(y=y, modules=example.game.modules(y))
    values, gradients, _ = by_hand(moved)
    assert_close(odegan.vector_field(example.game)(0.0, y, example.batch), -torch.cat(gradients).detach())
    assert_close(torch.stack(example.game.losses(y, example.batch)), torch.stack(values).detach())
