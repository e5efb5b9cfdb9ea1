"""The largest step for which a solver is linearly stable, from the eigenvalues of the field's Jacobian."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import torch

from odegan.solvers.stability import RADIUS, ROUNDING, check_solver, polynomial
from odegan.utils.ambient import unaffected
from odegan.utils.checks import ArgumentError, argument_error, check_number

Numbers = torch.Tensor | np.ndarray | Sequence[complex]


@unaffected
def max_stable_step(eigenvalues: Numbers, solver: str, *, tol: float | None = None) -> float:
    """The supremum of all h such that |R(s lambda)| <= 1 for all s in (0, h] and every nonzero eigenvalue lambda.

    It is 0.0 if no step is stable, because of an eigenvalue with positive real part, or of an imaginary one that the solver
    amplifies (Euler, Heun). It is inf if no eigenvalue limits the step.

    Args:
        eigenvalues: complex numbers, for example ``spectrum(...).eigenvalues``.
        solver: a name of ``odegan.solvers.stability.names()``.
        tol: eigenvalues of modulus below tol max|lambda| count as zero; default eps^(2/3) of their precision. A real
            part below 1e-12 |lambda| (1e-6 in single precision) counts as zero too.

    |R(h lambda)|^2 - 1 is a polynomial in h. Its sign near h = 0 is that of the lowest coefficient that exceeds rounding. The
    result is the first root at which it turns positive, rather than merely touching zero to 1e-12.

    Examples:
        >>> round(max_stable_step([-1.0], "rk4"), 6), max_stable_step([1j, -1j], "heun2")
        (2.785294, 0.0)
    """
    check_solver(solver)
    values, precision = _checked(eigenvalues)
    tol = precision ** (2 / 3) if tol is None else check_number("tol", tol, low=0.0)
    sizes = np.abs(values)
    kept = values[sizes > tol * sizes.max(initial=0.0)]
    rounding = max(ROUNDING, 8 * precision)
    upper = {complex(value.real, abs(value.imag)) for value in kept}  # both of a conjugate pair give the same step
    return min((_first_exit(polynomial(solver), value, rounding) for value in upper), default=math.inf)


def _first_exit(coefficients: np.ndarray, value: complex, rounding: float) -> float:
    """The largest h up to which |R(h value)|^2 - 1 stays below zero."""
    size = abs(value)
    direction = value / size
    powers = np.cumprod(np.concatenate([[1.0], np.full(len(coefficients) - 1, direction)]))
    parts = coefficients * powers
    # Coefficient n of |R(x direction)|^2 is the sum over j + k = n of parts_j conj(parts_k).
    excess = np.convolve(parts, parts.conj()).real
    terms = np.convolve(np.abs(parts), np.abs(parts))
    excess[np.abs(excess) <= rounding * terms] = 0.0
    excess[0] = 0.0
    lowest = np.flatnonzero(excess)
    if not len(lowest):
        return math.inf
    if excess[lowest[0]] > 0:
        return 0.0
    # Scaled to a variable of order 1, since np.roots loses digits on coefficients that differ by many orders of magnitude.
    scale = RADIUS ** np.arange(len(excess))
    roots = RADIUS * np.roots((excess * scale)[lowest[0] :][::-1])
    crossings = sorted(root.real for root in roots if root.real > 0 and abs(root.imag) <= 1e-6 * abs(root))

    def grows(x: float) -> bool:
        powers = x ** np.arange(len(excess))
        return bool(excess @ powers > ROUNDING * (np.abs(excess) @ powers))

    # Between two roots the sign is constant; a double root, where R touches the circle, does not change it.
    for here, following in itertools.pairwise([*crossings, 2 * crossings[-1]]):
        if grows((here + following) / 2):
            return float(here / size)
    raise ArgumentError(f"solver: found no end of the stable steps for the eigenvalue {value}")


def _checked(eigenvalues: Numbers) -> tuple[np.ndarray, float]:
    """The eigenvalues (n,) in complex128, and the rounding unit of their original precision."""
    try:
        values = torch.as_tensor(eigenvalues, dtype=torch.complex128).detach().cpu().reshape(-1).numpy()
    except (TypeError, ValueError, RuntimeError):
        argument_error("eigenvalues", eigenvalues, "complex numbers, as spectrum(...).eigenvalues")
    if not np.isfinite(values).all():
        argument_error("eigenvalues", eigenvalues, "finite complex numbers")
    is_single = getattr(eigenvalues, "dtype", None) in (torch.complex64, torch.float32)
    return values, torch.finfo(torch.float32 if is_single else torch.float64).eps
