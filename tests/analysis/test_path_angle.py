"""The path angle against fields whose direction is known."""

import math

import pytest
import torch

import odegan
from odegan import games, penalties
from tests.analysis.networks import NETWORK, D
from tests.peers import draw

torch.set_num_threads(1)


# The path angle.
def test_path_angle_by_hand():
    a = 0.5
    b = 2.0
    game = games.quadratic(torch.tensor([[-a, -b], [b, -a]], dtype=D))
    start = torch.tensor([1.0, 2.0], dtype=D)
    end = torch.zeros(2, dtype=D)
    found = odegan.path_angle(game, start, end, n=5, span=(0.0, 2.0))
    assert found.positions.tolist() == [0.0, 0.5, 1.0, 1.5, 2.0]
    cosine = a / math.hypot(a, b)
    assert found.cosines[:2].tolist() == pytest.approx([cosine] * 2)
    assert found.cosines[3:].tolist() == pytest.approx([-cosine] * 2)
    assert math.isnan(found.cosines[2])
    norm = math.hypot(a, b) * math.sqrt(5)
    assert found.norms.tolist() == pytest.approx([norm, norm / 2, 0, norm / 2, norm])


def test_path_angle_of_a_network():
    y = torch.stack([NETWORK.init(), NETWORK.init(seed=1)])
    found = odegan.path_angle(NETWORK, y[0], y[1], n=3, batch=draw(), penalties=[penalties.generator_gradient(1.0)])
    field = odegan.vector_field(NETWORK, [penalties.generator_gradient(1.0)])
    middle = field(0.0, y.mean(0), draw())
    expected = torch.nn.functional.cosine_similarity(middle, y[1] - y[0], dim=0)
    assert found.cosines[1].item() == pytest.approx(expected.item())
