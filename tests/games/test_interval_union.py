"""Unions of intervals: isotonic regression, and sign changes of mixtures that nearly cancel."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.isotonic import isotonic_regression

from odegan import games
from odegan.games.closed_form.interval_union import isotonic
from tests.games.gmm_tv_cases import double, draw, total_variation

NEAR = {
    "the truth": (-0.5, 0.5),
    "the truth, swapped": (0.5, -0.5),
    "near the truth": (-0.5 + 1e-7, 0.5 - 3e-8),
    "one mean right": (-0.5, 2.0),
    "one mean right, the other nearly": (-0.5, 0.5 + 1e-6),
    "coinciding": (0.7, 0.7),
    "nearly coinciding": (0.7, 0.7 + 1e-10),
    "both in the middle": (0.0, 0.0),
    "far": (-30.0, 25.0),
    "far, one right": (-0.5, 60.0),
}


@pytest.mark.parametrize("name", NEAR)
def test_near_degenerate_means(name: str) -> None:
    mu = double(*NEAR[name])
    game = games.gmm_tv(double(-0.5, 0.5))
    best = game.optimal_discriminator(mu)
    assert not best.isnan().any()
    if "far" in name:
        expected = 0.5 if "one" in name else 1.0  # disjoint to rounding, but for the mode that is right
        assert game.total_variation(mu).item() == pytest.approx(expected, abs=1e-12)
    else:
        assert game.value(best, mu).item() == pytest.approx(1 + total_variation([-0.5, 0.5], mu.tolist()), abs=1e-8)


def test_far_modes_that_cancel_hide_no_change_of_sign() -> None:
    game = games.gmm_tv(double(-30.0, 30.0))
    assert game.total_variation(double(-30.0, 29.0)).item() == pytest.approx(total_variation([0.5], [-0.5]) / 2)


def test_double_roots_cost_nothing() -> None:
    """Means along which pairs of changes of sign appear: the total variation stays exact on both sides of the touching."""
    game = games.gmm_tv(double(-2.0, 0.5))

    for m in np.linspace(-2, 2, 41):
        mu = double(-1.0, m)
        assert game.total_variation(mu).item() == pytest.approx(total_variation([-2.0, 0.5], mu.tolist()), abs=1e-8)


# The order of the endpoints.
def test_isotonic_is_scikit_learns() -> None:
    for n in (1, 2, 4, 6, 9):
        y = draw(300, n, seed=n)
        expected = np.stack([isotonic_regression(row) for row in y.numpy()])
        np.testing.assert_allclose(isotonic(y).numpy(), expected, atol=1e-14)
        np.testing.assert_allclose(torch.vmap(isotonic)(y).numpy(), expected, atol=1e-14)


def test_isotonic_leaves_what_is_ordered_and_pools_to_equal_numbers() -> None:
    y = draw(100, 6).sort(-1).values
    assert torch.equal(isotonic(y), y)
    pooled = isotonic(double(0.1, 0.7, 0.3, 0.2, 0.9))
    assert pooled[1] == pooled[2] == pooled[3]


def test_isotonic_differentiates_as_means() -> None:
    y = double(0.0, 3.0, 1.0, 4.0)
    expected = double(1, 0, 0, 0, 0, 0.5, 0.5, 0, 0, 0.5, 0.5, 0, 0, 0, 0, 1).reshape(4, 4)
    torch.testing.assert_close(torch.func.jacrev(isotonic)(y), expected)
