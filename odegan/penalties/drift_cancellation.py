"""Cancel the discretization drift of simultaneous Euler steps."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch

from odegan.field.ensemble import Time
from odegan.field.penalty_terms import Term, WithConstants
from odegan.games.batch import Batch
from odegan.games.game import Game
from odegan.penalties.base import Penalty, Weight, checked_weight
from odegan.solvers.rates import ConstantRates, check_constant_rates
from odegan.utils.autodiff import gradient_and_value
from odegan.utils.checks import argument_error, check_bool
from odegan.utils.keywords import keywords

PlayerFunction = Callable[[torch.Tensor, torch.Tensor, Batch | None], torch.Tensor]


@keywords()
def drift_cancellation(
    step_size: Weight, self_terms: bool = True, interaction: bool = True, rates: ConstantRates = (1.0, 1.0)
) -> Penalty:
    """Add -(a_p/4) ||d_p loss_p||^2 - (a_q/2) (d_q loss_p)^T [d_q loss_q] to player p's loss; q is the opponent, a = h rate.

    Simultaneous Euler with step h follows, up to h^2, the flow of the losses with these terms *added*; subtracting them
    makes Euler follow the original flow to second order. The bracket is constant under
    differentiation: it is evaluated at the current point, outside the differentiated function (see ``WithConstants``), so that
    the field's own derivatives (jvp, spectrum) are exact under both autograd and torch.func.

    Limits: it is meant for ``solver="euler"`` with the same step size and placement "field" (a last step that is shortened has
    a smaller drift). Both players' parts must be gradients of their losses: (d_q loss_p)^T [d_q loss_q] reads loss_p itself, so
    in a game whose gradients are not those of its losses the drift is canceled only in part.

    Args:
        step_size: h: a number, a tensor (differentiable) or a function of time.
        self_terms: whether to cancel the first term.
        interaction: whether to cancel the second term, which is the harmful one in zero-sum games.
        rates: the run's rates (r_D, r_G).

    Source: Rosca, Wu, Dherin and Barrett 2021 ("Discretization Drift in Two-Player Games"), the modified losses of
    simultaneous Euler updates.

    Examples:
        >>> from odegan import vector_field
        >>> from odegan.games import bilinear
        >>> vector_field(bilinear(), [drift_cancellation(0.1)])(0.0, torch.tensor([2.0, 3.0]))  # (A + h/2 A^2) y
        tensor([-3.1000,  1.8500])
    """
    if not (check_bool("self_terms", self_terms) | check_bool("interaction", interaction)):
        argument_error("self_terms, interaction", (self_terms, interaction), "True for at least one of them")
    rate_d, rate_g = check_constant_rates(rates)

    def terms(game: Game) -> tuple[Term, Term]:
        def disc_in_gen(theta_d: torch.Tensor, theta_g: torch.Tensor, batch: Batch | None) -> torch.Tensor:
            # Not ``player_gradient``, which differentiates a player's loss in its own parameters only.
            return gradient_and_value(lambda g: game.disc_loss(theta_d, g, batch), theta_g)[0]

        def gen_in_disc(theta_d: torch.Tensor, theta_g: torch.Tensor, batch: Batch | None) -> torch.Tensor:
            return gradient_and_value(lambda d: game.gen_loss(d, theta_g, batch), theta_d)[0]

        grad_d = partial(game.player_gradient, "disc")
        grad_g = partial(game.player_gradient, "gen")
        disc = _term(grad_d, disc_in_gen, grad_g, rate_d, rate_g)
        gen = _term(grad_g, gen_in_disc, grad_d, rate_g, rate_d)
        return disc, gen

    def _term(
        own: PlayerFunction,
        cross: PlayerFunction,
        opponent: PlayerFunction,
        rate: float | torch.Tensor,
        other: float | torch.Tensor,
    ) -> Term:
        def value(
            theta_d: torch.Tensor, theta_g: torch.Tensor, batch: Batch | None, t: Time, held: torch.Tensor
        ) -> torch.Tensor:
            total = held.new_zeros(())
            if self_terms:
                total = total - rate / 4 * (own(theta_d, theta_g, batch) ** 2).sum()
            if interaction:
                total = total - other / 2 * (cross(theta_d, theta_g, batch) * held).sum()
            return total

        return WithConstants(value, constants=lambda theta_d, theta_g, batch, t: opponent(theta_d, theta_g, batch))

    # Not divisible: products of two batch means are not a mean over the parts of a batch.
    settings = {"self_terms": self_terms, "interaction": interaction} | (
        {} if rates == (1.0, 1.0) else {"rates": rates}
    )
    return Penalty(
        "drift_cancellation", checked_weight(step_size, "step_size", strict=True), terms, settings, divisible=False
    )
