"""The peer: the same methods written by hand on the modules with torch.autograd.grad, as one would in a script."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

# Stages as (c, coefficients of the earlier stages), then the weights: Butcher tableaus.
TABLEAUS = {
    "euler": ([[]], [1.0]),
    "heun2": ([[], [1.0]], [0.5, 0.5]),
    "rk4_classic": ([[], [0.5], [0.0, 0.5], [0.0, 0.0, 1.0]], [1 / 6, 1 / 3, 1 / 3, 1 / 6]),
}


class HandWritten:
    """Runge-Kutta steps with ODE-GAN's penalty after the step, non-saturating loss, in place on two modules.

    ``players="frozen"`` integrates each player alone against the other as it stood at the start of the step.
    """

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        method: str,
        h: float,
        weight: float,
        players: str = "joint",
    ) -> None:
        self.generator = generator
        self.discriminator = discriminator
        self.stages, self.weights = TABLEAUS[method]
        self.h = h
        self.weight = weight
        self.players = players
        self.disc = list(discriminator.parameters())
        self.gen = list(generator.parameters())

    def field(self, real: torch.Tensor, latent: torch.Tensor) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """Both players' gradients, with one forward pass of G and of D on each half."""
        fake = self.generator(latent)
        real_logits = self.discriminator(real)
        fake_logits = self.discriminator(fake)
        loss_d = F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean()
        loss_g = F.softplus(-fake_logits).mean()
        grad_d = torch.autograd.grad(loss_d, self.disc, retain_graph=True)
        return list(grad_d), list(torch.autograd.grad(loss_g, self.gen))

    def penalty(self, latent: torch.Tensor) -> list[torch.Tensor]:
        """d/d theta_D of the squared norm of the generator's gradient."""
        loss_g = F.softplus(-self.discriminator(self.generator(latent))).mean()
        grad_g = torch.autograd.grad(loss_g, self.gen, create_graph=True)
        squared = torch.stack([g.square().sum() for g in grad_g]).sum()
        return list(torch.autograd.grad(squared, self.disc, allow_unused=True, materialize_grads=True))

    def step(self, batches: list[tuple[torch.Tensor, torch.Tensor]]) -> None:
        """One step; ``batches`` holds one minibatch, or one for each stage."""
        start_d, start_g = ([p.detach().clone() for p in group] for group in (self.disc, self.gen))
        gradient = self.penalty(batches[0][1]) if self.weight else None
        slopes_d: list[list[torch.Tensor]] = []
        slopes_g: list[list[torch.Tensor]] = []
        for i, coefficients in enumerate(self.stages):
            batch = batches[min(i, len(batches) - 1)]
            ahead_d = _combine(start_d, slopes_d, [self.h * c for c in coefficients])
            ahead_g = _combine(start_g, slopes_g, [self.h * c for c in coefficients])
            slope_d, slope_g = self._slopes(ahead_d, ahead_g, start_d, start_g, batch)
            slopes_d.append(slope_d)
            slopes_g.append(slope_g)
        end_d = _combine(start_d, slopes_d, [self.h * b for b in self.weights])
        if gradient is not None:
            torch._foreach_add_(end_d, gradient, alpha=-self.h * self.weight)
        _write(self.disc, end_d)
        _write(self.gen, _combine(start_g, slopes_g, [self.h * b for b in self.weights]))

    def _slopes(self, disc: list, gen: list, start_d: list, start_g: list, batch: tuple) -> tuple[list, list]:
        if self.players == "joint":
            _write(self.disc, disc)
            _write(self.gen, gen)
            return self.field(*batch)
        _write(self.disc, disc)
        _write(self.gen, start_g)
        slope_d = self.field(*batch)[0]
        _write(self.disc, start_d)
        _write(self.gen, gen)
        return slope_d, self.field(*batch)[1]


def _combine(start: list[torch.Tensor], slopes: list[list[torch.Tensor]], factors: list[float]) -> list[torch.Tensor]:
    """start - sum of factor * gradient."""
    result = list(start)
    fresh = False
    for slope, factor in zip(slopes, factors, strict=False):
        if factor:
            result = list(torch._foreach_add(result, slope, alpha=-factor))
            fresh = True
    return result if fresh else [p.clone() for p in start]


@torch.no_grad()
def _write(parameters: list[torch.Tensor], values: list[torch.Tensor]) -> None:
    torch._foreach_copy_(parameters, values)


def loop(peer: HandWritten, draw: Callable[[], tuple[torch.Tensor, torch.Tensor]], steps: int) -> None:
    """A training loop written by hand."""
    for _ in range(steps):
        peer.step([draw()])
