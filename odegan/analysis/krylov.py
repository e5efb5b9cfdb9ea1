"""The largest eigenvalues of a large matrix from matrix-vector products, with vectors that stay on the device.

Krylov-Schur (Stewart 2002, SIAM J. Matrix Anal. Appl. 23(3), 601-614): an Arnoldi decomposition A V = V H + v b^T is
truncated to its best Schur vectors whenever it is full, and then grown again. Only the small matrix H is on the CPU.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from odegan.utils.checks import ArgumentError

Product = Callable[[torch.Tensor], torch.Tensor]
Report = Callable[[int, int], None]

MEASURES: dict[str, Callable[[np.ndarray], np.ndarray]] = {"modulus": np.abs, "real": np.real}
CHECK = 4  # products between two computations of H's eigenvalues
SEARCH = 20  # products spent on searching the complement of the converged vectors for copies
LIMIT = 5000  # most products


@dataclass(frozen=True)
class Eigenvalues:
    """values: (k,) complex128, sorted; residuals: (k,), |A x - lambda x| for unit vectors x; products: number of products."""

    values: np.ndarray
    residuals: np.ndarray
    products: int


def room_for(k: int) -> int:
    """The dimension of the Krylov space used for k eigenvalues; one more vector is stored."""
    return max(3 * k, k + 30)


def largest_eigenvalues(
    product: Product, like: torch.Tensor, k: int, which: str, accuracy: float, tol: float, report: Report
) -> Eigenvalues:
    """The k eigenvalues of largest modulus or real part of a real matrix A (P, P).

    A Krylov space contains only one eigenvector of a repeated eigenvalue. So once all k have converged they are locked, and a
    new random vector explores their complement for SEARCH products. This finds a copy, or another missed eigenvalue, that
    exceeds the remaining ones by a factor of about P^(1 / (2 SEARCH)), which is 1.4 at P = 1e6; then the iteration continues.

    Args:
        product: v (P,) -> A v (P,), floating point.
        like: (P,), with the dtype and device of the vectors.
        k: number of eigenvalues; room_for(k) < P.
        which: a key of MEASURES.
        accuracy: a pair (lambda, x), |x| = 1, has converged if |A x - lambda x| <= accuracy |lambda|,
        tol: or <= tol max|lambda|, below which an eigenvalue counts as zero.
        report: called as (products, converged) after each computation of H's eigenvalues.

    Raises:
        ArgumentError: a product is not finite, or there is no convergence within LIMIT products.
    """
    space = _Space(product, like, room_for(k))
    measure = MEASURES[which]
    locked: np.ndarray | None = None
    searched = 0
    while space.products < LIMIT:
        space.expand()
        searched += 1
        full = space.size == space.room
        if not full and (space.size <= k or space.products % CHECK):
            continue
        values, residuals = space.ritz(measure)
        small = np.maximum(accuracy * np.abs(values[:k]), space.floor(tol, values))
        converged = int((residuals[:k] <= small).sum())
        report(space.products, converged)
        if converged < k:
            if full:
                space.shrink(k + (space.size - k) // 2, measure)
            continue
        found = measure(values[:k])
        if locked is None or (np.abs(found - locked) > small).any():
            # A set of the same eigenvalues twice, with a search in between, is the criterion: a copy found changes the set.
            space.shrink(k, measure)
            space.restart()
            locked = found
            searched = 0
        elif searched >= SEARCH:
            true = np.hypot(residuals[:k], space.rounding())  # the recurrence omits rounding
            return Eigenvalues(values[:k] * space.scale, true * space.scale, space.products)
    raise ArgumentError(
        f"k: got {k}; {converged} converged within {LIMIT} products; ask for fewer, or for a larger accuracy than {accuracy:g}"
    )


def in_order(values: np.ndarray, measure: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Indices that sort eigenvalues, largest first; of a complex pair the one above the real axis comes first."""
    unit = np.abs(values).max(initial=0.0) or 1.0

    def rounded(numbers: np.ndarray) -> np.ndarray:
        # Pairs of equal modulus must not interleave, and rounding must not decide between a and -a.
        return np.round(numbers / unit, 9)

    keys = (-values.imag, -rounded(values.real), -rounded(np.abs(values.imag)), -rounded(measure(values)))
    return np.lexsort(keys)


class _Space:
    """A V = V H + v b^T + (terms dropped by locking); V (P, size) is orthonormal, stored as rows; A is scaled by ``scale``."""

    def __init__(self, product: Product, like: torch.Tensor, room: int) -> None:
        self.product = product
        self.room = room
        self.random = torch.Generator().manual_seed(0)
        self.basis = like.new_empty((room + 1, len(like)))
        self.matrix = np.zeros((room + 1, room))  # H, with b^T as the row below
        self.dropped = np.zeros((0, room))  # rows b^T that locking has set to zero
        self.size = 0
        self.products = 0
        self.scale = 0.0
        self.eps = torch.finfo(like.dtype).eps
        self.loss = self.eps  # estimate of the largest inner product of two vectors of V
        self.restart()

    def restart(self) -> None:
        """Continue from a random vector orthogonal to V, and move b^T to the dropped terms."""
        last = self.matrix[self.size]
        if last.any():
            self.dropped = np.vstack([self.dropped, last])
        self.matrix[self.size] = 0.0
        # Drawn on the CPU, so that every device starts from the same vector.
        vector = torch.randn(self.basis.shape[1], generator=self.random, dtype=torch.float64).to(self.basis)
        # Twice is enough (Kahan and Parlett): the second pass removes what rounding left of the first.
        for _ in range(2):
            vector = vector / torch.linalg.vector_norm(vector)
            vector = vector - (self.basis[: self.size] @ vector) @ self.basis[: self.size]
        self.basis[self.size] = vector / torch.linalg.vector_norm(vector)

    def expand(self) -> None:
        """Extend the space by one vector: an Arnoldi step."""
        image = self.product(self.basis[self.size])
        self.products += 1
        if not self.scale:  # keeps norms from under- and overflowing
            self.scale = image.abs().max().item()
        image = image / (self.scale or 1.0)
        size = torch.linalg.vector_norm(image).item()
        if not math.isfinite(size):
            raise ArgumentError("y: the field's Jacobian is not finite there; it must be at a finite point")
        image, column, left = self.project(image, size)
        self.size += 1
        self.matrix[: self.size, self.size - 1] = column
        if left <= 4 * self.eps * size:  # the space is invariant; the remainder is rounding
            self.restart()
            return
        self.matrix[self.size, self.size - 1] = left
        torch.div(image, left, out=self.basis[self.size])

    def project(self, image: torch.Tensor, size: float) -> tuple[torch.Tensor, np.ndarray, float]:
        """Orthogonalize a vector of this norm against V: the remainder, the coefficients in V, and the norm of the remainder.

        A pass over V costs as much as a product with A. So V is kept orthonormal only to sqrt(eps), which suffices for H (Simon
        1984, Math. Comp. 42, 115-142), and the pass is repeated only if the estimated loss of orthogonality would exceed that.
        """
        rows = self.basis[: self.size + 1]
        column = np.zeros(len(rows))
        for _ in range(3):
            if size == 0:
                break
            part = rows @ image
            image.addmv_(rows.T, part, alpha=-1)
            before = size
            size = torch.linalg.vector_norm(image).item()
            coefficients = part.double().cpu().numpy()
            column += coefficients
            loss = math.inf
            if size > 0:
                loss = (self.loss * float(np.linalg.norm(coefficients)) + self.eps * before) / size
            if loss <= math.sqrt(self.eps):
                self.loss = max(self.loss, loss)
                break
        return image, column, size

    def ritz(self, measure: Callable[[np.ndarray], np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """The sorted eigenvalues of H, and the residual norms of their vectors."""
        values, vectors = np.linalg.eig(self.matrix[: self.size, : self.size])
        order = in_order(values, measure)
        remainders = np.vstack([self.matrix[self.size], self.dropped])[:, : self.size]
        residuals = np.linalg.norm(remainders @ vectors[:, order], axis=0)
        return values[order].astype(np.complex128), residuals

    def floor(self, tol: float, values: np.ndarray) -> float:
        """The residual below which any vector counts as an eigenvector: the threshold for zero, or rounding."""
        return max(tol * float(np.abs(values).max()), 16 * self.rounding())

    def rounding(self) -> float:
        """The rounding error of a product with A."""
        return self.eps * float(np.linalg.norm(self.matrix))

    def shrink(self, count: int, measure: Callable[[np.ndarray], np.ndarray]) -> None:
        """Keep the Schur vectors of the first ``count`` eigenvalues, or one more so as not to split a complex pair."""
        from scipy.linalg import schur
        from scipy.linalg.lapack import dtrsen

        n = self.size
        triangle, rotation = schur(self.matrix[:n, :n], output="real")
        chosen = np.zeros(n, dtype=np.int32)
        chosen[in_order(_on_the_diagonal(triangle), measure)[:count]] = 1
        triangle, rotation, _, _, kept, *_ = dtrsen(chosen, triangle, rotation, job="N")
        rotation = rotation[:, :kept]
        # The only large product of a restart: the small matrices stay on the CPU.
        turn = torch.from_numpy(np.ascontiguousarray(rotation.T)).to(self.basis)
        self.basis[:kept] = turn @ self.basis[:n]
        self.basis[kept] = self.basis[n]
        last = self.matrix[n, :n] @ rotation
        dropped = self.dropped[:, :n] @ rotation
        self.matrix[:] = 0.0
        self.matrix[:kept, :kept] = triangle[:kept, :kept]
        self.matrix[kept, :kept] = last
        self.dropped = np.pad(dropped, ((0, 0), (0, self.room - kept)))
        self.size = kept


def _on_the_diagonal(triangle: np.ndarray) -> np.ndarray:
    """The eigenvalues of a real Schur form in diagonal order; a block [[a, b], [c, a]] has a +- i sqrt(-b c)."""
    product = np.diag(triangle, 1) * np.diag(triangle, -1)
    imaginary = np.sqrt(np.maximum(-product, 0.0))
    values = np.diag(triangle).astype(np.complex128)
    values[:-1] += 1j * imaginary
    values[1:] -= 1j * imaginary
    return values
