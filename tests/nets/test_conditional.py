"""The class-conditional networks."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import odegan
from odegan import losses, nets
from tests.games.conditional_cases import CLASSES, D, by_autograd


# The networks.
@pytest.mark.parametrize("spectral_norm", [False, True])
def test_the_projection_pair(spectral_norm):
    """Its field against plain autograd, and the discriminator's difference between classes against the inner product."""
    torch.manual_seed(0)
    generator = nets.conditional.Generator(4, classes=CLASSES, width=2).double()
    discriminator = nets.conditional.Discriminator(classes=CLASSES, width=2, spectral_norm=spectral_norm).double()
    made = odegan.gan(generator, discriminator)
    assert made.latent == (4,)
    assert (made.couples_batch, made.critic_couples_batch) == (True, False)
    x = torch.randn(6, 1, 32, 32, dtype=D)
    z = torch.randn(6, 4, dtype=D)
    batch = odegan.Batch(x, z, torch.arange(6) % 3, torch.arange(6) % 2)
    y = made.init(seed=0)
    plain = made.modules(y)
    critic = plain[1].eval()  # in which the vectors of spectral normalization stand still
    found = odegan.vector_field(made)(0.0, y, batch)
    torch.testing.assert_close(found, by_autograd(plain, losses.get("non_saturating"), batch), rtol=1e-8, atol=1e-10)
    h = critic.features(x).sum((2, 3))
    weight = critic.embedding.weight
    difference = critic(x, torch.full((6,), 2)) - critic(x, torch.zeros(6, dtype=torch.int64))
    torch.testing.assert_close(difference, h @ (weight[2] - weight[0]))
    if spectral_norm:
        assert abs(torch.linalg.matrix_norm(weight, 2).item() - 1) < 1e-3


def test_conditional_batch_norm_is_a_gain_and_a_shift_a_class():
    norm = nets.conditional.ConditionalBatchNorm2d(3, 4).double()
    nn.init.normal_(norm.gain.weight)
    nn.init.normal_(norm.shift.weight)
    x = torch.randn(6, 3, 5, 5, dtype=D)
    label = torch.arange(6) % 4
    moments = x.mean((0, 2, 3), keepdim=True), x.var((0, 2, 3), correction=0, keepdim=True)
    plain = (x - moments[0]) / (moments[1] + 1e-3).sqrt()
    for i, own in enumerate(label):
        expected = norm.gain.weight[own][:, None, None] * plain[i] + norm.shift.weight[own][:, None, None]
        torch.testing.assert_close(norm(x, label)[i], expected)
