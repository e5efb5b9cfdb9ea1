"""Eigenvalues at the equilibrium of a GAN with a linear discriminator, in closed form, by 2x2 blocks.

There the Jacobian of the unpenalized field consists of blocks [[-a, -h], [h, 0]], each for a direction of D and the same one of
G: a is the curvature of D's own loss, h the coupling. The eigenvalues of a penalized block are the roots of x^2 - T x + Delta,
with T and Delta below.
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment


class Block(NamedTuple):
    """Curvature a, coupling h, and the position c of the data, which only ``closed_loop`` reads."""

    a: float
    h: float
    c: float = 0.0


TraceAndDeterminant = tuple[float, float]


def _damped(damping: float, block: Block) -> TraceAndDeterminant:
    """Trace and determinant with a damping term -damping theta for D only."""
    return -(block.a + damping), block.h**2


def _consensus(b: Block, w: float) -> TraceAndDeterminant:
    return -(b.a + 2 * w * b.h**2 + w * b.a**2), b.h**2 + w * b.a * b.h**2 + w**2 * b.h**4


# Penalty -> (block, weight) -> (trace, determinant). The first four are JARE's table; the others are derived from their
# gradients.
BLOCKS: dict[str, Callable[[Block, float], TraceAndDeterminant]] = {
    "none": lambda b, w: _damped(0.0, b),
    "reg-G2": lambda b, w: _damped(w * b.h**2, b),
    "consensus": _consensus,
    "JARE": lambda b, w: (-(b.a + 2 * w * b.h**2), b.h**2 + w**2 * b.h**4),
    "R1": lambda b, w: _damped(w, b),
    "zero-centered GP": lambda b, w: _damped(2 * w, b),
    "generator gradient": lambda b, w: _damped(2 * w * b.h**2, b),
    "feedback": lambda b, w: _damped(w, b),
    "closed loop": lambda b, w: _damped(4 * w * b.c**2, b),
}


def eigenvalues(method: str, blocks: Iterable[Block], weight: float) -> list[complex]:
    """Both roots of every block, the one of larger modulus first.

    >>> [value.real for value in eigenvalues("feedback", [Block(a=0.0, h=1.0)], 2.0)]
    [-1.0, -1.0]
    """
    return [root for block in blocks for root in roots(*BLOCKS[method](block, weight))]


def roots(trace: float, determinant: float) -> tuple[complex, complex]:
    """The roots of x^2 - trace x + determinant, without cancellation.

    >>> [root.real for root in roots(-3.0, 2.0)]
    [-2.0, -1.0]
    """
    square = cmath.sqrt(trace**2 - 4 * determinant)
    # The root without cancellation first; the other from the product of both.
    large = (trace - square if trace <= 0 else trace + square) / 2
    return large, (determinant / large if large else large)


def relative_difference(found: Iterable[complex], exact: Iterable[complex]) -> float:
    """The largest |found - exact| / |exact| (absolute if exact is 0) in the pairing of least total distance.

    >>> relative_difference([1.0, 2.0], [2.0, 1.0])
    0.0
    """
    f = np.asarray(list(found))
    e = np.asarray(list(exact))
    distances = np.abs(f[:, None] - e)
    i, j = linear_sum_assignment(distances)
    return float((distances[i, j] / np.where(e[j] == 0, 1.0, np.abs(e[j]))).max())


def phase_factor(values: Iterable[complex]) -> float:
    """max |Im| / |Re|, and 0 for a real spectrum.

    >>> phase_factor([-1 + 2j, -1 - 2j]), phase_factor([1j, -1j])
    (2.0, inf)
    """
    return max(0.0 if value.imag == 0 else abs(value.imag / value.real) if value.real else math.inf for value in values)


def conditioning_factor(values: Iterable[complex]) -> float:
    """max |lambda| / min |lambda|.

    >>> conditioning_factor([-4 + 0j, -1 + 0j])
    4.0
    """
    sizes = [abs(value) for value in values]
    return max(sizes) / min(sizes)


def as_text(values: Iterable[complex]) -> str:
    """A pair of eigenvalues as text.

    >>> as_text([-0.5 + 1j, -0.5 - 1j]), as_text([-2 + 0j, -1 + 0j])
    ('-0.5 ± 1i', '-2, -1')
    """
    first, second = (complex(round(v.real, 12), round(v.imag, 12)) + 0 for v in values)
    real = f"{first.real:.4g}"
    return f"{real} ± {abs(first.imag):.4g}i" if first.imag else f"{real}, {second.real:.4g}"
