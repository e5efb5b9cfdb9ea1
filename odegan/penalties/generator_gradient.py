"""ODE-GAN's penalty: the generator's squared gradient norm, added to the discriminator's loss."""

from __future__ import annotations

from odegan.field.penalty_terms import Term, gradient_term
from odegan.games.game import Game
from odegan.penalties.base import Penalty, Weight, checked_weight
from odegan.utils.keywords import keywords


@keywords()
def generator_gradient(weight: Weight) -> Penalty:
    """Penalize the discriminator by weight * ||d loss_G / d theta_G||^2, over all of the generator's parameters, without a 1/2.

    The norm is that of the minibatch's mean gradient.

    Args:
        weight: a number, a tensor (differentiable) or a function of time. The authors' weights: 0.07 on the mixture of 16
            Gaussians, 0.02 on CIFAR-10.

    Source: Qin et al. 2020 (ODE-GAN), Algorithm 1, where it acts after the step: ``placement="after_step"``.

    Examples:
        >>> import torch
        >>> from odegan.games import bilinear
        >>> disc, gen = generator_gradient(0.5)(bilinear())
        >>> disc(torch.tensor([3.0]), torch.tensor([2.0]), None, 0.0), gen
        (tensor(4.5000), None)
    """

    def terms(game: Game) -> tuple[Term, None]:
        # A gradient term: the field has this gradient already, and differentiates it once more instead of computing it anew.
        return gradient_term(game, ("gen",), lambda gradients: (gradients[0] ** 2).sum()), None

    return Penalty("generator_gradient", checked_weight(weight), terms)
