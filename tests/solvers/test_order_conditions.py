"""Order conditions against known numbers of trees, published orders and tableaus that are spoilt on purpose."""

import numpy as np
import pytest
import torch

from odegan import solvers
from odegan.solvers.order_conditions import defect, order_of, trees

PUBLISHED = {"adaptive_heun": (2, 1), "fehlberg2": (2, 1), "bosh3": (3, 2), "dopri5": (5, 4), "dopri8": (8, 7)}


def test_number_of_rooted_trees():
    """The sequence A000081 of the encyclopedia of integer sequences."""
    assert [len(trees(n)) for n in range(1, 11)] == [1, 1, 2, 4, 9, 20, 48, 115, 286, 719]


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_pairs(name):
    pair = solvers.tableau(name)
    order, embedded = PUBLISHED[name]
    assert pair.order == order
    assert pair.embedded_order == embedded


def test_euler_in_so_many_stages_has_order_one():
    """Any weights of sum 1 have order 1; of order 2 is sum_i b_i c_i = 1/2 alone."""
    a = np.tril(torch.rand(5, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64).numpy(), -1)
    b = np.full(5, 0.2)
    assert order_of(a, b) == 1
    assert defect(a, b, 2) == pytest.approx(abs(b @ a.sum(1) - 0.5))


@pytest.mark.parametrize("row, column", [(2, 1), (4, 2), (5, 4)])
def test_one_wrong_coefficient_shows(row, column):
    pair = solvers.tableau("dopri5")
    a = pair.matrix
    a[row, column] += 1e-4
    assert order_of(a, np.array(pair.b)) < 5
