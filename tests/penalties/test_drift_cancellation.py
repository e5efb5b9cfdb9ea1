"""Drift cancellation makes Euler steps second order."""

import functools
import math

import pytest
import torch

import odegan
from odegan import penalties
from tests.peers import START, smooth_game
from tests.penalties.penalty_cases import D

UNIT = torch.tensor([0.0, 1.0], dtype=D)


# Drift cancellation.
@functools.cache
def exactly(rates=(1.0, 1.0)):
    return odegan.odeint_gan(smooth_game(), START, UNIT, solver="dopri5", rtol=1e-10, atol=1e-11, rates=rates).y


def euler_errors(extra, rates=(1.0, 1.0)):
    arguments = {"solver": "euler", "rates": rates}
    runs = [
        odegan.odeint_gan(smooth_game(), START, UNIT, step_size=1 / n, penalties=extra(1 / n), **arguments)
        for n in (30, 60)
    ]
    return [(sol.y - exactly(rates)).norm().item() for sol in runs]


@pytest.mark.parametrize(
    "extra, order",
    [
        (lambda h: [penalties.drift_cancellation(h)], 2),
        (lambda h: [penalties.drift_cancellation(lambda t: h)], 2),
        (lambda h: [penalties.drift_cancellation(h, interaction=False)], 1),
        (lambda h: [penalties.drift_cancellation(h, self_terms=False)], 1),
        (lambda h: [], 1),
    ],
    ids=["both", "function", "self", "interaction", "none"],
)
def test_euler_becomes_second_order(extra, order):
    coarse, fine = euler_errors(extra)
    assert math.log2(coarse / fine) == pytest.approx(order, abs=0.12)


def test_drift_cancellation_knows_rates():
    rates = (1.5, 0.5)
    coarse, fine = euler_errors(lambda h: [penalties.drift_cancellation(h, rates=rates)], rates)
    assert math.log2(coarse / fine) == pytest.approx(2, abs=0.12)
    coarse, fine = euler_errors(lambda h: [penalties.drift_cancellation(h)], rates)
    assert math.log2(coarse / fine) == pytest.approx(1, abs=0.2)
