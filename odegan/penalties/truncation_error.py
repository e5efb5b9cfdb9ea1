"""The integration error as a penalty: half the squared embedded error estimate of one step."""

from __future__ import annotations

import torch

from odegan import solvers
from odegan.field.ensemble import Time
from odegan.field.penalty_terms import Term
from odegan.field.schedules import at_time
from odegan.games.batch import Batch
from odegan.games.game import Game
from odegan.games.players import BOTH
from odegan.penalties.base import Penalty, Weight, checked_weight
from odegan.solvers.rates import ConstantRates, check_constant_rates
from odegan.solvers.tableau import combined
from odegan.utils.checks import choose
from odegan.utils.keywords import keywords

# Heun-Euler is the tableau of torchdiffeq's adaptive_heun, used here for a single step from y.
_ALIASES = {"heun_euler": "adaptive_heun"}
_PLAYERS = {"both": (True, True), "disc": (True, False), "gen": (False, True)}


@keywords()
def truncation_error(
    weight: Weight,
    step_size: Weight,
    pair: str = "heun_euler",
    player: str = "both",
    rates: ConstantRates = (1.0, 1.0),
) -> Penalty:
    """Penalize by weight * R(y), R = 1/2 ||e_h(y)||^2, e_h = h sum_i (b_i - b^_i) k_i, differentiated through the stages k_i.

    The stages are those of the unpenalized field, on one minibatch. For Heun-Euler e_h = (h/2) (k_2 - k_1); on a linear
    field A y this is (h^2/2) A^2 y, so that R = (h^4/8) ||A^2 y||^2. One evaluation costs a gradient through 2 (heun_euler), 4
    (bosh3) or 7 (dopri5) evaluations of the field.

    Args:
        weight: the factor of R.
        step_size: h: a number, a tensor (differentiable) or a function of time; usually the solver's own step.
        pair: an embedded pair: "heun_euler", or a name in ``odegan.solvers.embedded_pairs()`` such as "bosh3" or "dopri5".
        player: which loss the penalty is added to: "both", "disc" or "gen".
        rates: the run's rates (r_D, r_G).

    Source: the direct form of the integration error that ODE-GAN's penalty (Qin et al. 2020) controls indirectly.

    Examples:
        >>> from odegan.games import bilinear
        >>> disc, _ = truncation_error(1.0, step_size=0.5)(bilinear())
        >>> disc(torch.tensor([3.0]), torch.tensor([4.0]), None, 0.0)  # 0.5^4 / 8 * (3^2 + 4^2)
        tensor(0.1953)
    """
    choose("pair", pair, [*_ALIASES, *solvers.embedded_pairs()])
    tableau = solvers.tableau(_ALIASES.get(pair, pair))
    # ``embedded_pairs`` lists only tableaus with error weights; this tells the type checker.
    assert tableau.error is not None
    error = tableau.error
    checked_weight(step_size, "step_size", strict=True)
    penalized = _PLAYERS[choose("player", player, _PLAYERS)]
    rates_of = dict(zip(BOTH, check_constant_rates(rates), strict=True))

    def terms(game: Game) -> tuple[Term | None, Term | None]:
        def field(y: torch.Tensor, batch: Batch | None) -> torch.Tensor:
            d, g = game.split(y)
            # Two separate gradients, because the shared pass of game.gradients is not meant to be differentiated again.
            return torch.cat([-rate * game.player_gradient(p, d, g, batch) for p, rate in rates_of.items()])

        def term(theta_d: torch.Tensor, theta_g: torch.Tensor, batch: Batch | None, t: Time) -> torch.Tensor:
            # Both players' parameters: the stages move both, and the gradient with respect to one's goes through all of them.
            y = torch.cat([theta_d, theta_g])
            h = at_time(step_size, t)
            stages = [field(y, batch)]
            # From the second row on: the first is empty, and its stage is the field at y, just computed.
            for row in tableau.a[1:]:
                stages.append(field(y + h * combined(row, stages), batch))
            return ((h * torch.as_tensor(combined(error, stages))) ** 2).sum() / 2

        return tuple(term if included else None for included in penalized)  # type: ignore[return-value]

    settings = {"step_size": step_size, "pair": pair, "player": player} | (
        {} if rates == (1.0, 1.0) else {"rates": rates}
    )
    # Not divisible: each stage moves along the gradient of the whole batch, which no part has.
    return Penalty("truncation_error", checked_weight(weight), terms, settings, divisible=False)
