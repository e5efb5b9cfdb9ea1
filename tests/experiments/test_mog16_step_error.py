"""The error of a run's steps: of the solver's order, and the closed form of Euler's method."""

import math

import pytest
import torch
from torch import nn

pytest.importorskip("tyro")

from experiments.framework import mixture
from experiments.mog16.options import Mog16
from experiments.mog16.step_error import step_errors
from odegan import gan, vector_field

torch.set_num_threads(1)


def networks():
    """Smooth ones, so that the orders show, in float64."""

    def network(*sizes):
        return nn.Sequential(nn.Linear(sizes[0], sizes[1]), nn.Tanh(), nn.Linear(sizes[1], sizes[2])).double()

    return network(32, 8, 2), network(2, 8, 1)


@pytest.fixture(scope="module")
def game():
    return gan(*networks(), latent=32)


def states(game, members=3):
    return torch.stack([game.init(seed=seed) for seed in range(members)])[None]


def options(solver, step_size, **more):
    return Mog16(solver=solver, step_size=step_size, batch_size=32, **more)


@pytest.mark.parametrize("solver, order", [("euler", 1), ("heun2", 2), ("midpoint", 2), ("rk4_classic", 4)])
def test_errors_are_of_the_solvers_order(game, solver, order) -> None:
    """Relative to the step, of which the error is of order p + 1."""
    large, small = (step_errors(game, options(solver, h), states(game)) for h in (0.2, 0.1))
    assert (large / small).log2().mean() == pytest.approx(order, abs=0.25)


def test_eulers_error_is_the_closed_form(monkeypatch) -> None:
    """With z = y + h/2 f(y): 2 |f(y) - f(z)| / |f(y) + f(z)|, on one minibatch."""
    x = mixture.draw(32, torch.Generator().manual_seed(0)).double()
    latents = torch.randn(32, 32, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    monkeypatch.setattr(mixture, "draw", lambda n, generator: x)
    game = gan(*networks(), latent=lambda n, generator: latents)
    field = vector_field(game)
    y = game.init(seed=0)
    first = field(0.0, y, (x, latents))
    second = field(0.0, y + 0.15 * first, (x, latents))
    found = step_errors(game, options("euler", 0.3), y[None, None])
    assert float(found) == pytest.approx(2 * float((first - second).norm() / (first + second).norm()), rel=1e-9)


def test_what_has_no_error_is_nan(game) -> None:
    y = states(game)
    y[0, 1] = math.inf
    assert step_errors(game, options("euler", 0.1), y).isnan().tolist() == [[False, True, False]]
    for solver in ("alternating", "extragradient", "optimistic", "adam", "dopri5", "explicit_adams"):
        refresh = "never" if solver == "explicit_adams" else "step"
        assert step_errors(game, options(solver, 0.1, refresh=refresh, placement="field"), y).isnan().all()


def test_a_penalty_counts_in_the_field_alone(game) -> None:
    y = states(game)
    plain = step_errors(game, options("euler", 0.1, penalty=("none",)), y)
    after = step_errors(game, options("euler", 0.1, placement="after_step"), y)
    within = step_errors(game, options("euler", 0.1, placement="field"), y)
    assert torch.equal(plain, after)
    assert not torch.allclose(plain, within)
