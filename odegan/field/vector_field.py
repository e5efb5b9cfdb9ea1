"""The training field of a game: the right-hand side f(t, y, batch) of the ODE."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch

from odegan.field.training_field import BOTH, Pieces, Rates
from odegan.games.game import Game, Players
from odegan.utils.ambient import unaffected
from odegan.utils.checks import fail

FieldFunction = Callable[[Any, torch.Tensor, Any], torch.Tensor]


class Field(NamedTuple):
    """The parts of a training field. Each takes (t, y, batch) and is pure.

    joint: both players, (dy (P,), losses (2,)); disc, gen: one player alone, (dy_p, loss_p); penalty: what the
    penalties alone add to the field, (P,), or None without penalties; apart: the unpenalised field and what the penalties
    add, from one set of first-order gradients, (dy, losses, push). Losses are the unpenalised ones. pieces: what these
    are made of, for a batch that comes in parts.
    """

    joint: Callable[[Any, torch.Tensor, Any], Players]
    disc: Callable[[Any, torch.Tensor, Any], Players]
    gen: Callable[[Any, torch.Tensor, Any], Players]
    penalty: FieldFunction | None
    apart: Callable[[Any, torch.Tensor, Any], tuple[torch.Tensor, torch.Tensor, torch.Tensor]] | None
    pieces: Pieces


def vector_field(
    game: Game, penalties: Sequence[Any] = (), *, rates: Rates = (1.0, 1.0), clip: float | None = None
) -> Callable[..., torch.Tensor]:
    """The training field as a pure function f(t, y, batch=None) -> dy (P,).

    f = -[r_D d(loss_D + extra_D)/d theta_D, r_G d(loss_G + extra_G)/d theta_G], where the extra losses are the
    penalties' and r the players' rates. Same arguments, same value; works under torch.func, torch.vmap and
    torch.compile, and as the function of ``torchdiffeq.odeint`` (with the batch fixed or not needed).

    Args:
        game: the game.
        penalties: from ``odegan.penalties``, or any function game -> (extra_disc_loss, extra_gen_loss).
        rates: time scales of the discriminator and of the generator; numbers or tensors.
        clip: largest norm of each player's part, g <- g min(1, clip / |g|); None: unlimited.

    Examples:
        >>> from odegan.games import bilinear
        >>> vector_field(bilinear())(0.0, torch.tensor([2.0, 3.0]))
        tensor([-3.,  2.])
    """
    joint = make_field(game, penalties, rates, clip).joint

    @unaffected
    def field(t: Any, y: torch.Tensor, batch: Any = None) -> torch.Tensor:
        return joint(t, y, batch)[0]

    return field


def make_field(
    game: Game,
    penalties: Sequence[Any] = (),
    rates: Rates = (1.0, 1.0),
    clip: float | None = None,
    penalise: bool = True,
) -> Field:
    """The field's parts; with ``penalise`` False the penalties are in ``penalty`` alone."""
    pieces = Pieces(game, penalties, rates, clip, penalise)

    def joint(t: Any, y: torch.Tensor, batch: Any) -> Players:
        if y.ndim != 1:
            fail("y", y, f"one state of shape ({game.n_params},); map over an ensemble with torch.vmap")
        gradients, losses = pieces.gradients(BOTH, t, y, batch)
        return torch.cat(pieces.finish(BOTH, gradients)), torch.stack(losses)

    def alone(player: str) -> Callable[[Any, torch.Tensor, Any], Players]:
        def part(t: Any, y: torch.Tensor, batch: Any) -> Players:
            gradients, losses = pieces.gradients((player,), t, y, batch)
            return pieces.finish((player,), gradients)[0], losses[0]

        return part

    def penalty(t: Any, y: torch.Tensor, batch: Any) -> torch.Tensor:
        return torch.cat(pieces.finish(BOTH, pieces.pushes(BOTH, t, y, batch), clipped=False))

    def apart(t: Any, y: torch.Tensor, batch: Any) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        gradients, losses, pushed = pieces.together(t, y, batch)
        own = [torch.zeros_like(g) if p is None else p for g, p in zip(gradients, pushed, strict=True)]
        push = torch.cat(pieces.finish(BOTH, own, clipped=False))
        return torch.cat(pieces.finish(BOTH, gradients)), torch.stack(losses), push

    acting = bool(penalties)
    return Field(joint, alone("disc"), alone("gen"), penalty if acting else None, apart if acting else None, pieces)
