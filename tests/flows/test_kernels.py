"""Kernels, their finite features, and the distances of samples as distributions."""

from __future__ import annotations

import math

import pytest
import scipy.stats
import torch

from odegan import ArgumentError, odeint_gan
from odegan.flows import (
    energy_features,
    energy_kernel,
    fourier_features,
    gaussian_kernel,
    particle_game,
)
from odegan.metrics import energy_distance, mmd, wasserstein2
from tests.convergence import log_slope
from tests.flows.particle_cases import DATA, FEATURES, normal

# Kernels and features.


def test_fourier_features_tend_to_the_gaussian_kernel_like_one_over_root_m() -> None:
    x = normal(30, 2)
    counts = [64, 256, 1024, 4096]
    exact = gaussian_kernel(0.8)(x, x)
    errors = []
    for count in counts:
        made = [fourier_features(2, count, 0.8, seed) for seed in range(8)]
        errors.append(float(torch.stack([phi(x) @ phi(x).T - exact for phi in made]).square().mean().sqrt()))
    assert log_slope(counts, errors) == pytest.approx(-0.5, abs=0.05)
    assert all(error < 1 / math.sqrt(2 * count) for error, count in zip(errors, counts, strict=True))


def test_fourier_features_are_translation_invariant_and_of_length_one() -> None:
    phi = FEATURES["fourier"]
    x = normal(7, 2)
    shift = torch.tensor([3.0, -2.0])
    torch.testing.assert_close(phi(x + shift) @ phi(x + shift).T, phi(x) @ phi(x).T, rtol=0, atol=1e-13)
    torch.testing.assert_close(phi(x).square().sum(1), torch.ones(7).double(), rtol=0, atol=1e-14)


def test_fourier_mmd_tends_to_the_gaussian_kernels() -> None:
    x = normal(40, 2)
    y = normal(50, 2, seed=1) + 1
    phi = fourier_features(2, 20_000, 0.8)
    assert float((phi(x).mean(0) - phi(y).mean(0)).norm()) == pytest.approx(mmd(x, y, gaussian_kernel(0.8)), rel=0.02)


def test_energy_distance_is_the_same_far_from_the_origin() -> None:
    x = normal(100, 2)
    y = normal(100, 2, seed=1)
    far = 1e6
    assert energy_distance(x + far, y + far) == pytest.approx(energy_distance(x, y), rel=1e-8)


def test_energy_features_are_exact_on_their_landmarks() -> None:
    z = normal(12, 2)
    phi = energy_features(z)
    exact = energy_kernel(z[0])(z, z)
    torch.testing.assert_close(phi(z) @ phi(z).T, exact, rtol=0, atol=1e-12)
    torch.testing.assert_close(phi.kernel(z, z), exact, rtol=0, atol=0)
    gap = float((phi(z[:5]).mean(0) - phi(z[5:]).mean(0)).norm())
    assert gap == pytest.approx(energy_distance(z[:5], z[5:]) / math.sqrt(2), rel=1e-10)


@pytest.mark.parametrize("softening, within", [(0.0, 0.02), (0.05, 0.03)])
def test_energy_features_approach_the_energy_distance_from_below(softening: float, within: float) -> None:
    x = 0.5 * normal(40, 2)
    y = 0.5 * normal(30, 2, seed=1) + 0.5
    exact = energy_distance(x, y) / math.sqrt(2)
    found = []
    for k in (4, 8, 16):
        line = torch.linspace(-3, 3, k, dtype=torch.float64)
        phi = energy_features(torch.cartesian_prod(line, line), softening)
        found.append(float((phi(x).mean(0) - phi(y).mean(0)).norm()))
    assert found[0] < found[2] < exact
    assert found[2] == pytest.approx(exact, rel=within)


def test_softened_distance_is_positive_definite_and_tends_to_the_distance() -> None:
    x = normal(20, 2)
    for softening in (0.0, 0.01, 1.0, 100.0):
        k = energy_kernel(x[0], softening)(x[1:], x[1:])
        assert torch.linalg.eigvalsh(k)[0] > -1e-9 * k.trace()
    torch.testing.assert_close(energy_kernel(x[0], 1e-9)(x, x), energy_kernel(x[0])(x, x), rtol=0, atol=1e-8)


@pytest.mark.parametrize("anchor", [torch.zeros(2), torch.tensor([5.0, -1.0])])
def test_energy_mmd_has_no_anchor(anchor: torch.Tensor) -> None:
    x = normal(15, 2)
    y = normal(20, 2, seed=1) + 1
    assert mmd(x, y, energy_kernel(anchor)) == pytest.approx(energy_distance(x, y) / math.sqrt(2), rel=1e-12)


def test_energy_flow_does_not_depend_on_which_landmark_is_first() -> None:
    z = torch.cat([DATA, 4 * normal(8, 2, seed=2)])
    one, other = (particle_game(DATA, energy_features(points, 0.3), 5) for points in (z, z.roll(7, 0)))
    ends = []
    for game in (one, other):
        y0 = torch.cat([torch.zeros(game.n_disc), normal(10, seed=4)])
        ends.append(odeint_gan(game, y0, torch.tensor([0.0, 2.0]), solver="rk4", step_size=0.1).y)
    torch.testing.assert_close(one.particles(ends[0]), other.particles(ends[1]), rtol=0, atol=1e-11)
    torch.testing.assert_close(one.mmd(ends[0]), other.mmd(ends[1]), rtol=0, atol=1e-11)


# Distances of laws.


def test_distances_agree_with_scipy_on_the_line() -> None:
    x = normal(20, 1)
    y = normal(20, 1, seed=1) * 2 + 1
    reference = scipy.stats.energy_distance(x[:, 0].numpy(), y[:, 0].numpy())
    assert energy_distance(x, y) == pytest.approx(reference, rel=1e-12)
    sorted_apart = (x.sort(0).values - y.sort(0).values).square().mean().sqrt()
    assert wasserstein2(x, y) == pytest.approx(float(sorted_apart), rel=1e-12)


def test_wasserstein_of_a_shift_is_its_length_and_of_a_permutation_nothing() -> None:
    x = normal(20, 3)
    assert wasserstein2(x, x[torch.randperm(20)] + torch.tensor([2.0, 1.0, 2.0])) == pytest.approx(3.0, rel=1e-12)
    assert wasserstein2(x, x.flip(0)) == 0.0


@pytest.mark.parametrize("measure", [energy_distance, wasserstein2, lambda x, y: mmd(x, y, gaussian_kernel(1.0))])
def test_distances_refuse_what_is_no_pair_of_samples(measure) -> None:
    with pytest.raises(ArgumentError, match="x: got"):
        measure(torch.zeros(3), torch.zeros(3, 1))
    with pytest.raises(ArgumentError, match="y: got"):
        measure(torch.zeros(3, 2), torch.zeros(3, 1))


def test_wasserstein_needs_equal_numbers() -> None:
    with pytest.raises(ArgumentError, match="as many points"):
        wasserstein2(torch.zeros(3, 1), torch.zeros(4, 1))
