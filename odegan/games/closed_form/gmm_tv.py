"""A Gaussian mixture learned in total variation, in closed form, against first-order or optimal discriminators."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from einops import rearrange

from odegan.games.batch import Batch
from odegan.games.closed_form.interval_union import cdf, density, isotonic, mass, positive_intervals, sign_changes
from odegan.games.game import Game
from odegan.games.players import Players
from odegan.utils.ambient import unaffected
from odegan.utils.checks import argument_error, check_array, check_int, choose, stated_dtype
from odegan.utils.random_streams import reseed

_ORDERS: dict[str, Callable[[torch.Tensor], torch.Tensor] | None] = {
    "project": isotonic,
    "none": None,
    "sort": lambda ends: ends.sort(-1).values,
}


@unaffected
def gmm_tv(mu_star: Sequence[float] | torch.Tensor, k: int | None = None, order: str = "project") -> IntervalGame:
    """Learn a mixture of unit normals on the line against a union of intervals, without any sampling.

    The truth is the mixture ``G*`` of ``N(mu*_j, 1)``, the generator G the mixture of ``N(mu_j, 1)``, j = 1..k, both with equal
    weights. The discriminator is the indicator of D = [l_1, r_1] u ... u [l_k, r_k], and

        L(mu, l, r) = P_{G*}(D) + 1 - P_G(D),    disc_loss = -L,    gen_loss = L,

    so that the maximum of L over D is ``1 + TV(G*, G)``. State: y = (l_1, r_1, ..., l_k, r_k, mu_1, ..., mu_k); batch=None.
    With F the density of ``G*`` minus that of G, and N the standard normal density:

        dL/dr_i = F(r_i),    dL/dl_i = -F(l_i),    dL/dmu_j = 1/k sum_i [N(r_i - mu_j) - N(l_i - mu_j)].

    Args:
        mu_star: (n,) means of the true mixture.
        k: components of the generator and intervals of the discriminator, at least n; default n. F changes sign at most
            n + k - 1 times, so that k intervals suffice for the optimal discriminator.
        order: how to restore the order of the endpoints, l_1 <= r_1 <= l_2 <= ..., after every step. "project": the nearest
            ordered point (isotonic regression, which replaces violating neighbors by their mean); "sort"; or "none": not at
            all, so that lengths become signed.

    Returns:
        ``IntervalGame``: with ``optimal_discriminator(mu)``, ``total_variation(mu)`` and ``optimal()``.

    Source: Li, Madry, Peebles and Schmidt 2018, "On the Limitations of First-Order Approximation in GAN Dynamics"; the
    paper does not say how the order is kept.

    Examples:
        >>> game = gmm_tv([-0.5, 0.5])
        >>> game.n_disc, game.n_gen
        (4, 2)
        >>> best = game.optimal_discriminator(torch.tensor([0.0, 0.0], dtype=torch.float64))
        >>> [round(x, 4) for x in best.tolist()]
        [-inf, -1.021, 1.021, inf]
        >>> round(float(game.value(best, torch.zeros(2, dtype=torch.float64))), 4)
        1.0581
    """
    return IntervalGame(mu_star, k, choose("order", order, _ORDERS))


class IntervalGame(Game):
    """The game of a mixture and a union of intervals; made by ``gmm_tv``."""

    def __init__(self, mu_star: Sequence[float] | torch.Tensor, k: int | None, order: str) -> None:
        self.mu_star = check_array("mu_star", mu_star, 1, "a vector (n,) of at least one finite mean", constant=True)
        self.dtype = stated_dtype(mu_star)
        self.order = order
        self.k = len(self.mu_star) if k is None else check_int("k", k, low=len(self.mu_star))
        restore = _ORDERS[order]
        super().__init__(
            lambda ends, mu, batch: -self.value(ends, mu),
            lambda ends, mu, batch: self.value(ends, mu),
            2 * self.k,
            self.k,
            # In closed form: the derivatives of distribution functions are densities, which autograd need not find.
            gradients=self._slopes,
            sample=self._draw,
            init=self._start,
            project=restore and (lambda y: torch.cat([restore(y[: 2 * self.k]), y[2 * self.k :]])),
            name="gmm_tv",
        )

    def value(self, ends: torch.Tensor, mu: torch.Tensor) -> torch.Tensor:
        """L (...) at endpoints (..., 2 k), which may be infinite, and means mu (..., k)."""
        return mass(ends, self.mu_star.to(mu)) + 1 - mass(ends, mu)

    def difference(self, x: torch.Tensor, mu: torch.Tensor) -> torch.Tensor:
        """F(x) (..., m), the density of ``G*`` minus that of G, at points (..., m) and means mu (..., k)."""
        return density(x[..., None] - self.mu_star.to(mu)).mean(-1) - density(x[..., None] - mu[..., None, :]).mean(-1)

    def _slopes(self, ends: torch.Tensor, mu: torch.Tensor, batch: Batch | None = None) -> Players:
        """The gradients of both losses, in closed form."""
        own = density(ends[:, None] - mu)
        gap = density(ends[:, None] - self.mu_star.to(mu)).mean(-1) - own.mean(-1)
        left, right = rearrange(gap, "(interval end) -> end interval", end=2)
        own_left, own_right = rearrange(own, "(interval end) component -> end interval component", end=2)
        return rearrange([left, -right], "end interval -> (interval end)"), (own_right - own_left).sum(0) / self.k

    def optimal_discriminator(self, mu: torch.Tensor) -> torch.Tensor:
        """Endpoints (..., 2 k) of the regions where F > 0, for means mu (..., k), at which L = 1 + TV.

        The outermost endpoints may be infinite. Unused intervals are empty, l = r = inf; if ``G = G*``, all of them are. The
        endpoints have no derivative, and by the envelope theorem dL/dmu needs none at the optimum.
        """
        if not isinstance(mu, torch.Tensor) or not mu.is_floating_point() or mu.shape[-1:] != (self.k,):
            argument_error(
                "mu", mu, f"a floating-point tensor (..., {self.k}), the means of the generator's components"
            )
        # Detached: by the envelope theorem the moving endpoints add nothing to dL/dmu at the optimum.
        means, weights = self._signed(mu.detach())
        points = sign_changes(means, weights)
        edges = torch.cat([points, torch.full_like(points[..., :1], torch.inf)], dim=-1)
        below = (weights[..., None, :] * cdf(edges[..., None] - means[..., None, :])).sum(-1)
        gains = below.diff(dim=-1, prepend=torch.zeros_like(below[..., :1]))
        return positive_intervals(points, gains, self.k)

    def total_variation(self, mu: torch.Tensor) -> torch.Tensor:
        """``TV(G*, G)`` (...) = 1/2 int |F|, for means mu (..., k); its first derivatives are exact."""
        return self.value(self.optimal_discriminator(mu), mu) - 1

    def optimal(self) -> Game:
        """The generator's game against a discriminator that is always optimal: y = mu (k,), gen_loss = 1 + TV.

        The discriminator has no parameters, and its loss is 0.
        """
        return Game(
            # The sum of no parameters: 0, with a graph, so that its gradient is empty and not an error.
            lambda none, mu, batch: none.sum(),
            lambda none, mu, batch: 1 + self.total_variation(mu),
            0,
            self.k,
            sample=lambda mu, n, seed: self._draw(torch.cat([mu.new_zeros(2 * self.k), mu]), n, seed),
            init=lambda seed: self._start(seed)[2 * self.k :],
            name="optimal gmm_tv",
        )

    def _signed(self, mu: torch.Tensor) -> Players:
        """All means (..., n + k) and their weights in F."""
        truth = self.mu_star.to(mu).expand(*mu.shape[:-1], -1)
        weights = [torch.full_like(truth, 1 / truth.shape[-1]), torch.full_like(mu, -1 / self.k)]
        return torch.cat([truth, mu], dim=-1), torch.cat(weights, dim=-1)

    def _draw(self, y: torch.Tensor, n: int, seed: int) -> torch.Tensor:
        source = reseed(torch.Generator(), seed)
        which = torch.randint(self.k, (n,), generator=source).to(y.device)
        return y[2 * self.k :][which] + torch.randn(n, generator=source, dtype=torch.float32).to(y)

    def _start(self, seed: int | None) -> torch.Tensor:
        """Sorted endpoints uniform on (-3, 3) and means uniform on (-1, 1), similar to the paper."""
        draw = torch.rand(3 * self.k, generator=reseed(torch.Generator(), seed or 0), dtype=self.dtype)
        ends = (6 * draw[: 2 * self.k] - 3).sort().values
        return torch.cat([ends, 2 * draw[2 * self.k :] - 1]).to(self.mu_star.device)
