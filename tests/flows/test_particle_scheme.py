"""The minimizing-movement scheme on particles."""

from __future__ import annotations

import pytest
import torch

from odegan import odeint_gan
from odegan.flows import (
    minimizing_movement,
)
from odegan.metrics import wasserstein2
from tests.convergence import log_slope
from tests.flows.particle_cases import DATA, FEATURES, LAMBDA, both, closed_form, game_of, normal


def by_hand(name: str, y: torch.Tensor, tau: float, game) -> torch.Tensor:
    """One simultaneous step: D's in closed form, the particles' by fixed-point iteration u = x + tau grad D(u)."""
    w = y[: game.n_disc]
    x = game.particles(y)
    phi = FEATURES[name]
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
    assert log_slope(taus, errors) == pytest.approx(1.0, abs=0.1)
