"""The order of a Runge-Kutta tableau, from Butcher's order conditions.

A method has order p when sum_i b_i Phi_i(tree) = 1 / gamma(tree) for every rooted tree of up to p nodes. A tree is the tuple of
the subtrees at its root: () is the single node, ((),) the tree of two.
"""

from __future__ import annotations

import functools
import math
from typing import TypeAlias

import numpy as np

HIGHEST = 10  # there are 1,205 trees of up to ten nodes
TOLERANCE = 1e-9  # admits coefficients given to ten digits; a wrong coefficient misses by far more

Tree: TypeAlias = "tuple[Tree, ...]"


@functools.cache
def trees(nodes: int) -> frozenset[Tree]:
    """All rooted trees with this number of nodes; there are 1, 1, 2, 4, 9, 20, 48, ...

    Examples:
        >>> [len(trees(n)) for n in range(1, 8)]
        [1, 1, 2, 4, 9, 20, 48]
    """
    # Each tree of n nodes is a tree of n - 1 with one more leaf; the frozen set drops the many ways to the same tree.
    if nodes == 1:
        return frozenset({()})
    return frozenset(larger for smaller in trees(nodes - 1) for larger in _with_one_more_leaf(smaller))


def defect(a: np.ndarray, b: np.ndarray, order: int) -> float:
    """The largest defect among the conditions of exactly this order, for a (s, s) and b (s,)."""
    return max(abs(float(b @ _weight(tree, a)) - 1 / _density(tree)) for tree in trees(order))


def order_of(a: np.ndarray, b: np.ndarray) -> int:
    """The largest p such that every order condition up to p holds; at most s for an explicit method with s stages.

    Examples:
        >>> order_of(np.array([[0.0, 0.0], [1.0, 0.0]]), np.array([0.5, 0.5]))
        2
    """
    order = 0
    # No explicit method with s stages has an order above s.
    while order < min(len(b), HIGHEST) and defect(a, b, order + 1) <= TOLERANCE:
        order += 1
    return order


def _with_one_more_leaf(tree: Tree) -> set[Tree]:
    # Sorted: the order of subtrees does not count, and sorting makes equal trees equal tuples.
    grown = {tuple(sorted((*tree, ())))}
    for i, child in enumerate(tree):
        others = tree[:i] + tree[i + 1 :]
        grown |= {tuple(sorted((*others, larger))) for larger in _with_one_more_leaf(child)}
    return grown


def _weight(tree: Tree, a: np.ndarray) -> np.ndarray:
    """Phi (s,): the product over the root's subtrees of a Phi(subtree)."""
    return math.prod((a @ _weight(child, a) for child in tree), start=np.ones(len(a)))


@functools.cache
def _density(tree: Tree) -> int:
    """gamma: the number of nodes times the densities of the root's subtrees."""
    return _size(tree) * math.prod(_density(child) for child in tree)


def _size(tree: Tree) -> int:
    return 1 + sum(_size(child) for child in tree)
