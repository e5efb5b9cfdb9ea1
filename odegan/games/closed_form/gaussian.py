"""The isotropic Gaussian: a shifted Gaussian learns its mean from a linear discriminator."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from odegan.games import losses
from odegan.games.batch import Batch
from odegan.games.closed_form.gaussian_expectation import (
    Projected,
    mean_of_pair,
    mean_relu,
    mean_softplus,
    mean_square,
    project,
)
from odegan.games.game import Game
from odegan.games.players import PlayerLoss
from odegan.utils.ambient import unaffected
from odegan.utils.checks import ArgumentError, check_array, check_constant, choose, stated_dtype
from odegan.utils.random_streams import reseed

EXPECTATIONS = ("exact", "sampling")
Mean = Callable[[Projected, Projected], torch.Tensor]


def _shifted(law: Projected, by: float) -> Projected:
    return law._replace(center=law.center + by)


def _cross_entropy(real: Projected, fake: Projected) -> torch.Tensor:
    return mean_softplus(-real) + mean_softplus(fake)


# Each objective of odegan.losses as expectations over the distributions of D(x) for real and generated x: (disc, gen).
_MEANS: dict[str, tuple[Mean, Mean]] = {
    "minimax": (_cross_entropy, lambda r, f: -mean_softplus(f)),
    "non_saturating": (_cross_entropy, lambda r, f: mean_softplus(-f)),
    "wasserstein": (lambda r, f: f.center - r.center, lambda r, f: -f.center),
    "hinge": (lambda r, f: mean_relu(_shifted(-r, 1.0)) + mean_relu(_shifted(f, 1.0)), lambda r, f: -f.center),
    "least_squares": (
        lambda r, f: (mean_square(_shifted(r, -1.0)) + mean_square(f)) / 2,
        lambda r, f: mean_square(_shifted(f, -1.0)) / 2,
    ),
    "relativistic": (lambda r, f: mean_softplus(f.minus(r)), lambda r, f: mean_softplus(r.minus(f))),
}


@unaffected
def gaussian(
    v: torch.Tensor | Sequence[float],
    sigma: float,
    loss: str | tuple[losses.LogitLoss, losses.LogitLoss] | losses.Loss = "minimax",
    expectation: str = "exact",
) -> Game:
    """Data x ~ N(v, sigma^2 I), generator phi + sigma z with z ~ N(0, I), discriminator theta^T x; y = (theta, phi).

    The losses are those of ``odegan.losses`` on the logits theta^T x and theta^T (phi + sigma z). Their equilibrium is
    theta = 0, phi = v. There, for minimax and non_saturating, the eigenvalues of the field's Jacobian are the roots of
    x^2 + a x + 1/4 for each eigenvalue a of S / 2, S = sigma^2 I + v v^T. For small a they rotate, for large a one of them is
    slow. With the Wasserstein loss the game is bilinear and ``game.solution(t, y0)`` is its flow, a rotation about the
    equilibrium.

    Args:
        v: (n,), the mean of the data.
        sigma: the standard deviation, > 0.
        expectation: "exact": closed forms for wasserstein, least_squares and hinge; quadrature along theta for the others and
            for pairs, which must be smooth. The quadrature is exact to rounding for sigma |theta| up to about 5 (for pairs
            about 2), and its derivatives up to the third are as exact at every theta, including 0 (see
            ``odegan.games.closed_form.gaussian_expectation``); batch=None. "sampling": means over a batch (real (B, n), latent
            (B, n)), as for networks.

    Source: JARE (Nie and Patel 2019), section 3, with its experiment's start, (0.05, v + 0.05), as ``init()``.

    Examples:
        >>> game = gaussian([0.0, 2.0], 0.7)
        >>> game.n_disc, game.n_gen, game.losses(torch.tensor([0.0, 0.0, 0.0, 2.0]))
        (2, 2, (tensor(1.3863), tensor(-0.6931)))
    """
    pair = losses.get(loss)
    mean = check_array("v", v, 1, "a vector (n,), the mean of the data", constant=True)
    sigma = check_constant("sigma", sigma, low=0.0, strict=True)
    choose("expectation", expectation, EXPECTATIONS)
    n = len(mean)
    own = stated_dtype(v)
    parts = _exact(pair, mean, sigma) if expectation == "exact" else _sampled(pair, sigma)

    def start(seed: int | None) -> torch.Tensor:
        shape = torch.ones(2 * n) if seed is None else torch.randn(2 * n, generator=reseed(torch.Generator(), seed))
        return (torch.cat([torch.zeros_like(mean), mean]) + 0.05 * shape.to(mean)).to(own)

    def sample(y: torch.Tensor, count: int, seed: int) -> torch.Tensor:
        z = torch.randn(count, n, generator=reseed(torch.Generator(), seed), dtype=torch.float32).to(y)
        return y[n:] + sigma * z

    def solution(t: float | torch.Tensor, y0: torch.Tensor) -> torch.Tensor:
        times = torch.as_tensor(t, dtype=torch.float64, device=y0.device)[..., None]
        theta = y0[:n].double()
        gap = y0[n:].double() - mean.to(y0.device)
        turned = [times.cos() * theta - times.sin() * gap, times.sin() * theta + times.cos() * gap + mean.to(y0.device)]
        return torch.cat(turned, dim=-1).to(y0)

    game = Game(
        *parts,
        n,
        n,
        critic=lambda theta, x: x @ theta,
        fake=(lambda phi, batch: phi + sigma * batch.latent) if expectation == "sampling" else None,
        sample=sample,
        init=start,
        solution=solution if pair == losses.get("wasserstein") and expectation == "exact" else None,
        loss=pair,
        name="gaussian",
    )
    return game


def _exact(pair: losses.Loss, mean: torch.Tensor, sigma: float) -> tuple[PlayerLoss, PlayerLoss]:
    """(disc_loss, gen_loss) with expectations over the distributions of the logits."""
    # A pair of functions has no name in the table, and takes the quadrature.
    known = _MEANS.get(losses.name_of(pair) or "")
    mean_d, mean_g = known or (
        lambda r, f: mean_of_pair(pair.disc, r, f),
        lambda r, f: mean_of_pair(pair.gen if pair.gen_sees_real else lambda _, u: pair.gen(u, u), r, f),
    )

    def laws(theta: torch.Tensor, phi: torch.Tensor) -> tuple[Projected, Projected]:
        return project(theta, mean.to(theta), sigma), project(theta, phi, sigma)

    return lambda theta, phi, batch: mean_d(*laws(theta, phi)), lambda theta, phi, batch: mean_g(*laws(theta, phi))


def _sampled(pair: losses.Loss, sigma: float) -> tuple[PlayerLoss, PlayerLoss]:
    """(disc_loss, gen_loss) as means over a batch."""

    def logits(theta: torch.Tensor, phi: torch.Tensor, batch: Batch | None) -> tuple[torch.Tensor, torch.Tensor]:
        if batch is None:
            raise ArgumentError("batch: got None; expectation='sampling' needs (real (B, n), latent (B, n))")
        return batch.real @ theta, (phi + sigma * batch.latent) @ theta

    def gen_loss(theta: torch.Tensor, phi: torch.Tensor, batch: Batch | None) -> torch.Tensor:
        real, fake = logits(theta, phi, batch)
        return pair.gen(real if pair.gen_sees_real else fake, fake)

    return lambda theta, phi, batch: pair.disc(*logits(theta, phi, batch)), gen_loss
