"""Precision and recall of generated samples, from nearest neighbors within each set."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from odegan.metrics.pairs import check_pair, distances
from odegan.utils.ambient import unaffected
from odegan.utils.checks import argument_error, check_int


class PrecisionRecall(NamedTuple):
    """precision: share of generated samples in the real manifold; recall: share of real samples in the generated one.

    Examples:
        >>> PrecisionRecall(0.9, 0.5).recall
        0.5
    """

    precision: float
    recall: float


@unaffected
@torch.no_grad()
def precision_recall(real: Tensor, fake: Tensor, k: int = 3, chunk: int = 256) -> PrecisionRecall:
    """Improved precision and recall.

    The manifold of a set is the union of balls around its samples, with the distance to the k-th nearest neighbor in the set as
    radius. Precision is the share of the generated samples inside the real manifold, recall the share of
    the real samples inside the generated one. Distances are computed in float64 without cancellation, so that copies count as
    inside. The cost is O((n + m)^2 d): for tens of thousands of samples use a GPU, or fewer samples.

    Args:
        real: features (n, d), n > k.
        fake: features (m, d), m > k. Rows that are not finite are in no manifold and have no ball.
        k: the neighbor that determines the radius.
        chunk: rows whose distances to a whole set are computed at once.

    Source: Kynkaanniemi et al. 2019, "Improved Precision and Recall Metric for Assessing Generative Models", eqs. 1 and 2.

    Examples:
        >>> real, fake = torch.tensor([[0.0], [1.0], [2.0], [3.0]]), torch.tensor([[0.5], [0.6], [9.0]])
        >>> precision_recall(real, fake, k=1)  # two of three inside; the real ones within 0.1 of 0.5 and 8.4 of 9
        PrecisionRecall(precision=0.666..., recall=0.75)
    """
    check_pair("real, fake", real, fake, "of shapes (n, d) and (m, d)")
    return PrecisionRecall(share_inside(fake, real, k, chunk), share_inside(real, fake, k, chunk))


@unaffected
@torch.no_grad()
def share_inside(points: Tensor, samples: Tensor, k: int = 3, chunk: int = 256) -> float:
    """The share of the points (p, d) that lie in the manifold of the samples (n, d): one half of ``precision_recall``."""
    check_pair("points, samples", points, samples, "of shapes (p, d) and (n, d)")
    check_int("chunk", chunk, low=1)
    if not 1 <= check_int("k", k) < len(samples):
        argument_error("k", k, f"from 1 to {len(samples) - 1}, the number of other samples")
    points = points.double()
    centers = samples.double()
    # The smallest distance is that of a sample to itself.
    radii = torch.cat([distances(rows, centers).kthvalue(k + 1, dim=1).values for rows in centers.split(chunk)])
    radii = torch.where(radii.isfinite(), radii, math.nan)  # infinite if too few neighbors are finite
    inside = [(distances(rows, centers) <= radii).any(1) for rows in points.split(chunk)]
    return float(torch.cat(inside).double().mean())
