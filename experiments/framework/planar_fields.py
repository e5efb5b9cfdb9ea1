"""Fields in the plane that several experiments integrate and draw."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

import torch

from experiments.framework.endings import finished
from odegan import Game, odeint_gan, solvers, vector_field
from odegan.penalties import Penalty

Players = Literal["joint", "frozen"]


def rotation_matrix(a: float, b: float) -> torch.Tensor:
    """-a I + b J, (2, 2) float64: the linear field that damps by a and rotates by b."""
    return torch.tensor([[-a, -b], [b, -a]], dtype=torch.float64)


def path(
    game: Game,
    solver: str,
    t: torch.Tensor,
    step_size: float,
    penalties: Sequence[Penalty] = (),
    players: Players = "joint",
) -> torch.Tensor:
    """States (T, 2) at the times t (T,), starting from (1, 0), on the device of t; inf once the run is non-finite."""
    h = None if solvers.get(solver).adaptive else step_size
    start = torch.tensor([1.0, 0.0], dtype=torch.float64, device=t.device)
    solution = odeint_gan(
        game, start, t, solver=solver, step_size=h, penalties=penalties, players=players, on_nonfinite="stop"
    )
    reached = finished(solution).ys
    # Padded, so that every path has the same times; inf draws as a gap.
    return torch.cat([reached, reached.new_full((len(t) - len(reached), 2), math.inf)])


def arrows(game: Game, penalties: Sequence[Penalty]) -> Callable[[torch.Tensor], torch.Tensor]:
    """The field as a function of points (n, 2)."""
    field = vector_field(game, penalties)
    return torch.vmap(lambda y: field(0.0, y.double()))
