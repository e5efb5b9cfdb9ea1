"""f is pure and composes with torch.func and torch.compile; ensembles are single runs."""

import itertools
import math
from functools import cache, partial

import pytest
import torch
from torch.func import jacfwd, jacrev, jvp

import odegan
from odegan.field.training_field import TrainingField
from tests.peers import ADAMS, ADAPTIVE, BACKENDS, BASELINES, FIXED, always, compiles, draw, networks

PENALTY = odegan.penalties.generator_gradient(0.3)
H = 0.1
SPAN = [0.0, 0.13, 0.35]
MEMBERS = 3
POOL = draw(64)[0]


@cache
def game():
    return odegan.gan(*networks())


@cache
def starts():
    return torch.stack([game().init(seed=s) for s in range(MEMBERS)])


def compare(arguments, seeds, tolerance):
    """An ensemble beside its members' single runs, each with its own minibatches."""
    options = {"data": POOL, "latent": 3, "batch_size": 8} | arguments
    y0 = starts()
    together = odegan.odeint_gan(game(), y0, SPAN, seed=seeds, **options)
    each = seeds if isinstance(seeds, list) else [seeds + e for e in range(MEMBERS)]
    alone = [odegan.odeint_gan(game(), y0[e], SPAN, seed=seed, **options) for e, seed in enumerate(each)]
    torch.testing.assert_close(together.ys, torch.stack([sol.ys for sol in alone], 1), rtol=0, atol=tolerance)
    assert together.ys.shape == (len(SPAN), MEMBERS, game().n_params)
    assert (together.y - y0).norm(dim=-1).min() > 1e-4
    return together, alone


def solver_arguments(solver, still=False):
    if solver in ADAPTIVE:
        loose = (
            {"rtol": 1e-5, "atol": 1e-7} if solver in ("adaptive_heun", "fehlberg2") else {"rtol": 1e-8, "atol": 1e-10}
        )
        return {"solver": solver, "refresh": math.inf if still else 0.2} | loose
    return {"solver": solver, "step_size": H} | ({"refresh": math.inf} if still or solver in ADAMS else {})


def limit(solver):
    if solver in ("implicit_adams", "fixed_adams"):
        return 1e-6  # members share the number of corrector iterations, which ends at the tolerance
    return {"adaptive_heun": 1e-4, "fehlberg2": 1e-2, "bosh3": 1e-5}.get(solver, 1e-7) if solver in ADAPTIVE else 1e-12


@pytest.mark.parametrize("solver", [*FIXED, *ADAPTIVE, *ADAMS, *BASELINES])
def test_ensembles_of_every_solver(solver):
    sol, alone = compare(solver_arguments(solver), 5, limit(solver))
    if solver not in ADAPTIVE:
        torch.testing.assert_close(sol.stats["losses"], torch.stack([one.stats["losses"] for one in alone], 1))
        torch.testing.assert_close(sol.stats["field_norm"], torch.stack([one.stats["field_norm"] for one in alone], 1))
        assert sol.stats["nfe"] == alone[0].stats["nfe"]


@pytest.mark.parametrize("players", ["joint", "frozen"])
@pytest.mark.parametrize("placement", ["field", "after_step", "first_stage"])
@pytest.mark.parametrize("refresh", [None, "stage", 0.2, math.inf])
@pytest.mark.parametrize("solver", ["heun2", "dopri5"])
def test_ensembles_of_every_combination(solver, refresh, placement, players):
    base = solver_arguments(solver) | {"refresh": refresh, "penalties": [PENALTY], "placement": placement}
    refused = solver == "dopri5" and (
        refresh in (None, "stage")
        or placement == "first_stage"
        or (refresh == math.inf and (placement, players) != ("field", "joint"))
    )
    if refused:
        with pytest.raises(odegan.ArgumentError):
            compare(base | {"players": players}, 0, 1)
    else:
        compare(base | {"players": players}, [7, 0, 3], limit(solver))


def test_members_differ():
    """Same starting point, other minibatches: members are not copies of one run."""
    y0 = starts()[:1].expand(MEMBERS, -1)
    sol = odegan.odeint_gan(game(), y0, SPAN, data=POOL, latent=3, batch_size=8, solver="euler", step_size=H)
    assert torch.pdist(sol.y).min() > 1e-4


@pytest.mark.parametrize(
    "solver, options", [("adam", {"alternating": True, "disc_steps": 2}), ("alternating", {"disc_steps": 2})]
)
def test_ensembles_of_baselines_with_options(solver, options):
    compare({"solver": solver, "step_size": 0.02, "options": options, "penalties": [PENALTY], "clip": 0.5}, 1, 1e-12)


def quick_and_slow(cases, quick):
    """The cases, all but the quick ones marked slow: tracing takes seconds each."""
    return [pytest.param(*case, marks=[] if quick(*case) else pytest.mark.slow) for case in cases]


FIELDS = {"plain": {}, "penalized": {"penalties": [PENALTY]}, "scaled": {"rates": (2.0, 0.5), "clip": 0.1}}


def field_of(which, own=None):
    return odegan.vector_field(own or game(), **FIELDS[which])


@pytest.mark.parametrize("which", FIELDS)
def test_f_is_pure(which):
    pair = networks()
    own = odegan.gan(*pair)
    kept = [p for module in pair for p in [*module.parameters(), *module.buffers()]]
    field = field_of(which, own)
    y = own.init()
    batch = odegan.Batch(*draw())
    tensors = [*kept, y, batch.real, batch.latent]
    before = [x.detach().clone() for x in tensors]
    random_state = torch.get_rng_state()
    values = [field(0.0, y, batch) for _ in range(2)]
    with torch.no_grad():
        plain = [field(0.0, y, batch) for _ in range(2)]
    assert torch.equal(*values)
    assert torch.equal(*plain)
    torch.testing.assert_close(plain[0], values[0].detach())  # where nothing differentiates it, in fewer passes
    assert all(torch.equal(old, new) for old, new in zip(before, tensors, strict=True))
    assert torch.equal(random_state, torch.get_rng_state())
    assert all(p.grad is None for p in kept)
    assert all(p.requires_grad for p in kept)


def test_runs_leave_modules_and_random_state_alone():
    pair = networks()
    before = [p.detach().clone() for m in pair for p in m.parameters()]
    random_state = torch.get_rng_state()
    own = odegan.gan(*pair)
    y0 = own.init()
    start = y0.clone()
    odegan.odeint_gan(own, y0, SPAN, data=POOL, batch_size=8, solver="heun2", step_size=H, penalties=[PENALTY])
    own.init(seed=3), own.sample(y0, 4)
    assert all(torch.equal(a, b) for a, b in zip(before, (p for m in pair for p in m.parameters()), strict=True))
    assert torch.equal(random_state, torch.get_rng_state())
    assert torch.equal(start, y0)


@pytest.mark.parametrize("which", FIELDS)
def test_derivatives_of_f(which):
    field = field_of(which)
    y = game().init()
    batch = draw()

    def at(state):
        return field(0.0, state, batch)

    basis = torch.eye(len(y), dtype=y.dtype)
    small = 1e-6
    differences = torch.stack([(at(y + small * e) - at(y - small * e)) / (2 * small) for e in basis], 1)
    reverse = jacrev(at)(y)
    forward = jacfwd(at)(y)
    torch.testing.assert_close(reverse, differences, rtol=0, atol=1e-8)
    torch.testing.assert_close(forward, reverse, rtol=0, atol=1e-12)
    direction = torch.linspace(-1, 1, len(y), dtype=y.dtype)
    value, tangent = jvp(at, (y,), (direction,))
    torch.testing.assert_close(tangent, reverse @ direction, rtol=0, atol=1e-12)
    torch.testing.assert_close(value, at(y), rtol=0, atol=0)


@pytest.mark.parametrize("which", FIELDS)
def test_f_under_vmap(which):
    field = field_of(which)
    y = starts()
    batches = [draw(seed=s) for s in range(MEMBERS)]
    stacked = tuple(torch.stack(parts) for parts in zip(*batches, strict=True))
    expected = torch.stack([field(0.0, one, batch) for one, batch in zip(y, batches, strict=True)])
    for seen in (stacked, odegan.Batch(*stacked)):
        torch.testing.assert_close(torch.vmap(field, (None, 0, 0))(0.0, y, seen), expected, rtol=0, atol=1e-14)
    shared = torch.stack([field(0.0, one, batches[0]) for one in y])
    torch.testing.assert_close(torch.vmap(field, (None, 0, None))(0.0, y, batches[0]), shared, rtol=0, atol=1e-14)


QUICK_FIELDS = {("penalized", 2, odegan.Batch), ("plain", 2, None), ("plain", 0, odegan.Batch), ("scaled", 0, None)}


@compiles
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    "which, members, kind",
    quick_and_slow(itertools.product(FIELDS, [0, 2], [None, odegan.Batch]), lambda *case: case in QUICK_FIELDS),
)
def test_f_under_compile(which, members, kind, backend):
    def wrap(pair):
        return tuple(pair) if kind is None else kind(*pair)

    torch.compiler.reset()
    field = field_of(which)
    if members:
        field = torch.vmap(field, in_dims=(None, 0, 0))
        y = starts()[:members]
        batch = wrap([torch.stack([part] * members) for part in draw()])
    else:
        y = starts()[0]
        batch = wrap(draw())
    compiled = torch.compile(field, fullgraph=True, backend=backend)
    t = torch.zeros((), dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(compiled(t, y, batch), field(t, y, batch), rtol=0, atol=1e-14)


@pytest.mark.parametrize("part", ["joint", "disc", "gen", "penalty"])
@pytest.mark.parametrize("which", FIELDS)
def test_both_ways_of_differentiating_agree_to_the_bit(which, part, monkeypatch):
    calls = []
    transform = torch.func.vjp
    monkeypatch.setattr(torch.func, "vjp", lambda *a, **k: calls.append(1) or transform(*a, **k))
    own = odegan.gan(*networks())
    field = TrainingField(own, **({"penalties": [PENALTY]} | FIELDS[which]))
    function = {
        "joint": field,
        "disc": partial(field.player, "disc"),
        "gen": partial(field.player, "gen"),
    }.get(part, field.penalty)
    y = own.init()
    batch = odegan.Batch(*draw())
    with torch.no_grad():
        plain = function(0.0, y, batch)
    assert not calls
    transformed = function(0.0, y.clone().requires_grad_(), batch)
    assert calls
    pairs = zip(plain, transformed, strict=True) if isinstance(plain, tuple) else [(plain, transformed)]
    for a, b in pairs:
        assert torch.equal(a, b)
        assert not a.requires_grad
        assert b.requires_grad


def test_a_fixed_batch_through_infinite_refresh_is_one_batch():
    batch = draw()
    field = odegan.vector_field(game())
    sol = odegan.odeint_gan(
        game(), starts()[0], [0.0, H], **always(batch), refresh=math.inf, solver="euler", step_size=H
    )
    expected = starts()[0] + H * field(0.0, starts()[0], batch)
    torch.testing.assert_close(sol.y, expected, rtol=0, atol=1e-15)
