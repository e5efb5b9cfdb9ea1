"""Frechet distance between real and generated images in the features of any network."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from odegan.metrics.features import extract_features
from odegan.utils.ambient import unaffected
from odegan.utils.checks import argument_error

_CHUNK = 4096  # rows held in float64 at once


class Moments(NamedTuple):
    """``mean`` (d,) and ``covariance`` (d, d), with denominator n - 1, in float64.

    Examples:
        >>> frechet_distance(Moments(torch.zeros(1), torch.eye(1)), Moments(torch.ones(1), torch.eye(1)))
        1.0
    """

    mean: Tensor
    covariance: Tensor


@unaffected
@torch.no_grad()
def moments(features: Tensor) -> Moments:
    """Mean and covariance of features (n, d), n >= 2, in float64; two passes, so that a large mean loses no digits.

    Examples:
        >>> moments(torch.tensor([[0.0], [2.0]]))
        Moments(mean=tensor([1.], dtype=torch.float64), covariance=tensor([[2.]], dtype=torch.float64))
    """
    if not isinstance(features, Tensor) or features.dim() != 2 or len(features) < 2:
        argument_error("features", features, "of shape (n, d) with n >= 2, for a covariance")
    n = len(features)
    chunks = features.split(_CHUNK)
    mean = torch.stack([rows.double().sum(0) for rows in chunks]).sum(0) / n
    covariance = sum((rows.double() - mean).T @ (rows.double() - mean) for rows in chunks) / (n - 1)
    return Moments(mean, torch.as_tensor(covariance))


@unaffected
@torch.no_grad()
def frechet_distance(real: Moments, fake: Moments) -> float:
    """The squared Fréchet (Wasserstein-2) distance of two Gaussians, known as FID; nan if a moment is not finite.

    ||m_r - m_f||^2 + tr(S_r + S_f - 2 (S_r S_f)^(1/2)), of the ``Moments`` ``real`` and ``fake``.

    The trace of the root is computed as the sum of the singular values of S_r^(1/2) S_f^(1/2), with roots from eigenvalues in
    float64. So if the covariances are singular, as with fewer samples than features, no further square root amplifies the
    rounding of their zeros.

    Source: Dowson and Landau 1982, eq. 4; Heusel et al. 2017, "GANs Trained by a Two Time-Scale Update Rule Converge to a
    Local Nash Equilibrium", eq. 6.

    Examples:
        >>> one = torch.ones(1, 1, dtype=torch.float64)
        >>> frechet_distance(Moments(0 * one[0], 4 * one), Moments(3 * one[0], 25 * one))  # 3^2 + (2 - 5)^2
        18.0
    """
    for name, one in {"real": real, "fake": fake}.items():
        if not isinstance(one, Moments):
            argument_error(name, one, "Moments, as odegan.metrics.moments makes them")
    if real.mean.shape != fake.mean.shape:
        argument_error("fake", f"moments of {len(fake.mean)} features", f"of as many as real, {len(real.mean)}")
    if not all(part.isfinite().all() for part in (*real, *fake)):
        return float("nan")  # the eigenvalue routine would raise an error
    middle = torch.linalg.svdvals(_root(real.covariance) @ _root(fake.covariance)).sum()
    distance = (real.mean - fake.mean).square().sum()
    return float(distance + real.covariance.trace() + fake.covariance.trace() - 2 * middle)


def _root(covariance: Tensor) -> Tensor:
    """The symmetric square root of a positive semidefinite matrix."""
    values, vectors = torch.linalg.eigh(covariance)
    # Rounding makes zero eigenvalues slightly negative.
    return vectors * values.clamp(min=0).sqrt() @ vectors.T


def fid(features: nn.Module, real: Tensor, fake: Tensor, batch_size: int = 512) -> float:
    """The squared Fréchet distance between the features of two sets of images; see ``frechet_distance``.

    Computed in float64, from features in evaluation mode. The value depends on the feature network, the preprocessing of the
    images and both sample sizes (the bias falls as 1/n), so state these with it, as ``odegan.metrics.scores`` does. Only with
    Inception-v3's pool features is it the FID of the literature.

    Args:
        features: maps images (B, ...) to (B, d).
        real: images (n, ...), at least two.
        fake: images (m, ...), at least two. The distance is nan if the features of any image are not finite.
        batch_size: images per forward pass.

    Examples:
        >>> x = torch.arange(8.0).reshape(4, 1, 1, 2)
        >>> round(fid(nn.Flatten(), x, x + 1), 6)  # |difference of the means|^2 in 2 dimensions
        2.0
    """
    for name, images in (("real", real), ("fake", fake)):
        if len(images) < 2:
            argument_error(name, images, "at least 2 images, for a covariance")
    rows = [extract_features(features, images, batch_size) for images in (real, fake)]
    return frechet_distance(moments(rows[0]), moments(rows[1]))
