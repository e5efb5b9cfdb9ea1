"""Consensus optimization: penalize both players by the norm of the whole field."""

from __future__ import annotations

from odegan.field.penalty_terms import Term
from odegan.games.game import Game
from odegan.games.players import BOTH
from odegan.penalties.base import Penalty, Weight, checked_weight
from odegan.penalties.reg import half_norms
from odegan.utils.keywords import keywords


@keywords()
def consensus(weight: Weight) -> Penalty:
    """Penalize both players by (weight/2) (||g_D||^2 + ||g_G||^2), where g_p = d loss_p / d theta_p.

    The field becomes v - weight J^T v, with J the Jacobian of the unpenalized v.

    Args:
        weight: a number, a tensor (differentiable) or a function of time; the paper's gamma.

    Source: Mescheder, Nowozin and Geiger 2017 ("The Numerics of GANs"), Algorithm 2.

    Examples:
        >>> import torch
        >>> from odegan import vector_field
        >>> from odegan.games import bilinear
        >>> vector_field(bilinear(), [consensus(0.5)])(0.0, torch.tensor([2.0, 3.0]))
        tensor([-4.0000,  0.5000])
    """

    def terms(game: Game) -> tuple[Term, Term]:
        # The same function for both; each player differentiates it in its own parameters.
        term = half_norms(game, BOTH)
        return term, term

    return Penalty("consensus", checked_weight(weight), terms)
