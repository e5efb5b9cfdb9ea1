"""The particle flow: the game's closed forms, balances and invariances."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.optimize import linear_sum_assignment
from torch.func import jvp
from torchdiffeq import odeint

from odegan import ArgumentError, Batch, odeint_gan, spectrum, vector_field
from odegan.flows import (
    energy_features,
    fourier_features,
    gaussian_kernel,
    particle_game,
)
from odegan.utils.fingerprint import describe
from tests.flows.particle_cases import DATA, FEATURES, LAMBDA, both, closed_form, game_of, normal, state

# The game.


@both
def test_field_is_the_closed_form(name: str) -> None:
    game = game_of(name)
    y = state(game)
    w = y[: game.n_disc]
    x = game.particles(y)
    phi = FEATURES[name]
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
    phi = FEATURES[name]
    x = game.particles(y0)
    at = normal(4, 2, seed=9)
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
    phi = FEATURES[name]
    x = game.particles(y)
    witness = phi(DATA).mean(0) - phi(x).mean(0)
    product = (closed_form(name, witness, x) * closed_form(name, game.split(y)[0], x)).sum(1).mean()
    torch.testing.assert_close(measured, -product, rtol=0, atol=1e-12)


@both
def test_the_balance_of_the_norm_holds_along_the_run(name: str) -> None:
    """The power, integrated beside the flow by the same solver, is what |D|^2 / 2 gains."""
    game = game_of(name)
    field = vector_field(game)
    y0 = game.init()
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
    data = DATA[:4]
    phi = FEATURES[name]
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
    game = game_of(name)
    order = torch.tensor([3, 0, 4, 1, 2])
    y0 = state(game)
    moved = torch.cat([y0[: game.n_disc], game.particles(y0)[order].reshape(-1)])
    end, other = (odeint_gan(game, y, torch.tensor([0.0, 1.0]), solver="rk4", step_size=0.1).y for y in (y0, moved))
    torch.testing.assert_close(game.particles(end)[order], game.particles(other), rtol=0, atol=1e-12)
    torch.testing.assert_close(end[: game.n_disc], other[: game.n_disc], rtol=0, atol=1e-12)


def test_gaussian_flow_is_translation_invariant() -> None:
    shift = torch.tensor([10.0, -4.0])
    phi = FEATURES["fourier"]
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
    y = state(game)
    field = vector_field(game)
    torch.testing.assert_close(field(0.0, y, Batch(DATA)), field(0.0, y), rtol=0, atol=1e-13)
    assert not torch.allclose(field(0.0, y, Batch(DATA[:3])), field(0.0, y), atol=1e-3)
    torch.testing.assert_close(game.mmd(y, Batch(DATA)), game.mmd(y), rtol=0, atol=1e-13)
    t = torch.tensor([0.0, 1.0])
    keywords = {"solver": "rk4", "step_size": 0.1}
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
