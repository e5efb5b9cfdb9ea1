"""One backward pass through D for both players, for losses whose derivatives with respect to a logit have a known ratio."""

from __future__ import annotations

from collections.abc import Callable

import torch

from odegan.games.losses import Loss
from odegan.games.players import Players
from odegan.utils.autodiff import needs_transforms, recorded, vjp

Forward = Callable[[torch.Tensor], torch.Tensor]

# A ratio that depends on the logit is used only up to this modulus. In float32 the slope at -40 is 4e-18, far above the
# smallest number, 1e-38. In float64 the limit is lower: torch's softplus is exactly linear beyond 20, an error that shows
# there.
WIDEST_LOGIT = {torch.float64: 20.0, torch.float32: 40.0}


def shared_gradients(
    generate: Forward,
    critic: Callable[[torch.Tensor], Forward],
    loss: Loss,
    theta_d: torch.Tensor,
    theta_g: torch.Tensor,
    real: torch.Tensor,
) -> tuple[Players, Players] | None:
    """Both gradients and losses of a game whose discriminator does not couple samples; None if the result would be inexact.

    The pass through D gives d loss_D / d theta_D and, per sample, d loss_D / d x_i = s_D(f_i) dD/dx_i. The generator needs
    s_G(f_i) dD/dx_i, which is the same times ``loss.ratio`` = s_G / s_D. The backward pass is linear in
    the slope, so that the rescaled gradient is as exact as one from a separate pass, unless s_D is so small that numbers
    underflow.

    Args:
        generate: theta_g -> generated samples (B, ...).
        critic: theta_d -> the discriminator, samples (B, ...) -> logits (B,).
        loss: an objective with a ratio.
        theta_d: the discriminator's parameters.
        theta_g: the generator's parameters.
        real: samples (B, ...).
    """
    assert loss.ratio is not None
    fake, vjp_gen, _ = vjp(lambda theta: (generate(theta), ()), theta_g)

    def disc_side(theta: torch.Tensor, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        # One pass through D for both halves; that is why no layer may couple samples.
        on_real, on_fake = critic(theta)(torch.cat([real, x])).split([len(real), len(x)])
        return loss.disc(on_real, on_fake), on_fake

    loss_d, vjp_disc, on_fake = vjp(disc_side, theta_d, fake)
    if not loss.constant_ratio and bool(on_fake.detach().abs().max() > WIDEST_LOGIT.get(on_fake.dtype, 0.0)):
        return None
    grad_d, slopes = vjp_disc(torch.ones_like(loss_d))
    scale = loss.ratio(on_fake).reshape(-1, *(1,) * (fake.ndim - 1))
    return (grad_d, vjp_gen(scale * slopes)), (loss_d, loss.gen(on_fake, on_fake))


def serves_both(loss: Loss, theta: torch.Tensor) -> bool:
    """Whether a single pass is possible for this loss here.

    A ratio that depends on the logits requires a check of their values, which is impossible under a transform and would
    synchronize an accelerator; its derivative would also suffer from cancellation.
    """
    if loss.ratio is None or loss.constant_ratio:
        return loss.constant_ratio
    return theta.device.type == "cpu" and not needs_transforms() and not recorded()
