"""R1 and R2: the discriminator's squared input gradient on real or on generated samples."""

from __future__ import annotations

import torch

from odegan.field.penalty_terms import Function
from odegan.games.batch import Batch
from odegan.games.game import Game
from odegan.games.labels import labels_of
from odegan.penalties.base import Penalty, Weight, checked_weight
from odegan.penalties.input_gradient import check_critic, input_gradient
from odegan.utils.keywords import keywords


@keywords()
def r1(weight: Weight) -> Penalty:
    """Penalize D by (weight/2) E |grad_x D(x)|^2 over the real samples of the batch.

    The square is summed over the entries of a sample.

    Args:
        weight: a number, a tensor (differentiable) or a function of time. The reference code has no 1/2, so that its 10 is
            weight 20 here.

    Raises:
        ArgumentError: the game has no critic, or a layer of it couples the batch (BatchNorm).

    Source: Mescheder, Geiger and Nowozin 2018, equation 9.

    Examples:
        >>> from odegan.games import dirac
        >>> disc, gen = r1(10.0)(dirac("wasserstein", c=1.0))  # D(x) = phi x
        >>> float(disc(torch.tensor([2.0]), torch.tensor([0.5]), None, 0.0)), gen  # 10/2 phi^2 at phi = 2
        (20.0, None)
    """

    def terms(game: Game) -> tuple[Function, None]:
        check_critic(game, "r1")
        return lambda d, g, batch, t: _half_square(game, d, batch, game.real(batch), labels_of(batch)[0]), None

    return Penalty("r1", checked_weight(weight), terms)


@keywords()
def r2(weight: Weight) -> Penalty:
    """Penalize D by (weight/2) E |grad_x D(x)|^2 over the generated samples of the batch.

    Args:
        weight: a number, a tensor (differentiable) or a function of time, with the same 1/2 as in ``r1``.

    Raises:
        ArgumentError: as ``r1``; or the game has no generated samples.

    Source: Mescheder, Geiger and Nowozin 2018, equation 10.

    Examples:
        >>> from odegan.games import dirac
        >>> disc, gen = r2(10.0)(dirac("wasserstein", c=1.0))  # D(x) = phi x
        >>> disc(torch.tensor([2.0]), torch.tensor([0.5]), None, 0.0), gen
        (tensor(20.), None)
    """

    def terms(game: Game) -> tuple[Function, None]:
        check_critic(game, "r2", "fake")
        return lambda d, g, batch, t: _half_square(game, d, batch, game.fake(g, batch), labels_of(batch)[1]), None

    return Penalty("r2", checked_weight(weight), terms)


def _half_square(
    game: Game, theta_d: torch.Tensor, batch: Batch | None, x: torch.Tensor, label: torch.Tensor | None
) -> torch.Tensor:
    # Summed over a sample's entries, averaged over samples: the norm grows with the number of pixels, as in the paper.
    return (input_gradient(game, theta_d, batch, x, label) ** 2).sum(1).mean() / 2
