"""Reproducing kernels, and finite features phi whose own kernel phi(x) . phi(y) approximates them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch

from odegan.utils.ambient import unaffected
from odegan.utils.checks import argument_error, check_int, check_number
from odegan.utils.random_streams import reseed

Kernel = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]  # (n, d), (m, d) -> (n, m)


class Features(Protocol):
    """A map phi: R^dim -> R^size, and the kernel that phi(x) . phi(y) approximates.

    ``fourier_features`` and ``energy_features`` make such maps; any object with these four members is one.

    Examples:
        >>> phi = fourier_features(dim=2, count=512, bandwidth=1.0)
        >>> x = torch.zeros(1, 2)
        >>> phi.size, phi(x).shape, phi.kernel(x, x)
        (1024, torch.Size([1, 1024]), tensor([[1.]]))
    """

    @property
    def dim(self) -> int:
        """The dimension of a point, d."""

    @property
    def size(self) -> int:
        """The number of features."""

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """(n, dim) -> (n, size)."""

    def kernel(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """The exact kernel, (n, dim), (m, dim) -> (n, m)."""


def gaussian_kernel(bandwidth: float) -> Kernel:
    """k(x, y) = exp(-|x - y|^2 / (2 bandwidth^2)), as a function (n, d), (m, d) -> (n, m).

    Examples:
        >>> gaussian_kernel(2.0)(torch.zeros(1, 1), torch.tensor([[0.0], [2.0]]))
        tensor([[1.0000, 0.6065]])
    """
    bandwidth = check_number("bandwidth", bandwidth, low=0.0, strict=True)
    return lambda x, y: torch.exp(-_squares(x, y) / (2 * bandwidth**2))


@unaffected
def energy_kernel(anchor: torch.Tensor, softening: float = 0.0) -> Kernel:
    """k(x, y) = (|x - z| + |y - z| - |x - y|) / 2 with z the anchor (d,): the kernel that the distance induces.

    Its squared MMD is E|X - Y| - E|X - X'|/2 - E|Y - Y'|/2, half the square of
    ``odegan.metrics.energy_distance``, for every anchor. With softening
    e > 0 each |u| becomes sqrt(|u|^2 + e^2) - e. This distance too is of negative type, so k is positive definite, and it
    is smooth where the distance itself has a kink, at u = 0.

    Source: Sejdinovic et al. 2013, "Equivalence of distance-based and RKHS-based statistics"; the softened distance: a
    multiquadric (Micchelli 1986).

    Examples:
        >>> energy_kernel(torch.zeros(1))(torch.tensor([[1.0]]), torch.tensor([[-1.0], [1.0], [3.0]]))
        tensor([[0., 1., 1.]])
    """
    softening = check_number("softening", softening, low=0.0)
    if not isinstance(anchor, torch.Tensor) or anchor.ndim != 1:
        argument_error("anchor", anchor, "a tensor (d,), one point")

    def k(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        z = anchor.to(x)[None]
        return (_distance(x, z, softening) + _distance(y, z, softening).T - _distance(x, y, softening)) / 2

    return k


@dataclass(frozen=True, eq=False)
class FourierFeatures:
    """cos(f_j . x) / sqrt(M) and sin(f_j . x) / sqrt(M) for the frequencies f_j, (M, d); ``fourier_features`` draws them."""

    frequencies: torch.Tensor
    bandwidth: float

    @property
    def dim(self) -> int:
        """The dimension of a point, d."""
        return self.frequencies.shape[1]

    @property
    def size(self) -> int:
        """The number of features, 2 M."""
        return 2 * len(self.frequencies)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """(n, d) -> (n, 2 M)."""
        angles = x @ self.frequencies.to(x).T
        return torch.cat([angles.cos(), angles.sin()], -1) / len(self.frequencies) ** 0.5

    def kernel(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """The Gaussian kernel, (n, d), (m, d) -> (n, m)."""
        return gaussian_kernel(self.bandwidth)(x, y)


@dataclass(frozen=True, eq=False)
class EnergyFeatures:
    """L^-1 k(Z, x) with K = k(Z, Z) = L L^T over the landmarks Z; ``energy_features`` makes them."""

    anchor: torch.Tensor
    landmarks: torch.Tensor
    inverse: torch.Tensor
    softening: float

    @property
    def dim(self) -> int:
        """The dimension of a point, d."""
        return self.landmarks.shape[1]

    @property
    def size(self) -> int:
        """The number of features, one per landmark other than the anchor."""
        return len(self.landmarks)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """(n, d) -> (n, size)."""
        return energy_kernel(self.anchor, self.softening)(x, self.landmarks.to(x)) @ self.inverse.to(x).T

    def kernel(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """The exact kernel of the distance, without softening, (n, d), (m, d) -> (n, m)."""
        return energy_kernel(self.anchor)(x, y)


@unaffected
def fourier_features(dim: int, count: int, bandwidth: float, seed: int = 0) -> FourierFeatures:
    """Random Fourier features of the Gaussian kernel: f_j ~ N(0, I / bandwidth^2), j = 1..M.

    phi(x) . phi(y) = (1/M) sum_j cos(f_j . (x - y)) is translation invariant and 1 at x = y for every M. Its mean over the
    frequencies is the Gaussian kernel, its standard deviation at most 1 / sqrt(2 M).

    Args:
        dim: d, the dimension of a point.
        count: M, the number of frequencies; there are 2 M features.
        bandwidth: standard deviation of the kernel, > 0.
        seed: seed of the frequencies.

    Raises:
        ArgumentError: a number is out of range.

    Source: Rahimi and Recht 2007, "Random features for large-scale kernel machines".

    Examples:
        >>> phi = fourier_features(2, 5000, 1.0)
        >>> x = torch.tensor([[0.0, 0.0], [1.0, 0.0]])
        >>> phi.size, (phi(x) @ phi(x).T - gaussian_kernel(1.0)(x, x)).abs().max() < 0.02
        (10000, tensor(True))
    """
    check_int("dim", dim, low=1)
    check_int("count", count, low=1)
    bandwidth = check_number("bandwidth", bandwidth, low=0.0, strict=True)
    # Float64 whatever x has: features then differ between dtypes by rounding only.
    draw = reseed(torch.Generator(), check_int("seed", seed))
    return FourierFeatures(torch.randn(count, dim, generator=draw, dtype=torch.float64) / bandwidth, bandwidth)


@unaffected
def energy_features(landmarks: torch.Tensor, softening: float = 0.0) -> EnergyFeatures:
    """Nystrom features of the energy distance's kernel: phi(x) = L^-1 k(Z, x), L L^T = k(Z, Z).

    The first landmark is the kernel's anchor, where k vanishes, so that it has no feature of its own; Z are the others.
    phi(x) . phi(y) is the kernel of the orthogonal projection onto the span of k(z, .), and equals k where x or y is a
    landmark. So the features' MMD never exceeds the kernel's, and equals it between distributions on the landmarks. Up to
    constants that span is { sum_l a_l |x - z_l| : sum_l a_l = 0 } over all landmarks, so which one comes first changes
    neither the MMD nor the discriminator's gradient.

    Args:
        landmarks: (L, d), L >= 2 distinct points, which should cover the region of data and particles.
        softening: e >= 0 of ``energy_kernel``. With 0 the gradient jumps at every landmark, which costs a solver its order.

    Raises:
        ArgumentError: the landmarks are not distinct points, or too close to tell apart in float64.

    Source: Williams and Seeger 2001, "Using the Nystrom method to speed up kernel machines".

    Examples:
        >>> phi = energy_features(torch.tensor([[0.0], [1.0], [3.0]]))
        >>> x = torch.tensor([[1.0], [3.0]])
        >>> phi.size, (phi(x) @ phi(x).T).round()
        (2, tensor([[1., 1.],
                [1., 3.]]))
    """
    if not isinstance(landmarks, torch.Tensor) or landmarks.ndim != 2 or len(landmarks) < 2 or not landmarks.shape[1]:
        argument_error("landmarks", landmarks, "a tensor (L, d) of at least two points")
    if not bool(torch.isfinite(landmarks).all()):
        argument_error("landmarks", landmarks, "finite")
    softening = check_number("softening", softening, low=0.0)
    anchor = landmarks[0].double()
    rest = landmarks[1:].double()
    # The variant that returns a failure code, so that the error names the landmarks and not a leading minor.
    factor, failed = torch.linalg.cholesky_ex(energy_kernel(anchor, softening)(rest, rest))
    if failed:
        argument_error("landmarks", landmarks, "distinct points, some way apart")
    # The inverse once: a triangular solve in every evaluation is slow, and slower under vmap.
    identity = torch.eye(len(rest), dtype=rest.dtype, device=rest.device)
    return EnergyFeatures(anchor, rest, torch.linalg.solve_triangular(factor, identity, upper=False), softening)


def _squares(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """|x_i - y_j|^2, (n, m), without the cancellation of the expanded square."""
    # |x|^2 - 2 x.y + |y|^2 would lose the digits of small distances, and may turn negative.
    return ((x[:, None] - y[None]) ** 2).sum(-1)


def _distance(x: torch.Tensor, y: torch.Tensor, softening: float) -> torch.Tensor:
    """sqrt(|x_i - y_j|^2 + e^2) - e, (n, m)."""
    if softening:
        return (_squares(x, y) + softening**2).sqrt() - softening
    # Its subgradient at 0 is 0, where the root of a sum of squares gives nan.
    return torch.linalg.vector_norm(x[:, None] - y[None], dim=-1)
