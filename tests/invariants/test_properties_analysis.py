"""Spectra, stable steps and minibatches: against dense matrices, searches by hand, and counting."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

import odegan
from odegan.data.minibatches import Minibatches
from odegan.data.replay import Replay
from tests.strategies import closed_form, double, linear_games, networks, normal, penalty_lists, rates, seeds

STABLE = st.sampled_from(odegan.solvers.stability.names())


def matched(a, b, tolerance):
    """Whether two sets of complex numbers agree, each number with the nearest one that is left."""
    left = list(b)
    for value in a:
        nearest = min(range(len(left)), key=lambda i, value=value: abs(left[i] - value))
        if abs(left.pop(nearest) - value) > tolerance:
            return False
    return True


@given(st.one_of(closed_form(double), networks(double, ("none", "layer", "batch"))), rates, st.data())
def test_the_spectrum_is_that_of_the_dense_jacobian(example, rates, data):
    """The Jacobian by central differences of the field, of fourth order."""
    assume(example.loss != "hinge")  # whose field jumps where D's output is 1 or -1
    chosen = data.draw(penalty_lists(example, 1))
    field = odegan.vector_field(example.game, chosen, rates=rates)
    h = 1e-3

    def difference(e):
        values = [field(0.0, example.y + s * h * e, example.batch) for s in (-2, -1, 1, 2)]
        return (values[0] - 8 * values[1] + 8 * values[2] - values[3]) / (12 * h)

    with torch.no_grad():
        dense = torch.stack([difference(e) for e in torch.eye(len(example.y), dtype=torch.float64)], dim=1)
    eig = odegan.spectrum(example.game, example.y, example.batch, penalties=chosen, rates=rates).eigenvalues
    power = [torch.linalg.matrix_power(dense, k).trace().item() for k in (1, 2, 3)]
    size = torch.linalg.matrix_norm(
        dense
    ).item()  # sums of powers do not feel how ill-conditioned single eigenvalues are
    for k, trace in enumerate(power, start=1):
        assert eig.pow(k).sum().item() == pytest.approx(trace, abs=1e-4 * (1 + size) ** k)


@given(linear_games())
def test_the_spectrum_of_a_linear_game_is_its_matrixs(linear):
    game, A, y = linear
    eig = odegan.spectrum(game, y)
    values = np.linalg.eigvals(A.numpy())
    assert matched(values, eig.eigenvalues.tolist(), 1e-6)
    kept = values[abs(values) > eig.tol * abs(values).max()]
    assert eig.conditioning_factor == pytest.approx(abs(kept).max() / abs(kept).min(), rel=1e-4)
    if (abs(kept.real) > 1e-6).all():
        assert eig.phase_factor == pytest.approx((abs(kept.imag) / abs(kept.real)).max(), rel=1e-3, abs=1e-6)


@given(seeds, st.integers(8, 14), st.integers(1, 3), st.sampled_from(["modulus", "real"]))
def test_a_partial_spectrum_is_the_head_of_the_whole_one(seed, size, k, which):
    A = normal(size, size, seed=seed)
    whole = torch.linalg.eigvals(A)
    measure = {"modulus": whole.abs(), "real": whole.real}[which]
    partial = odegan.spectrum(odegan.games.quadratic(A), normal(size, seed=seed), k=k, which=which)
    found = {"modulus": partial.eigenvalues.abs(), "real": partial.eigenvalues.real}[which]
    assert len(found) == k
    torch.testing.assert_close(found, measure.sort(descending=True).values[:k], rtol=1e-5, atol=1e-6)
    assert math.isnan(partial.conditioning_factor)


complexes = st.tuples(st.floats(0.05, 3), st.floats(0, math.pi)).map(
    lambda polar: complex(polar[0] * math.cos(polar[1]), polar[0] * math.sin(polar[1]))
)


@given(STABLE, complexes, st.floats(0.1, 10))
def test_the_largest_stable_step(solver, value, factor):
    """Found again by walking along the ray; it scales like time."""
    R = odegan.stability_function(solver)
    h = odegan.max_stable_step([value, value.conjugate()], solver)
    if h == 0:
        first = [R(torch.tensor(x * value, dtype=torch.complex128)).abs().item() for x in (0.02, 0.05)]
        assert max(first) > 1 - 1e-9
        return
    at = torch.linspace(0, 1, 101, dtype=torch.float64)[1:-1] * h * value
    inside = R(at).abs()
    assert inside.max() <= 1 + 1e-9
    if math.isfinite(h):
        beyond = R(torch.tensor([1.001, 1.01], dtype=torch.float64) * h * value)
        assert beyond.abs().max() > 1
        scaled = odegan.max_stable_step([factor * value], solver)
        assert scaled == pytest.approx(h / factor, rel=1e-6)


@given(STABLE, complexes)
def test_the_stability_function_is_the_exponential_to_its_order(solver, value):
    R = odegan.stability_function(solver)
    order = odegan.solvers.get(solver).order or 1
    z = torch.tensor(value, dtype=torch.complex128)
    errors = [(R(z * s) - torch.exp(z * s)).abs().item() for s in (0.02, 0.01)]
    bound = 1e-13 + 3 * (0.02 * abs(value)) ** (order + 1)
    assert errors[0] <= bound
    if errors[0] > 1e-11:
        assert errors[1] <= errors[0] / 2 ** (order + 0.8)


# Minibatches.
def minibatches(n, size, seed, ranks=None):
    return Minibatches(
        torch.arange(n, dtype=torch.float64)[:, None], 2, size, seed, torch.empty(0, dtype=torch.float64), ranks
    )


@given(st.integers(1, 30), st.integers(1, 12), seeds, st.integers(1, 4))
def test_every_epoch_takes_each_sample_once(n, size, seed, epochs):
    source = minibatches(n, size, seed)
    count = math.ceil(epochs * n / size)
    order = list(range(count))
    drawn = {i: source(i) for i in order[::-1]}  # in any order: a minibatch is a function of (seed, index)
    rows = torch.cat([drawn[i].real.flatten() for i in order])
    for epoch in range(epochs):
        assert sorted(rows[epoch * n : (epoch + 1) * n].tolist()) == list(range(n))
    again = minibatches(n, size, seed)(count - 1)
    assert torch.equal(again.real, drawn[count - 1].real)
    assert torch.equal(again.latent, drawn[count - 1].latent)


@given(st.integers(1, 30), st.integers(1, 4), st.integers(1, 4), seeds, st.integers(0, 40))
def test_the_processes_parts_are_the_whole_batch(n, size, ranks, seed, index):
    whole = minibatches(n, ranks * size, seed)(index)
    parts = [minibatches(n, ranks * size, seed, SimpleNamespace(rank=r, size=ranks))(index) for r in range(ranks)]
    for name in ("real", "latent"):
        assert torch.equal(torch.cat([getattr(part, name) for part in parts]), getattr(whole, name))


@given(st.integers(1, 5), st.integers(1, 6), seeds, st.integers(0, 30))
def test_replay_slots_are_distinct_and_filled(capacity, size, seed, index):
    replay = Replay(capacity)
    written, read = replay.slots(seed, index, size).transpose(0, 1)
    filled = min(index + 1, capacity) * size
    for slots in (*written, *read):
        assert len(set(slots.tolist())) == size
        assert 0 <= slots.min() <= slots.max() < filled
    assert torch.equal(replay.slots(seed, index, size), replay.slots(seed, index, size))
