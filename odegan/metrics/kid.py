"""Kernel Inception distance: an unbiased estimate of the squared MMD between two sets of features."""

from typing import NamedTuple

import torch
from torch import Tensor

from odegan.metrics.pairs import check_pair
from odegan.utils.ambient import unaffected
from odegan.utils.checks import argument_error, check_int
from odegan.utils.random_streams import generator


class Mean(NamedTuple):
    """The mean of a score over subsets of the samples, and its standard deviation (with their number as denominator)."""

    value: float
    std: float


@unaffected
@torch.no_grad()
def kid(real: Tensor, fake: Tensor, subsets: int = 100, subset_size: int = 1000, seed: int = 0) -> Mean:
    """The mean of ``polynomial_mmd`` over random subsets, and its standard deviation over them.

    Each subset has ``subset_size`` rows of each set, drawn without replacement. Unlike FID the estimate is unbiased, so that
    scores of different sample sizes are comparable; it may be negative.

    Args:
        real: features (n, d).
        fake: features (m, d); the score is nan if a drawn row is not finite.
        subsets: number of subsets.
        subset_size: images per subset, at most n and m.
        seed: seed of the draws.

    Source: Binkowski et al. 2018, "Demystifying MMD GANs", section 4.

    Examples:
        >>> real = torch.randn(200, 4, generator=torch.Generator().manual_seed(0))
        >>> score = kid(real, real + 1, subsets=10, subset_size=50)
        >>> score.value > 3 * score.std
        True
    """
    check_pair("real, fake", real, fake, "of shapes (n, d) and (m, d), with n, m >= 2", least=2)
    most = min(len(real), len(fake))
    check_int("subsets", subsets, low=1)
    check_int("seed", seed)
    if not 2 <= check_int("subset_size", subset_size) <= most:
        argument_error("subset_size", subset_size, f"from 2 to {most}, the samples there are")
    draw = generator(seed, "kid", 0)

    def part(rows: Tensor) -> Tensor:
        # Drawn on the CPU, so that scores do not depend on the device.
        return rows[torch.randperm(len(rows), generator=draw)[:subset_size].to(rows.device)]

    # Subsets one after the other: the kernel of one of 1,000 rows fits in memory, that of 50,000 does not.
    values = torch.tensor([polynomial_mmd(part(real), part(fake)) for _ in range(subsets)], dtype=torch.float64)
    return Mean(float(values.mean()), float(values.std(correction=0)))


@unaffected
@torch.no_grad()
def polynomial_mmd(real: Tensor, fake: Tensor) -> float:
    """The unbiased squared MMD with k(x, y) = (x.y / d + 1)^3, in float64.

    1/(n(n-1)) sum_{i != j} k(x_i, x_j) + 1/(m(m-1)) sum_{i != j} k(y_i, y_j) - 2/(nm) sum_{ij} k(x_i, y_j)

    Args:
        real: features x (n, d), n >= 2.
        fake: features y (m, d), m >= 2.

    Source: Gretton et al. 2012, "A Kernel Two-Sample Test", lemma 6.

    Examples:
        >>> polynomial_mmd(torch.tensor([[1.0], [1.0]]), torch.tensor([[0.0], [0.0]]))  # 8 + 1 - 2
        7.0
    """
    check_pair("real, fake", real, fake, "of shapes (n, d) and (m, d), with n, m >= 2", least=2)
    x = real.double()
    y = fake.double()

    def within(rows: Tensor) -> Tensor:
        kernel = _kernel(rows, rows)
        # Without the diagonal: k(x, x) would bias the estimate upward.
        return (kernel.sum() - kernel.trace()) / (len(rows) * (len(rows) - 1))

    return float(within(x) + within(y) - 2 * _kernel(x, y).mean())


def _kernel(x: Tensor, y: Tensor) -> Tensor:
    return (x @ y.T / x.shape[1] + 1) ** 3
