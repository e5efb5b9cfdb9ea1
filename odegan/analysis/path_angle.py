"""The path angle: the direction of the training field along the segment between two states."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch

from odegan.analysis.state import check_state, complete_batch
from odegan.field.ensemble import Time
from odegan.field.training_field import Penalty
from odegan.field.vector_field import vector_field
from odegan.games.batch import BatchLike
from odegan.games.game import Game, check_game
from odegan.solvers.rates import Rates
from odegan.utils.ambient import unaffected
from odegan.utils.checks import argument_error, check_int, check_number


class PathAngle(NamedTuple):
    """positions (n,): 0 at the start and 1 at the end; cosines (n,), nan where the field vanishes; norms (n,) of the field."""

    positions: torch.Tensor
    cosines: torch.Tensor
    norms: torch.Tensor


@unaffected
def path_angle(
    game: Game,
    start: torch.Tensor,
    end: torch.Tensor,
    n: int = 101,
    batch: BatchLike = None,
    *,
    penalties: Sequence[Penalty] = (),
    rates: Rates = (1.0, 1.0),
    span: tuple[float, float] = (0.0, 1.0),
    t: Time = 0.0,
) -> PathAngle:
    """cos angle(f(y_s), end - start) and |f(y_s)| at n points y_s = start + s (end - start), s over ``span``.

    At an attractor without rotation near s = 1 the cosine jumps from 1 to -1; rotation shows as a bump there, where the norm of
    the field is small. Use span=(0.0, 1.2) to look beyond the end.

    Args:
        game: the game.
        start: (P,), the earlier of two states of one run, for instance ``sol.ys[0]``.
        end: (P,), the later one, for instance ``sol.y``.
        n: number of points, >= 2.
        batch: the field's batch, the same at every point. If it has no buffers, spectral norm's u and v are converged at each
            point.
        penalties: those of the field.
        rates: those of the field.
        t: the time at which the field is evaluated.
        span: the first and the last position.

    Returns:
        ``PathAngle``: positions (n,), 0 at the start and 1 at the end; cosines (n,), nan where the field vanishes; and norms
        (n,) of the field.

    Raises:
        ArgumentError: a wrong argument.

    Source: Berard et al. 2020 (arXiv 1906.04848), section 4, whose "path-angle" is the angle's cosine.

    Examples:
        >>> import odegan
        >>> down = odegan.games.quadratic(-torch.eye(2))
        >>> path_angle(down, torch.tensor([1.0, 1.0]), torch.zeros(2), n=3, span=(0.0, 2.0)).cosines
        tensor([ 1., nan, -1.])
    """
    check_game(game)
    start = check_state("start", game, start)
    end = check_state("end", game, end).to(start)
    n = check_int("n", n, low=2)
    if not isinstance(span, tuple | list) or len(span) != 2:
        argument_error("span", span, "a pair (first position, last position)")
    first, last = (check_number("span", s) for s in span)
    direction = end - start
    length = torch.linalg.vector_norm(direction)
    if not bool(length > 0):
        argument_error("end", end, "a state other than the start")
    field = vector_field(game, penalties, rates=rates)
    positions = torch.linspace(first, last, n, dtype=start.dtype, device=start.device)
    cosines = []
    norms = []
    with torch.no_grad():
        for position in positions:
            y = start + position * direction
            # At each point its own vectors: at those of the end point the field would be another one elsewhere.
            dy = field(t, y, complete_batch(game, y, batch))
            norms.append(torch.linalg.vector_norm(dy))
            cosines.append((dy @ direction / (norms[-1] * length)).clamp(-1, 1))
    return PathAngle(positions, torch.stack(cosines), torch.stack(norms))
