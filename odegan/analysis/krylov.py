"""The largest eigenvalues of a large matrix from its products alone, with vectors that stay on the device.

Krylov-Schur (Stewart 2002, SIAM J. Matrix Anal. Appl. 23(3), 601-614): an Arnoldi decomposition A V = V H + v b^T is cut down
to its best Schur vectors whenever it is full, and grown again. Only H, a small matrix, is ever on the CPU.
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
CHECK = 4  # products between two looks at the eigenvalues of H
SEARCH = 20  # products in the complement of what has converged, in search of copies
LIMIT = 5000  # products before it gives up


@dataclass(frozen=True)
class Eigenvalues:
    """values (k,) complex128, in order; residuals (k,), |A x - lambda x| of unit vectors x; products, how many were made."""

    values: np.ndarray
    residuals: np.ndarray
    products: int


def room_for(k: int) -> int:
    """How many vectors the search for k eigenvalues keeps, besides one more."""
    return max(3 * k, k + 30)


def largest_eigenvalues(
    product: Product, like: torch.Tensor, k: int, which: str, accuracy: float, tol: float, report: Report
) -> Eigenvalues:
    """The k eigenvalues of largest modulus or real part of a real matrix A (P, P).

    A Krylov space holds one vector for each eigenvalue, however many copies of it there are. So once all k have converged they
    are locked and a fresh random vector searches their complement for SEARCH products: a copy, or whatever else the first
    vector missed, that stands out by more than some P^(1 / (2 SEARCH)), 1.4 at P = 1e6, among the eigenvalues left is found,
    and the search begins again.

    Args:
        product: v (P,) -> A v (P,), floating point.
        like: (P,), for the vectors' dtype and device.
        k: how many; room_for(k) < P.
        which: a key of MEASURES.
        accuracy: a pair (lambda, x) has converged when |A x - lambda x| <= accuracy |lambda|, |x| = 1,
        tol: or <= tol max|lambda|, below which an eigenvalue counts as zero.
        report: called as (products, converged) at every look.

    Raises:
        ArgumentError: a product that is not finite; no convergence within LIMIT products.
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
            space.shrink(k, measure)
            space.start_afresh()
            locked = found
            searched = 0
        elif searched >= SEARCH:
            true = np.hypot(residuals[:k], space.rounding())  # what the recurrence leaves out
            return Eigenvalues(values[:k] * space.scale, true * space.scale, space.products)
    raise ArgumentError(
        f"k: got {k}; {converged} converged within {LIMIT} products; ask for fewer, or for a larger accuracy than {accuracy:g}"
    )


def in_order(values: np.ndarray, measure: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """The positions of eigenvalues, largest first; of a complex pair the one above the real axis first."""
    unit = np.abs(values).max(initial=0.0) or 1.0

    def rounded(numbers: np.ndarray) -> np.ndarray:
        # Two pairs of one modulus must not interleave, nor rounding choose between a and -a.
        return np.round(numbers / unit, 9)

    keys = (-values.imag, -rounded(values.real), -rounded(np.abs(values.imag)), -rounded(measure(values)))
    return np.lexsort(keys)


class _Space:
    """A V = V H + v b^T + (what locking has dropped); V (P, size) orthonormal, kept as rows, in units of ``scale``."""

    def __init__(self, product: Product, like: torch.Tensor, room: int) -> None:
        self.product = product
        self.room = room
        self.random = torch.Generator().manual_seed(0)
        self.basis = like.new_empty((room + 1, len(like)))
        self.matrix = np.zeros((room + 1, room))  # H, and b^T in the row below
        self.dropped = np.zeros((0, room))  # rows b^T that locking has taken for zero
        self.size = self.products = 0
        self.scale = 0.0
        self.eps = torch.finfo(like.dtype).eps
        self.loss = self.eps  # the largest scalar product of two vectors of V, estimated
        self.start_afresh()

    def start_afresh(self) -> None:
        """Go on from a random vector orthogonal to V, and count what b^T still says among what is dropped."""
        last = self.matrix[self.size]
        if last.any():
            self.dropped = np.vstack([self.dropped, last])
        self.matrix[self.size] = 0.0
        vector = torch.randn(self.basis.shape[1], generator=self.random, dtype=torch.float64).to(self.basis)
        for _ in range(2):
            vector = vector / torch.linalg.vector_norm(vector)
            vector = vector - (self.basis[: self.size] @ vector) @ self.basis[: self.size]
        self.basis[self.size] = vector / torch.linalg.vector_norm(vector)

    def expand(self) -> None:
        """One Arnoldi step."""
        image = self.product(self.basis[self.size])
        self.products += 1
        if not self.scale:  # so that no norm below under- or overflows
            self.scale = image.abs().max().item()
        image = image / (self.scale or 1.0)
        size = torch.linalg.vector_norm(image).item()
        if not math.isfinite(size):
            raise ArgumentError("y: the field's Jacobian is not finite there; it must be at a finite point")
        image, column, left = self.project(image, size)
        self.size += 1
        self.matrix[: self.size, self.size - 1] = column
        if left <= 4 * self.eps * size:  # the space is invariant, and what is left is rounding
            self.start_afresh()
            return
        self.matrix[self.size, self.size - 1] = left
        torch.div(image, left, out=self.basis[self.size])

    def project(self, image: torch.Tensor, size: float) -> tuple[torch.Tensor, np.ndarray, float]:
        """What is left of a vector of this norm beside V, its coefficients in V, and the norm of what is left.

        One pass over V costs as much as a product with A. So V is kept orthonormal to sqrt(eps) only, which is enough for H
        (Simon 1984, Math. Comp. 42, 115-142), and a pass is repeated where the estimated loss would exceed that.
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
        """The eigenvalues of H in order, and the residual norms of the vectors that belong to them."""
        values, vectors = np.linalg.eig(self.matrix[: self.size, : self.size])
        order = in_order(values, measure)
        remainders = np.vstack([self.matrix[self.size], self.dropped])[:, : self.size]
        residuals = np.linalg.norm(remainders @ vectors[:, order], axis=0)
        return values[order].astype(np.complex128), residuals

    def floor(self, tol: float, values: np.ndarray) -> float:
        """The residual below which a vector counts as an eigenvector whatever its eigenvalue: zero, or rounding."""
        return max(tol * float(np.abs(values).max()), 16 * self.rounding())

    def rounding(self) -> float:
        """The rounding error of a product with A."""
        return self.eps * float(np.linalg.norm(self.matrix))

    def shrink(self, count: int, measure: Callable[[np.ndarray], np.ndarray]) -> None:
        """Keep the Schur vectors of the first ``count`` eigenvalues, or of one more where a complex pair is at the edge."""
        from scipy.linalg import schur
        from scipy.linalg.lapack import dtrsen

        n = self.size
        triangle, rotation = schur(self.matrix[:n, :n], output="real")
        chosen = np.zeros(n, dtype=np.int32)
        chosen[in_order(_on_the_diagonal(triangle), measure)[:count]] = 1
        triangle, rotation, _, _, kept, *_ = dtrsen(chosen, triangle, rotation, job="N")
        rotation = rotation[:, :kept]
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
    """The eigenvalues of a real Schur form where they stand: a block [[a, b], [c, a]] holds a +- i sqrt(-b c)."""
    product = np.diag(triangle, 1) * np.diag(triangle, -1)
    imaginary = np.sqrt(np.maximum(-product, 0.0))
    values = np.diag(triangle).astype(np.complex128)
    values[:-1] += 1j * imaginary
    values[1:] -= 1j * imaginary
    return values
