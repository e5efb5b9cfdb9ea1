"""Coverage: the fraction of the real data, per class, that has generated neighbors."""

from typing import NamedTuple

import torch
from torch import Tensor

from odegan.metrics.pairs import distances
from odegan.utils.ambient import unaffected
from odegan.utils.checks import argument_error, check_int


class Coverage(NamedTuple):
    """The fraction of covered real samples: ``per_class`` (C,), and ``overall``.

    Examples:
        >>> Coverage(torch.tensor([1.0, 0.5], dtype=torch.float64), 0.75).overall
        0.75
    """

    per_class: Tensor  # (C,) float64
    overall: float


@unaffected
@torch.no_grad()
def coverage(real_features: Tensor, fake_features: Tensor, labels: Tensor, k: int = 5, chunk: int = 1024) -> Coverage:
    """Coverage of Naeem et al., split by the class of the real sample.

    Let r_i be the distance of real sample x_i to its k-th nearest neighbor among all other real samples, of whatever class. x_i
    is *covered* if some generated sample lies within r_i of it (distance <= r_i, so that an exact copy covers it even if
    duplicates make r_i zero). Balls sit around real samples, so generated outliers and noise cover nothing. Fake = real gives 1
    everywhere; for m generated samples of the *same* distribution as the n real ones the expectation is 1 - (n-1)...(n-k) /
    ((m+n-1)...(m+n-k)), 0.969 for k = 5 and n = m large.

    Args:
        real_features: (n, d).
        fake_features: (m, d); rows that are not finite cover nothing.
        labels: (n,) integers 0..C-1, the real samples' classes, each present.
        k: the neighbor that determines the radius.
        chunk: real samples whose distances to all others are computed at once.

    Source: Naeem et al. 2020, "Reliable Fidelity and Diversity Metrics for Generative Models".

    Examples:
        >>> real = torch.arange(12.0)[:, None]
        >>> coverage(real, real[:6] + 0.1, labels=torch.arange(12) // 6, k=1).per_class
        tensor([1.0000, 0.1667], dtype=torch.float64)
    """
    if not isinstance(real_features, Tensor) or real_features.dim() != 2:
        argument_error("real_features", real_features, "of shape (n, d)")
    n = len(real_features)
    if not 1 <= check_int("k", k) < n:
        argument_error("k", k, f"from 1 to {n - 1}, the number of other real samples")
    if not isinstance(labels, Tensor) or labels.shape != (n,):
        argument_error("labels", labels, f"of shape ({n},), one per real sample")
    if labels.is_floating_point() or labels.min() < 0:
        argument_error("labels", labels.unique().tolist(), "whole numbers from 0")
    check_int("chunk", chunk, low=1)
    if (
        not isinstance(fake_features, Tensor)
        or fake_features.dim() != 2
        or fake_features.shape[1:] != real_features.shape[1:]
    ):
        argument_error("fake_features", fake_features, f"of shape (m, {real_features.shape[1]})")
    sizes = torch.bincount(labels)
    if not sizes.all():
        argument_error("labels", labels.unique().tolist(), "classes 0..C-1, each present")

    real = real_features.double()
    fake = fake_features.double()
    covered = torch.cat([_covered(rows, real, fake, k) for rows in real.split(chunk)]).double()
    per_class = torch.bincount(labels, weights=covered) / sizes
    return Coverage(per_class, float(covered.mean()))


def _covered(rows: Tensor, real: Tensor, fake: Tensor, k: int) -> Tensor:
    """(b, d), a part of real (n, d), and fake (m, d) -> (b,) bool."""
    # k + 1: the smallest distance is that to the sample itself.
    radius = distances(rows, real).kthvalue(k + 1, dim=1).values
    return (distances(rows, fake) <= radius[:, None]).any(1)
