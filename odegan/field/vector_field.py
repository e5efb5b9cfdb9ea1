"""``vector_field``: the training field of a game as a function f(t, y, batch) -> dy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from numbers import Real

import torch

from odegan.field.ensemble import Time
from odegan.field.training_field import Penalty, TrainingField
from odegan.games.batch import Batch, as_batch
from odegan.games.explained import explained
from odegan.games.game import Game
from odegan.solvers.rates import Rates
from odegan.utils.ambient import unaffected
from odegan.utils.checks import argument_error
from odegan.utils.keywords import keywords


@keywords()
def vector_field(
    game: Game, penalties: Sequence[Penalty] = (), *, rates: Rates = (1.0, 1.0), clip: float | None = None
) -> Callable[..., torch.Tensor]:
    """The training field as a pure function f(t, y, batch=None) -> dy (P,).

    f = -[r_D d(loss_D + extra_D)/d theta_D, r_G d(loss_G + extra_G)/d theta_G], where the extra losses come from the penalties
    and r_D, r_G are the players' rates. It works under torch.func, torch.vmap and torch.compile, and as the function that
    ``torchdiffeq.odeint`` takes (with a fixed batch, or without one).

    Args:
        game: the game.
        penalties: from ``odegan.penalties``, or any function game -> (extra_disc_loss, extra_gen_loss).
        rates: time scales of the discriminator and of the generator; numbers, tensors or functions
            of time.
        clip: largest norm of each player's gradient, penalties included and before its rate, g <- g min(1, clip / |g|);
            None: unlimited.

    Raises:
        ArgumentError: a wrong argument; t is no number; y is not (P,); the batch is not a ``Batch``, a pair (real, latent) or
            None; torch cannot evaluate the field, or not under the transforms around it.

    Examples:
        >>> from odegan.games import bilinear
        >>> vector_field(bilinear())(0.0, torch.tensor([2.0, 3.0]))
        tensor([-3.,  2.])
    """
    training_field = TrainingField(game, penalties, rates, clip)
    if training_field.counts_steps:
        argument_error(
            "penalties, rates", "a schedule in steps", "numbers or functions of time: a field knows no steps"
        )

    # The same value under autocast, inference mode or another default dtype around the call.
    @unaffected
    def field(t: Time, y: torch.Tensor, batch: Batch | tuple[torch.Tensor, torch.Tensor] | None = None) -> torch.Tensor:
        if not isinstance(y, torch.Tensor) or y.ndim != 1:
            argument_error("y", y, f"one state of shape ({game.n_params},); map over an ensemble with torch.vmap")
        _check_time(t)
        given = as_batch(batch)
        return explained("field", lambda: training_field(t, y, given)[0], game.prepared, y, given)

    return field


def _check_time(t: object) -> None:
    """Refuse a time that is no number: without a rate or weight in time, a field that never reads it would accept anything."""
    # By kind alone: a tensor's value would be read back from its device, at each evaluation.
    if isinstance(t, torch.Tensor):
        right = t.ndim == 0 and not t.is_complex() and t.dtype is not torch.bool
    else:
        right = isinstance(t, Real) and not isinstance(t, bool)
    if not right:
        got = f"a tensor of shape {tuple(t.shape)}" if isinstance(t, torch.Tensor) and t.ndim else t
        argument_error("t", got, "a time: a number, or a tensor of shape ()")
