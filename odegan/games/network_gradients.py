"""Gradients and losses of a game of networks, where passes through one network can serve both players."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from odegan.games.labels import LabeledForward
from odegan.games.losses import Loss
from odegan.games.players import Players
from odegan.games.shared_backward import serves_both, shared_gradients
from odegan.utils.autodiff import gradient_and_value, vjp


@dataclass(frozen=True)
class BothPlayers:
    """The networks of a game on one batch, as functions of their parameters.

    Attributes:
        loss: the loss of the logits.
        critic: theta_d -> the discriminator, a function of samples (n, ...) and their labels.
        generate: theta_g -> generated samples (B, ...).
        real: samples (B, ...).
        label, fake_label: (B,) of the real and of the generated samples; None where the discriminator takes none.
    """

    loss: Loss
    critic: Callable[[torch.Tensor], LabeledForward]
    generate: Callable[[torch.Tensor], torch.Tensor]
    real: torch.Tensor
    label: torch.Tensor | None
    fake_label: torch.Tensor | None

    def disc_loss(self, theta_d: torch.Tensor, theta_g: torch.Tensor) -> torch.Tensor:
        """The discriminator's loss at these parameters."""
        return self._disc_loss(theta_d, self.generate(theta_g))

    def gen_loss(self, theta_d: torch.Tensor, theta_g: torch.Tensor) -> torch.Tensor:
        """The generator's loss at these parameters."""
        critic = self.critic(theta_d)
        fake = critic(self.generate(theta_g), self.fake_label)
        return self.loss.gen(critic(self.real, self.label) if self.loss.gen_sees_real else fake, fake)

    def disc_gradient(self, theta_d: torch.Tensor, theta_g: torch.Tensor) -> Players:
        """The discriminator's gradient and loss."""
        # Outside the differentiated function, so that D's backward pass ends at the samples.
        fakes = self.generate(theta_g)
        return gradient_and_value(lambda theta: self._disc_loss(theta, fakes), theta_d)

    def _disc_loss(self, theta_d: torch.Tensor, fakes: torch.Tensor) -> torch.Tensor:
        critic = self.critic(theta_d)
        return self.loss.disc(critic(self.real, self.label), critic(fakes, self.fake_label))

    def shared(self, theta_d: torch.Tensor, theta_g: torch.Tensor) -> tuple[Players, Players] | None:
        """Both gradients and losses from one backward pass through D, which must not couple samples.

        None if the result would be inexact.
        """
        if not serves_both(self.loss, theta_d):
            return None
        # Real and generated samples go through D in one pass, so their labels are joined in the same order.
        label = self.label
        fake_label = self.fake_label
        both = torch.cat([label, fake_label]) if label is not None and fake_label is not None else None

        def critic(theta: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
            forward = self.critic(theta)
            return lambda x: forward(x, both)

        return shared_gradients(self.generate, critic, self.loss, theta_d, theta_g, self.real)

    def nested(self, theta_d: torch.Tensor, theta_g: torch.Tensor) -> tuple[Players, Players]:
        """Both gradients and losses from one forward pass.

        The generator's vjp is nested in the discriminator's, so that each backward pass through D computes only what its
        player needs: gradients of inputs for G, of weights for D.
        """

        def disc_side(theta: torch.Tensor) -> tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor]]:
            critic = self.critic(theta)
            real = critic(self.real, self.label)

            def gen_side(inner: torch.Tensor) -> Players:
                fake = critic(self.generate(inner), self.fake_label)
                return self.loss.gen(real if self.loss.gen_sees_real else fake, fake), fake

            # ``fake`` leaves as an auxiliary output, so that D's loss reuses G's pass instead of making its own.
            loss_g, vjp_gen, fake = vjp(gen_side, theta_g, aux_only=True)
            return self.loss.disc(real, fake), (vjp_gen(torch.ones_like(loss_g)), loss_g)

        loss_d, vjp_disc, (grad_g, loss_g) = vjp(disc_side, theta_d)
        return (vjp_disc(torch.ones_like(loss_d)), grad_g), (loss_d, loss_g)
