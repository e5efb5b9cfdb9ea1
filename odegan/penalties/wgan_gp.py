"""WGAN-GP: the discriminator's input gradient between real and generated samples, centered at 1 or at 0."""

from __future__ import annotations

import torch

from odegan.field.ensemble import Time
from odegan.field.penalty_terms import Function
from odegan.games.batch import Batch
from odegan.games.game import Game
from odegan.games.labels import labels_of
from odegan.penalties.base import Penalty, Weight, checked_weight
from odegan.penalties.input_gradient import check_critic, input_gradient
from odegan.utils.autodiff import root
from odegan.utils.checks import ArgumentError, check_number
from odegan.utils.keywords import keywords


@keywords()
def wgan_gp(weight: Weight, center: float = 1.0) -> Penalty:
    """Penalize D by weight * E (|grad_x D(x)| - center)^2, without a 1/2, at x = u x_real + (1 - u) x_fake.

    u is uniform in [0, 1), one number per pair, read from ``batch.noise`` (B,). ``odeint_gan`` and ``Stepper`` draw it for
    every minibatch as a pure function of (seed, index); games without minibatches (batch None) use u = 1/2. In a
    class-conditional game both samples of a pair must be of one class, which is also the class of x: ``fake_labels="same"`` in
    ``odeint_gan``. Where |grad_x D| = 0 the subgradient of the norm is 0.

    Args:
        weight: a number, a tensor (differentiable) or a function of time; the paper's lambda, 10 there.
        center: the slope that costs nothing: 1, or 0 for the zero-centered variant.

    Raises:
        ArgumentError: the game has no critic or no generated samples, or a layer of the critic couples the batch (BatchNorm).

    Source: Gulrajani et al. 2017, equation 3.

    Examples:
        >>> from odegan.games import dirac
        >>> disc, gen = wgan_gp(10.0)(dirac("wasserstein", c=1.0))  # D(x) = phi x
        >>> float(disc(torch.tensor([3.0]), torch.tensor([0.5]), None, 0.0)), gen  # 10 (|phi| - 1)^2 at phi = 3
        (40.0, None)
    """
    check_number("center", center, low=0.0)

    def terms(game: Game) -> tuple[Function, None]:
        check_critic(game, "wgan_gp", "fake")

        def term(theta_d: torch.Tensor, theta_g: torch.Tensor, batch: Batch | None, t: Time) -> torch.Tensor:
            real = game.real(batch)
            fake = game.fake(theta_g, batch)
            u = _mixing(batch, real)
            label = _common_label(batch) if game.conditional else None
            gradient = input_gradient(game, theta_d, batch, u * real + (1 - u) * fake, label)
            # Without the root, whose derivative at 0 is infinite.
            if center == 0:
                return (gradient**2).sum(1).mean()
            # Not vector_norm, whose second derivatives at 0, of which gradients through a run are made, are NaN.
            return ((root((gradient**2).sum(1)) - center) ** 2).mean()

        return term, None

    return Penalty("wgan_gp", checked_weight(weight), terms, {"center": center}, noise=True)


def _mixing(batch: Batch | None, real: torch.Tensor) -> torch.Tensor | float:
    if batch is None:
        # The expectation of u; there is no minibatch to draw numbers with.
        return 0.5
    u = batch.noise
    if u is None:
        raise ArgumentError(
            "batch.noise: got None; wgan_gp reads uniform numbers (B,) there: use odeint_gan or Stepper, or give "
            "Batch(real, latent, noise=u)"
        )
    # Not by einops, whose patterns cannot add a number of axes that is known only here.
    return u.reshape(-1, *([1] * (real.ndim - 1)))


def _common_label(batch: Batch | None) -> torch.Tensor | None:
    if batch is not None and batch.fake_label is not None:
        raise ArgumentError(
            "batch.fake_label: got labels of their own with wgan_gp, which mixes a real and a generated sample of one class; "
            'it must be None: odeint_gan(fake_labels="same")'
        )
    return labels_of(batch)[0]
