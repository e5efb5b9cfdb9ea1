"""The particle flow: kernels and their features, the game's closed forms, balances, invariances, and its scheme."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
import torch
from scipy.optimize import linear_sum_assignment
from torch.func import jvp
from torchdiffeq import odeint

from odegan import ArgumentError, Batch, odeint_gan, spectrum, vector_field
from odegan.flows import (
    energy_features,
    energy_kernel,
    fourier_features,
    gaussian_kernel,
    minimizing_movement,
    particle_game,
)
from odegan.metrics import energy_distance, mmd, wasserstein2
from odegan.utils.fingerprint import describe

LAMBDA = 0.7


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


DATA = torch.cat([normal(6, 2), normal(6, 2, seed=1) + torch.tensor([3.0, 0.0])])
FEATURES = {
    "fourier": fourier_features(2, 20, 0.8, seed=3),
    "energy": energy_features(torch.cat([DATA, 4 * normal(8, 2, seed=2)]), softening=0.3),
}


def game_of(name: str, n: int = 5):
    return particle_game(DATA, FEATURES[name], n, decay=LAMBDA, start=lambda n, draw: 0.5 * normal(n, 2, seed=4))


def state(game, seed: int = 5) -> torch.Tensor:
    return torch.cat([normal(game.n_disc, seed=seed), normal(game.n_gen, seed=seed + 1)])


both = pytest.mark.parametrize("name", FEATURES)


# Kernels and features.


def test_fourier_features_tend_to_the_gaussian_kernel_like_one_over_root_m() -> None:
    x, counts = normal(30, 2), [64, 256, 1024, 4096]
    exact = gaussian_kernel(0.8)(x, x)
    errors = []
    for count in counts:
        made = [fourier_features(2, count, 0.8, seed) for seed in range(8)]
        errors.append(float(torch.stack([phi(x) @ phi(x).T - exact for phi in made]).square().mean().sqrt()))
    assert np.polyfit(np.log(counts), np.log(errors), 1)[0] == pytest.approx(-0.5, abs=0.05)
    assert all(error < 1 / math.sqrt(2 * count) for error, count in zip(errors, counts, strict=True))


def test_fourier_features_are_translation_invariant_and_of_length_one() -> None:
    phi, x, shift = FEATURES["fourier"], normal(7, 2), torch.tensor([3.0, -2.0])
    torch.testing.assert_close(phi(x + shift) @ phi(x + shift).T, phi(x) @ phi(x).T, rtol=0, atol=1e-13)
    torch.testing.assert_close(phi(x).square().sum(1), torch.ones(7).double(), rtol=0, atol=1e-14)


def test_fourier_mmd_tends_to_the_gaussian_kernels() -> None:
    x, y = normal(40, 2), normal(50, 2, seed=1) + 1
    phi = fourier_features(2, 20_000, 0.8)
    assert float((phi(x).mean(0) - phi(y).mean(0)).norm()) == pytest.approx(mmd(x, y, gaussian_kernel(0.8)), rel=0.02)


def test_energy_distance_is_the_same_far_from_the_origin() -> None:
    x, y, far = normal(100, 2), normal(100, 2, seed=1), 1e6
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
    x, y = 0.5 * normal(40, 2), 0.5 * normal(30, 2, seed=1) + 0.5
    exact, found = energy_distance(x, y) / math.sqrt(2), []
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
    x, y = normal(15, 2), normal(20, 2, seed=1) + 1
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
    x, y = normal(20, 1), normal(20, 1, seed=1) * 2 + 1
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


# The game.


def closed_form(name: str, w: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """grad D at the points x (n, d), without automatic differentiation."""
    phi = FEATURES[name]
    if name == "fourier":
        angles, (a, b) = x @ phi.frequencies.T, w.chunk(2)
        return (b * angles.cos() - a * angles.sin()) @ phi.frequencies / math.sqrt(len(phi.frequencies))
    weights = phi.inverse.T @ w

    def unit(u: torch.Tensor) -> torch.Tensor:
        return u / (u.square().sum(-1, keepdim=True) + phi.softening**2).sqrt()

    pulls = unit(x[:, None] - phi.anchor) - unit(x[:, None] - phi.landmarks)
    return (weights[:, None] * pulls).sum(1) / 2


@both
def test_field_is_the_closed_form(name: str) -> None:
    game = game_of(name)
    y = state(game)
    w, x, phi = y[: game.n_disc], game.particles(y), FEATURES[name]
    expected = phi(DATA).mean(0) - phi(x).mean(0) - LAMBDA * w
    found_d, found_g = game.split(vector_field(game)(0.0, y))
    torch.testing.assert_close(found_d, expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(found_g.view(5, 2), closed_form(name, w, x), rtol=0, atol=1e-12)
    torch.testing.assert_close(game.critic(w, x), phi(x) @ w, rtol=0, atol=0)


@both
def test_discriminator_of_the_flow_is_the_kernels_witness(name: str) -> None:
    """From D = 0 and with frozen particles, D(t) = (1 - e^(-lambda t)) / lambda (m_data - m_mu), in kernel values."""
    game = game_of(name)
    y0 = torch.cat([torch.zeros(game.n_disc), normal(game.n_gen, seed=4)])
    t = torch.tensor([0.0, 1.5])
    y = odeint_gan(game, y0, t, solver="dopri5", rtol=1e-12, atol=1e-12, rates=(1.0, 0.0)).y
    phi, x, at = FEATURES[name], game.particles(y0), normal(4, 2, seed=9)
    kernel = phi(at) @ torch.cat([phi(DATA), phi(x)]).T
    witness = kernel[:, : len(DATA)].mean(1) - kernel[:, len(DATA) :].mean(1)
    expected = (1 - math.exp(-1.5 * LAMBDA)) / LAMBDA * witness
    torch.testing.assert_close(game.critic(y[: game.n_disc], at), expected, rtol=0, atol=1e-10)


def power(game, y: torch.Tensor) -> torch.Tensor:
    return game.pairing(y) - LAMBDA * game.norm(y) ** 2


@both
def test_half_the_squared_norm_changes_as_derived(name: str) -> None:
    game = game_of(name)
    y = state(game)
    dy = vector_field(game)(0.0, y)
    _, measured = jvp(lambda y: game.norm(y) ** 2 / 2, (y,), (dy,))
    torch.testing.assert_close(measured, power(game, y), rtol=0, atol=1e-12)
    means = FEATURES[name](DATA).mean(0) @ game.split(y)[0] - game.critic(game.split(y)[0], game.particles(y)).mean()
    torch.testing.assert_close(game.pairing(y), means, rtol=0, atol=1e-12)


@both
def test_half_the_squared_mmd_changes_by_the_two_gradients(name: str) -> None:
    """d/dt MMD^2 / 2 = -(1/N) sum_i grad W(x_i) . grad D(x_i), with W = m_data - m_mu."""
    game = game_of(name)
    y = state(game)
    _, measured = jvp(lambda y: game.mmd(y) ** 2 / 2, (y,), (vector_field(game)(0.0, y),))
    phi, x = FEATURES[name], game.particles(y)
    witness = phi(DATA).mean(0) - phi(x).mean(0)
    product = (closed_form(name, witness, x) * closed_form(name, game.split(y)[0], x)).sum(1).mean()
    torch.testing.assert_close(measured, -product, rtol=0, atol=1e-12)


@both
def test_the_balance_of_the_norm_holds_along_the_run(name: str) -> None:
    """The power, integrated beside the flow by the same solver, is what |D|^2 / 2 gains."""
    game = game_of(name)
    field, y0 = vector_field(game), game.init()
    t = torch.linspace(0, 4, 9, dtype=torch.float64)

    def balanced(t: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        return torch.cat([field(t, z[:-1]), power(game, z[:-1])[None]])

    # The solver stops at every time: its interpolation is of lower order than its steps.
    tight = {"rtol": 1e-12, "atol": 1e-12, "options": {"step_t": t[1:]}}
    with torch.no_grad():
        z = odeint(balanced, torch.cat([y0, y0.new_zeros(1)]), t, method="dopri8", **tight)
    gained = torch.stack([game.norm(y) ** 2 / 2 for y in z[:, :-1]])
    assert gained.max() > 0.01
    torch.testing.assert_close(gained, z[:, -1], rtol=0, atol=1e-10)
    sol = odeint_gan(game, y0, t, solver="dopri8", **tight)
    torch.testing.assert_close(sol.ys, z[:, :-1], rtol=0, atol=1e-9)


@both
@pytest.mark.parametrize("rate", [1.0, 0.1])
def test_eigenvalues_where_the_cloud_is_the_data(name: str, rate: float) -> None:
    """-r lambda, and the roots of s^2 + r lambda s + r a with a the eigenvalues of J^T J / N."""
    data, phi = DATA[:4], FEATURES[name]
    game = particle_game(data, phi, 4, decay=LAMBDA)
    y = torch.cat([torch.zeros(game.n_disc), data.reshape(-1)])
    jacobian = torch.func.jacrev(lambda x: phi(x.view(4, 2)).sum(0))(data.reshape(-1))
    a = torch.linalg.eigvalsh(jacobian.T @ jacobian / 4).clamp(min=0)
    roots = torch.sqrt((rate * LAMBDA / 2) ** 2 - rate * a + 0j)
    pairs = torch.cat([-rate * LAMBDA / 2 + roots, -rate * LAMBDA / 2 - roots])
    expected = torch.cat([pairs, torch.full((game.n_disc - 8,), -rate * LAMBDA, dtype=pairs.dtype)])
    assert vector_field(game)(0.0, y).abs().max() < 1e-14
    found = spectrum(game, y, rates=(rate, 1.0)).eigenvalues
    cost = (found[:, None] - expected[None]).abs()
    assert cost[linear_sum_assignment(cost.numpy())].max() < 1e-10


@both
def test_particles_have_no_order(name: str) -> None:
    game, order = game_of(name), torch.tensor([3, 0, 4, 1, 2])
    y0 = state(game)
    moved = torch.cat([y0[: game.n_disc], game.particles(y0)[order].reshape(-1)])
    end, other = (odeint_gan(game, y, torch.tensor([0.0, 1.0]), solver="rk4", step_size=0.1).y for y in (y0, moved))
    torch.testing.assert_close(game.particles(end)[order], game.particles(other), rtol=0, atol=1e-12)
    torch.testing.assert_close(end[: game.n_disc], other[: game.n_disc], rtol=0, atol=1e-12)


def test_gaussian_flow_is_translation_invariant() -> None:
    shift, phi = torch.tensor([10.0, -4.0]), FEATURES["fourier"]
    ends = []
    for by in (torch.zeros(2), shift):
        game = particle_game(DATA + by, phi, 5, LAMBDA)
        y0 = torch.cat([torch.zeros(game.n_disc), (normal(5, 2, seed=4) + by).reshape(-1)])
        end = odeint_gan(game, y0, torch.tensor([0.0, 3.0]), solver="rk4", step_size=0.1).y
        ends.append(game.particles(end) - by)
    torch.testing.assert_close(ends[0], ends[1], rtol=0, atol=1e-11)


@both
@pytest.mark.parametrize("solver", ["euler", "heun2", "rk4", "dopri5", "bosh3", "implicit_adams"])
def test_any_solver_by_name(name: str, solver: str) -> None:
    game = game_of(name)
    t = torch.tensor([0.0, 1.0])
    reference = odeint_gan(game, game.init(), t, solver="dopri8", rtol=1e-11, atol=1e-11).y
    found = odeint_gan(game, game.init(), t, solver=solver, step_size=0.01 if solver in FIXED else None).y
    torch.testing.assert_close(found, reference, rtol=0, atol=LOOSE.get(solver, 2e-4))


LOOSE = {"euler": 2e-2, "bosh3": 2e-3}
FIXED = ("euler", "heun2", "rk4", "implicit_adams")


@both
def test_ensemble_is_its_members(name: str) -> None:
    game = game_of(name)
    y0 = torch.stack([state(game, seed) for seed in (1, 2, 3)])
    t = torch.tensor([0.0, 1.0])
    together = odeint_gan(game, y0, t, solver="rk4", step_size=0.1).y
    alone = torch.stack([odeint_gan(game, y, t, solver="rk4", step_size=0.1).y for y in y0])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-12)
    assert game.particles(together).shape == (3, 5, 2)


@both
def test_minibatches_see_the_batch_and_none_sees_all_the_data(name: str) -> None:
    game = game_of(name)
    y, field = state(game), vector_field(game)
    torch.testing.assert_close(field(0.0, y, Batch(DATA)), field(0.0, y), rtol=0, atol=1e-13)
    assert not torch.allclose(field(0.0, y, Batch(DATA[:3])), field(0.0, y), atol=1e-3)
    torch.testing.assert_close(game.mmd(y, Batch(DATA)), game.mmd(y), rtol=0, atol=1e-13)
    t, keywords = torch.tensor([0.0, 1.0]), {"solver": "rk4", "step_size": 0.1}
    whole = odeint_gan(game, y, t, **keywords).y
    every = odeint_gan(game, y, t, data=DATA, **keywords).y
    torch.testing.assert_close(every, whole, rtol=0, atol=1e-6)  # minibatches of a float32 draw's precision
    few = odeint_gan(game, y, t, data=DATA, batch_size=4, seed=1, **keywords).y
    assert 1e-3 < float((few - whole).norm()) < 2


def test_start_and_samples() -> None:
    game = particle_game(DATA, FEATURES["fourier"], 4)
    y = game.init(seed=3)
    assert torch.equal(y, game.init(seed=3))
    assert any(not torch.equal(y, game.init(seed=seed)) for seed in range(4, 9))
    assert float(game.norm(y)) == 0.0
    near = torch.cdist(game.particles(y), DATA).amin(1)
    assert near.max() == 0.0
    assert {tuple(x) for x in game.sample(y, 4).tolist()} == {tuple(x) for x in game.particles(y).tolist()}
    assert torch.bincount(torch.cdist(game.sample(y, 10), game.particles(y)).argmin(1)).tolist().count(2) == 2
    assert game.makes_fakes
    assert torch.equal(game.fake(game.split(y)[1]), game.particles(y))
    assert torch.equal(game.real(None), DATA)


def test_single_precision_runs() -> None:
    game = game_of("energy")
    end = odeint_gan(game, game.init().float(), torch.tensor([0.0, 1.0]), solver="rk4", step_size=0.1).y
    assert end.dtype == torch.float32
    reference = odeint_gan(game, game.init(), torch.tensor([0.0, 1.0]), solver="rk4", step_size=0.1).y
    torch.testing.assert_close(end.double(), reference, rtol=0, atol=1e-3)


def test_checkpoints_tell_features_apart() -> None:
    prints = [
        repr(describe(particle_game(DATA, phi, 4, decay)))
        for phi, decay in [
            (fourier_features(2, 5, 1.0), 1.0),
            (fourier_features(2, 5, 1.0, seed=1), 1.0),
            (fourier_features(2, 5, 2.0), 1.0),
            (FEATURES["energy"], 1.0),
            (fourier_features(2, 5, 1.0), 2.0),
        ]
    ]
    assert len(set(prints)) == len(prints)
    assert repr(describe(particle_game(DATA, fourier_features(2, 5, 1.0), 4, 1.0))) == prints[0]


PHI = FEATURES["fourier"]
WRONG = [
    (lambda: fourier_features(0, 5, 1.0), "dim: got 0"),
    (lambda: fourier_features(2, 0, 1.0), "count: got 0"),
    (lambda: fourier_features(2, 5, 0.0), "bandwidth: got 0.0"),
    (lambda: gaussian_kernel(-1.0), "bandwidth: got -1.0"),
    (lambda: energy_features(torch.zeros(1, 2)), "landmarks: got"),
    (lambda: energy_features(torch.zeros(3, 2)), "distinct points"),
    (lambda: energy_features(torch.tensor([[0.0], [math.nan]])), "finite"),
    (lambda: energy_features(DATA, -1.0), "softening: got -1.0"),
    (lambda: particle_game(DATA[0], PHI, 3), "data: got"),
    (lambda: particle_game(DATA[:, :1], PHI, 3), "features: got 2"),
    (lambda: particle_game(DATA, PHI, 0), "n_particles: got 0"),
    (lambda: particle_game(DATA, PHI, 13), "at most the number of data, 12"),
    (lambda: particle_game(DATA, PHI, 3, -1.0), "decay: got -1.0"),
    (lambda: particle_game(DATA, PHI, 3, start=lambda n, draw: torch.zeros(n)).init(), "start: got"),
]


@pytest.mark.parametrize("wrong, message", WRONG)
def test_wrong_arguments_are_one_line(wrong, message: str) -> None:
    with pytest.raises(ArgumentError) as error:
        wrong()
    assert message in str(error.value)
    assert "\n" not in str(error.value)


# The scheme.


def by_hand(name: str, y: torch.Tensor, tau: float, game) -> torch.Tensor:
    """One simultaneous step: D's in closed form, the particles' by fixed-point iteration u = x + tau grad D(u)."""
    w, x, phi = y[: game.n_disc], game.particles(y), FEATURES[name]
    new = (w + tau * (phi(DATA).mean(0) - phi(x).mean(0))) / (1 + tau * LAMBDA)
    u = x
    for _ in range(200):
        u = x + tau * closed_form(name, w, u)
    return torch.cat([new, u.reshape(-1)])


@both
def test_scheme_is_the_proximal_step_by_hand(name: str) -> None:
    game = game_of(name)
    y = torch.cat([0.3 * normal(game.n_disc, seed=5), normal(game.n_gen, seed=6)])
    expected = y
    found = minimizing_movement(game, y, 0.1, 3, tolerance=1e-12).ys
    for k in range(1, 4):
        expected = by_hand(name, expected, 0.1, game)
        torch.testing.assert_close(found[k], expected, rtol=0, atol=1e-10)


@both
def test_identity_is_the_optimal_coupling_of_a_step(name: str) -> None:
    """So that the step is proximal in Wasserstein-2 too; between clouds without labels the minimizers are the same."""
    game = game_of(name, n=12)
    y = torch.cat([normal(game.n_disc, seed=5), normal(game.n_gen, seed=6)])
    for tau in (0.02, 0.2):
        x, u = (game.particles(z) for z in minimizing_movement(game, y, tau, 1).ys)
        assert wasserstein2(x, u) == pytest.approx(float((x - u).square().sum(1).mean().sqrt()), rel=1e-12)


@both
def test_scheme_tends_to_the_flow_in_first_order(name: str) -> None:
    game = game_of(name)
    y0 = game.init()
    end = odeint_gan(game, y0, torch.tensor([0.0, 1.0]), solver="dopri5", rtol=1e-10, atol=1e-10).y
    taus = [0.1, 0.05, 0.025]
    errors = []
    for tau in taus:
        y = minimizing_movement(game, y0, tau, round(1 / tau)).y
        errors.append(wasserstein2(game.particles(y), game.particles(end)))
    assert np.polyfit(np.log(taus), np.log(errors), 1)[0] == pytest.approx(1.0, abs=0.1)
