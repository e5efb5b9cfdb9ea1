"""Distances between two samples as distributions: the MMD of any kernel, the energy distance, and Wasserstein-2."""

from collections.abc import Callable

import torch
from torch import Tensor

from odegan.metrics.pairs import distances
from odegan.utils.ambient import unaffected
from odegan.utils.checks import argument_error, check_function


@unaffected
@torch.no_grad()
def mmd(x: Tensor, y: Tensor, kernel: Callable[[Tensor, Tensor], Tensor]) -> float:
    """Maximum mean discrepancy |m_x - m_y| of two empirical distributions, with m the mean embedding, in float64.

    MMD^2 = mean k(x, x') - 2 mean k(x, y) + mean k(y, y'), over all pairs, including equal ones. It is the distance of the
    samples themselves, not the unbiased estimate for the underlying distributions.

    Args:
        x: (n, d).
        y: (m, d).
        kernel: positive definite, a function (n, d), (m, d) -> (n, m).

    Source: Gretton et al. 2012, "A Kernel Two-Sample Test", the biased statistic.

    Examples:
        >>> x, y = torch.tensor([[0.0]]), torch.tensor([[3.0]])
        >>> mmd(x, y, lambda a, b: a @ b.T)
        3.0
    """
    x, y = _points(x, y)
    check_function("kernel", kernel, 2, "a function (n, d), (m, d) -> (n, m)")
    square = kernel(x, x).mean() - 2 * kernel(x, y).mean() + kernel(y, y).mean()
    return float(square.clamp(min=0).sqrt())


@unaffected
@torch.no_grad()
def energy_distance(x: Tensor, y: Tensor) -> float:
    """sqrt(2 E|X - Y| - E|X - X'| - E|Y - Y'|) of two empirical distributions, ``x`` (n, d) and ``y`` (m, d), in float64.

    It is sqrt(2) times the MMD of the kernel that the distance induces (Sejdinovic et al. 2013); in one dimension it equals
    ``scipy.stats.energy_distance``.

    Examples:
        >>> energy_distance(torch.tensor([[0.0]]), torch.tensor([[2.0]]))
        2.0
    """
    x, y = _points(x, y)
    # Rounding may leave a negative square between equal samples, hence the clamp.
    square = 2 * distances(x, y).mean() - distances(x, x).mean() - distances(y, y).mean()
    return float(square.clamp(min=0).sqrt())


@unaffected
@torch.no_grad()
def wasserstein2(x: Tensor, y: Tensor) -> float:
    """The exact Wasserstein-2 distance of two clouds ``x`` and ``y`` (n, d) of equal weights 1/n, in float64.

    W2^2 = min over permutations p of (1/n) sum_i |x_i - y_p(i)|^2 (an optimal coupling of equal weights is a
    permutation: Birkhoff). Costs O(n^3).

    Examples:
        >>> wasserstein2(torch.tensor([[0.0], [1.0]]), torch.tensor([[4.0], [3.0]]))
        3.0
    """
    from scipy.optimize import linear_sum_assignment

    x, y = _points(x, y)
    if len(x) != len(y):
        argument_error("y", y, f"as many points as x has, {len(x)}")
    # Differences, not products: the assignment between near copies depends on small distances.
    cost = ((x[:, None] - y[None]) ** 2).sum(-1).cpu().numpy()
    return float(cost[linear_sum_assignment(cost)].mean() ** 0.5)


def _points(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Check the two samples, and convert them to float64."""
    if not isinstance(x, Tensor) or x.ndim != 2 or len(x) == 0:
        argument_error("x", x, "of shape (n, d), with n > 0")
    if not isinstance(y, Tensor) or y.ndim != 2 or len(y) == 0 or y.shape[1] != x.shape[1]:
        argument_error("y", y, f"of shape (m, {x.shape[1]}), with m > 0")
    return x.double(), y.double()
