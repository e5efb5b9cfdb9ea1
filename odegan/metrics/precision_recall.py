"""Precision and recall of generated samples, from the nearest neighbors of either set."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from odegan.metrics.pairs import check_pair, distances
from odegan.utils.checks import argument_error, check_int


class PrecisionRecall(NamedTuple):
    """The share of generated samples that look real, and of real samples that could have been generated."""

    precision: float
    recall: float


@torch.no_grad()
def precision_recall(real: Tensor, fake: Tensor, k: int = 3, chunk: int = 256) -> PrecisionRecall:
    """Improved precision and recall.

    A set's manifold is the union of balls around its samples, each with the distance to the sample's k-th nearest neighbor
    in the set as its radius. Precision is the share of the generated samples inside the real manifold, recall the share of
    the real samples inside the generated one. Distances are taken in float64 and exactly, so that copies count as inside.
    The work is O((n + m)^2 d): for tens of thousands of samples take a GPU, or fewer samples.

    Args:
        real: features (n, d), n > k.
        fake: features (m, d), m > k. Rows that are not finite are in no manifold and have no ball.
        k: which neighbor sets the radius.
        chunk: rows whose distances to a whole set are held at once.

    Source: Kynkaanniemi et al. 2019, "Improved Precision and Recall Metric for Assessing Generative Models", eqs. 1 and 2.

    Examples:
        >>> real, fake = torch.tensor([[0.0], [1.0], [2.0], [3.0]]), torch.tensor([[0.5], [0.6], [9.0]])
        >>> precision_recall(real, fake, k=1)  # two of three inside; the real ones within 0.1 of 0.5 and 8.4 of 9
        PrecisionRecall(precision=0.666..., recall=0.75)
    """
    check_pair("real, fake", real, fake, "of shapes (n, d) and (m, d)")
    return PrecisionRecall(share_inside(fake, real, k, chunk), share_inside(real, fake, k, chunk))


@torch.no_grad()
def share_inside(points: Tensor, samples: Tensor, k: int = 3, chunk: int = 256) -> float:
    """The share of the points (p, d) that lie in the manifold of the samples (n, d): one half of ``precision_recall``."""
    check_pair("points, samples", points, samples, "of shapes (p, d) and (n, d)")
    check_int("chunk", chunk, low=1)
    if not 1 <= check_int("k", k) < len(samples):
        argument_error("k", k, f"from 1 to {len(samples) - 1}, the number of other samples")
    points = points.double()
    centers = samples.double()
    # The smallest distance of all is a sample's to itself.
    radii = torch.cat([distances(rows, centers).kthvalue(k + 1, dim=1).values for rows in centers.split(chunk)])
    radii = torch.where(radii.isfinite(), radii, math.nan)  # infinite where too few neighbors are finite
    inside = [(distances(rows, centers) <= radii).any(1) for rows in points.split(chunk)]
    return float(torch.cat(inside).double().mean())
