"""Games and steps by hand."""

import copy

import torch
import torch.nn.functional as F
from torch.nn.utils import parameters_to_vector, vector_to_parameters

import odegan
from tests.peers import FIRST_WEIGHT

H = 0.1
WEIGHT = 0.3
TABLEAUS = {
    "euler": ([[]], [1]),
    "heun2": ([[], [1]], [1 / 2, 1 / 2]),
    "rk4_classic": ([[], [1 / 2], [0, 1 / 2], [0, 0, 1]], [1 / 6, 1 / 3, 1 / 3, 1 / 6]),
}
ONES = torch.ones_like
ZEROS = torch.zeros_like
BCE = F.binary_cross_entropy_with_logits


def squash(u):
    return torch.tanh(u).mean()


LOSSES = {
    "minimax": (lambda r, f: BCE(r, ONES(r)) + BCE(f, ZEROS(f)), lambda r, f: -BCE(f, ZEROS(f))),
    "non_saturating": (lambda r, f: BCE(r, ONES(r)) + BCE(f, ZEROS(f)), lambda r, f: BCE(f, ONES(f))),
    "wasserstein": (lambda r, f: f.mean() - r.mean(), lambda r, f: -f.mean()),
    "hinge": (lambda r, f: (1 - r).clamp(min=0).mean() + (1 + f).clamp(min=0).mean(), lambda r, f: -f.mean()),
    "least_squares": (
        lambda r, f: 0.5 * F.mse_loss(r, ONES(r)) + 0.5 * F.mse_loss(f, ZEROS(f)),
        lambda r, f: 0.5 * F.mse_loss(f, ONES(f)),
    ),
    "relativistic": (lambda r, f: BCE(r - f, ONES(r)), lambda r, f: BCE(f - r, ONES(r))),
    "own": (lambda r, f: squash(f) - 2 * squash(r), lambda r, f: squash(r) - squash(f * r)),
}


class ByHand:
    """A GAN's gradients and Runge-Kutta steps in the modules' own parameters."""

    def __init__(self, generator, discriminator, loss="non_saturating"):
        self.generator = copy.deepcopy(generator)
        self.discriminator = copy.deepcopy(discriminator)
        self.disc = list(self.discriminator.parameters())
        self.gen = list(self.generator.parameters())
        self.losses = LOSSES[loss]

    def at(self, theta_d, theta_g, batch):
        vector_to_parameters(theta_d, self.disc)
        vector_to_parameters(theta_g, self.gen)
        real = self.discriminator(batch[0]).flatten()
        fake = self.discriminator(self.generator(batch[1])).flatten()
        return self.losses[0](real, fake), self.losses[1](real, fake)

    def gradients(self, theta_d, theta_g, batch):
        loss_d, loss_g = self.at(theta_d, theta_g, batch)
        grad_d = torch.autograd.grad(loss_d, self.disc, retain_graph=True)
        return parameters_to_vector(grad_d), parameters_to_vector(torch.autograd.grad(loss_g, self.gen))

    def penalty(self, theta_d, theta_g, batch):
        _, loss_g = self.at(theta_d, theta_g, batch)
        grads = torch.autograd.grad(loss_g, self.gen, create_graph=True)
        squared = sum((g**2).sum() for g in grads)
        return parameters_to_vector(torch.autograd.grad(squared, self.disc, materialize_grads=True))

    def step(self, method, batches, placement, players):
        """The parameters (D, G) after one step of H from where the modules stand."""
        stages, weights = TABLEAUS[method]
        d0 = parameters_to_vector(self.disc).detach()
        g0 = parameters_to_vector(self.gen).detach()
        after = self.penalty(d0, g0, batches[0])
        slopes = []
        for i, row in enumerate(stages):
            batch = batches[i % len(batches)]
            d = d0 - H * sum(a * k for a, (k, _) in zip(row, slopes, strict=True))
            g = g0 - H * sum(a * k for a, (_, k) in zip(row, slopes, strict=True))
            seen_d, seen_g = (d0, g0) if players == "frozen" else (d, g)
            slope_d = self.gradients(d, seen_g, batch)[0]
            slope_g = self.gradients(seen_d, g, batch)[1]
            if placement == "field":
                slope_d = slope_d + WEIGHT * self.penalty(d, seen_g, batch)
            if placement == "first_stage" and i == 0:
                slope_d = slope_d + WEIGHT / FIRST_WEIGHT[method] * after
            slopes.append((slope_d, slope_g))
        d1 = d0 - H * sum(b * k for b, (k, _) in zip(weights, slopes, strict=True))
        g1 = g0 - H * sum(b * k for b, (_, k) in zip(weights, slopes, strict=True))
        return torch.cat([d1 - (H * WEIGHT * after if placement == "after_step" else 0), g1])


def game_of(pair, loss="non_saturating"):
    return odegan.gan(*pair, loss=LOSSES["own"] if loss == "own" else loss)
