"""JARE's estimators of the gradient's norm, and its chunks."""

import pytest
import torch

import odegan
from odegan import penalties
from odegan.games.batch import Batch
from tests.peers import networks
from tests.penalties.penalty_cases import BATCH, D


# JARE's estimators.
def gradient_game():
    """g_D = m + mean of the real samples, g_G = m' + mean of the latents: the estimators' moments are known."""
    return odegan.Game(
        lambda d, g, batch: d @ (g[:2] + batch[0].mean(0)), lambda d, g, batch: g @ (d.sum() + batch[1].mean(0)), 2, 3
    )


@pytest.mark.parametrize("chunks", [2, 8])
def test_estimators_of_the_norm(chunks):
    """Over many draws: the unbiased mean is ||E g||^2 / 2, and the biased one exceeds it by trace(Cov) / (2 B)."""
    game = gradient_game()
    n = 20_000
    size = 16
    source = torch.Generator().manual_seed(chunks)
    real = torch.randn(n, size, 2, generator=source, dtype=D) * torch.tensor([1.0, 2.0], dtype=D)
    latent = torch.randn(n, size, 3, generator=source, dtype=D)
    d = torch.tensor([0.3, -0.2], dtype=D)
    g = torch.tensor([0.1, 0.4, 0.0], dtype=D)
    truth = {"gen": (0.1**2 + 0.4**2) / 2, "disc": 3 * 0.1**2 / 2}
    excess = {"gen": 5 / (2 * size), "disc": 3 / (2 * size)}
    for unbiased_ in (True, False):
        extras = dict(zip(["disc", "gen"], penalties.jare(1.0, chunks, unbiased_)(game), strict=True))
        for player, extra in extras.items():
            values = torch.vmap(lambda r, z, extra=extra: extra(d, g, Batch(r, z), 0.0))(real, latent)
            error = values.std() / n**0.5
            expected = truth[player] + (0 if unbiased_ else excess[player])
            assert abs(values.mean() - expected) < 3 * error
            assert error < excess[player] / 10  # fine enough to tell the two apart
            assert not unbiased_ or values.min() < 0


def test_chunks_are_checked():
    game = odegan.gan(*networks())
    field = odegan.vector_field(game, [penalties.jare(1.0, chunks=3)])
    with pytest.raises(odegan.ArgumentError, match="chunks: got 3; it must be a divisor of the batch size 8"):
        field(0.0, game.init(), BATCH)
    with pytest.raises(odegan.ArgumentError, match="chunks: got 1"):
        penalties.jare(1.0, chunks=1)
    with pytest.raises(odegan.ArgumentError, match="chunks: got None"):
        penalties.jare(1.0, unbiased=True)
    with pytest.raises(odegan.ArgumentError, match="nothing to divide"):
        odegan.vector_field(odegan.games.bilinear(), [penalties.jare(1.0, 2)])(0.0, torch.ones(2))


def test_chunks_wait_until_coupling_is_known():
    game = odegan.Game(lambda d, g, b: d @ b[0].mean(0), lambda d, g, b: g @ b[1].mean(0), 2, 3, couples_batch=None)
    field = odegan.vector_field(game, [penalties.jare(1.0, chunks=2)])
    with pytest.raises(odegan.ArgumentError, match=r"game\.check"):
        field(0.0, torch.ones(5, dtype=D), BATCH)
    game.couples_batch = False
    assert field(0.0, torch.ones(5, dtype=D), BATCH).shape == (5,)
