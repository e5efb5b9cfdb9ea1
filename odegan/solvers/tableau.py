"""Explicit Runge-Kutta tableaus: checked coefficients, and the properties that follow from them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from numbers import Rational
from typing import TypeAlias, TypeVar

import numpy as np
import torch

from odegan.solvers.order_conditions import HIGHEST, TOLERANCE, defect, order_of
from odegan.utils.checks import argument_error, check_int, check_number

T = TypeVar("T")
Row: TypeAlias = "tuple[float, ...]"
Numbers: TypeAlias = Iterable[float | Rational]


@dataclass(frozen=True)
class Tableau:
    """k_i = f(t + c_i h, y + h sum_{j<i} a_ij k_j), y1 = y + h sum_i b_i k_i.

    An embedded pair also has the error estimate h sum_i error_i k_i, where error = b - b^ and b^ are the embedded weights.

    a: row i has i entries, so the first row is empty.

    Examples:
        >>> heun = Tableau(a=((), (1.0,)), b=(0.5, 0.5), c=(0.0, 1.0))
        >>> sum(heun.b)
        1.0
    """

    a: tuple[Row, ...]
    b: Row
    c: Row
    error: Row | None = None

    @property
    def matrix(self) -> np.ndarray:
        """a as an array (s, s), zero on and above the diagonal."""
        stages = len(self.b)
        return np.array([(*row, *(0.0,) * (stages - len(row))) for row in self.a])

    @property
    def order(self) -> int:
        """The order of y1, by the order conditions."""
        return order_of(self.matrix, np.array(self.b))

    @property
    def embedded_order(self) -> int:
        """The order of the embedded solution."""
        return order_of(self.matrix, np.array(self.b) - np.array(self.error))

    @property
    def stability_polynomial(self) -> np.ndarray:
        """The coefficients of R(z) = 1 + sum_k (b a^{k-1} 1) z^k."""
        coefficients = [1.0]
        power = np.ones(len(self.b))
        for _ in self.b:
            coefficients.append(float(np.array(self.b) @ power))
            power = self.matrix @ power
        # A method may have a lower degree than stages, as with a stage that only the error estimate uses.
        return np.trim_zeros(np.array(coefficients), "b")

    @property
    def first_same_as_last(self) -> bool:
        """Whether the last stage is at (t + h, y1), and so serves as the first stage of the next step."""
        last = np.array([*self.a[-1], 0.0])
        return self.c[-1] == 1 and bool(np.allclose(last, self.b, rtol=0, atol=TOLERANCE))


def checked(a: Iterable[Numbers], b: Numbers, c: Numbers, order: int, b_error: Numbers | None = None) -> Tableau:
    """The tableau with these coefficients, refused unless they are consistent and have the stated order."""
    weights = _numbers("b", b)
    stages = len(weights)
    nodes = _numbers("c", c, stages)
    rows = _rows(a, stages)
    for i, (row, node) in enumerate(zip(rows, nodes, strict=True)):
        if abs(sum(row) - node) > TOLERANCE:
            argument_error("c", node, f"the sum {sum(row):.12g} of row {i} of a")
    embedded = None if b_error is None else _numbers("b_error", b_error, stages)
    for name, solution in {"b": weights, "b_error": embedded}.items():
        if solution is not None and abs(sum(solution) - 1) > TOLERANCE:
            argument_error(name, solution, f"weights of sum 1, not {sum(solution):.12g}")
    if embedded == weights:
        argument_error("b_error", embedded, "other weights than b: their difference is the error estimate")
    error = None if embedded is None else tuple(p - q for p, q in zip(weights, embedded, strict=True))
    tableau = Tableau(rows, weights, nodes, error)
    _check_order(tableau, order)
    return tableau


def with_last_stage(tableau: Tableau) -> Tableau:
    """The same embedded pair with an extra stage of weight 0 at (t + h, y1), unless its last stage is there already."""
    assert tableau.error is not None
    if tableau.first_same_as_last:
        return tableau
    return Tableau((*tableau.a, tableau.b), (*tableau.b, 0.0), (*tableau.c, 1.0), (*tableau.error, 0.0))


def _check_order(tableau: Tableau, claimed: int) -> None:
    found = tableau.order
    if check_int("order", claimed, low=1) == found:
        return
    if claimed > HIGHEST:
        argument_error("order", claimed, f"at most {HIGHEST}")
    if claimed < found:
        argument_error("order", claimed, f"{found}, which this tableau has by the order conditions")
    missed = defect(tableau.matrix, np.array(tableau.b), found + 1)
    argument_error("order", claimed, f"{found}: this tableau misses a condition of order {found + 1} by {missed:.2g}")


def _rows(a: Iterable[Numbers], stages: int) -> tuple[Row, ...]:
    """The rows of a below the diagonal, from rows of i entries or from a square matrix."""
    # numpy users write square matrices, textbooks only the triangle; both are accepted.
    rows = [_numbers("a", row) for row in _sequence("a", a)]
    if len(rows) != stages:
        argument_error("a", rows, f"{stages} rows, as many as b has weights; the first is []")
    for i, row in enumerate(rows):
        if len(row) not in (i, stages) or any(row[i:]):
            argument_error(
                "a", list(row), f"strictly lower triangular, with {i} entries in row {i}: the solver must be explicit"
            )
    return tuple(row[:i] for i, row in enumerate(rows))


def _numbers(name: str, values: Numbers, length: int | None = None) -> Row:
    found = tuple(check_number(name, float(x) if isinstance(x, Rational) else x) for x in _sequence(name, values))
    if length is not None and len(found) != length:
        argument_error(name, found, f"{length} numbers, as many as b")
    return found


def _sequence(name: str, values: Iterable[T]) -> Sequence[T]:
    listed = values.tolist() if hasattr(values, "tolist") else values  # arrays and tensors
    if not isinstance(listed, list | tuple):
        argument_error(name, values, "a list of numbers" if name != "a" else "a list of rows")
    return listed


def combined(coefficients: tuple[float, ...], slopes: list[torch.Tensor]) -> torch.Tensor | float:
    """sum_i c_i k_i, without the terms whose coefficient is zero."""
    total: torch.Tensor | float = 0.0
    for c, k in zip(coefficients, slopes, strict=True):
        # Skipped, not multiplied: a tableau has many zeros, and 0 times a non-finite slope is NaN.
        if c != 0:
            total = torch.add(total, k, alpha=c) if isinstance(total, torch.Tensor) else c * k
    return total
