"""A projection is a discrete event of a run, between its steps."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from odegan import ArgumentError, Game, games, odeint_gan
from odegan.field.unrolling import unrolled
from odegan.games.closed_form.interval_union import isotonic
from tests.games.test_gmm_tv import double, draw


def ball() -> Game:
    """A rotation kept within the unit ball."""
    return Game(
        lambda d, g, batch: (d * g).sum(),
        lambda d, g, batch: -(d * g).sum(),
        1,
        1,
        project=lambda y: y / torch.linalg.vector_norm(y).clamp(min=1),
        name="ball",
    )


@pytest.mark.parametrize("solver", ["euler", "heun2", "rk4", "alternating", "adam"])
def test_projection_follows_every_fixed_step(solver: str) -> None:
    y0 = double(0.6, 0.8)
    h = 0.4
    solution = odeint_gan(ball(), y0, h * torch.arange(6.0), solver=solver, step_size=h)
    free = Game(ball().disc_loss, ball().gen_loss, 1, 1)
    if solver != "adam":  # whose moments a projection does not touch
        y = y0
        for k in range(5):
            y = ball().project(odeint_gan(free, y, double(k * h, (k + 1) * h), solver=solver, step_size=h).y)
            torch.testing.assert_close(solution.ys[k + 1], y, rtol=0, atol=1e-12)
    assert (solution.ys.norm(dim=1) <= 1 + 1e-12).all()


def test_projection_follows_every_interval_of_an_adaptive_solver() -> None:
    y0 = double(1.5, 0.0)
    solution = odeint_gan(ball(), y0, double(0.0, 0.5, 1.0), solver="dopri5", refresh=0.5, rtol=1e-9, atol=1e-9)
    expected = double(math.cos(0.5), math.sin(0.5))
    torch.testing.assert_close(solution.ys[1], expected, rtol=0, atol=1e-7)
    torch.testing.assert_close(solution.ys[2], double(math.cos(1), math.sin(1)), rtol=0, atol=1e-7)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"solver": "dopri5"}, "refresh: got None with the adaptive solver dopri5 .* or a game with a projection"),
        ({"solver": "dopri5", "refresh": math.inf}, "refresh: got inf with the adaptive solver dopri5"),
        ({"solver": "explicit_adams", "step_size": 0.1}, "with a game that has a projection between steps"),
        ({"solver": "scipy_solver"}, "with a game that has a projection between steps"),
    ],
)
def test_projection_refuses_one_call_of_torchdiffeq(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        odeint_gan(ball(), double(1.0, 0.0), double(0.0, 1.0), **arguments)


def test_projection_maps_over_members_and_compiles_with_the_step() -> None:
    game = games.gmm_tv(double(-0.5, 0.5))
    y0 = torch.cat([draw(3, 4).sort(-1).values, draw(3, 2, low=-1, high=1, seed=1)], dim=1)
    arguments: dict[str, Any] = {"solver": "heun2", "step_size": 0.5}
    together = odeint_gan(game, y0, double(0.0, 10.0), **arguments).y
    alone = torch.stack([odeint_gan(game, y, double(0.0, 10.0), **arguments).y for y in y0])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-13)
    compiled = odeint_gan(game, y0, double(0.0, 10.0), compile="eager", **arguments).y
    torch.testing.assert_close(together, compiled, rtol=0, atol=1e-13)


def test_an_unrolled_game_projects_between_its_inner_steps() -> None:
    game = games.gmm_tv(double(-0.5, 0.5))
    ends = double(-2.0, 1.9, 1.95, 2.5)
    mu = double(-0.3, 1.9)
    h = 1.0
    by_hand = ends
    for _ in range(4):
        by_hand = isotonic(by_hand - h * game.gradients(by_hand, mu)[0])
    torch.testing.assert_close(unrolled(game, 4, h).ahead(ends, mu), by_hand, rtol=0, atol=1e-14)  # type: ignore[attr-defined]
