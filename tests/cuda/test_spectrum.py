"""The spectrum of convolutional networks on a device, against the dense Jacobian on the CPU."""

import pytest
import torch

import odegan
from tests.cuda.convolutions import minibatch, pair


@pytest.mark.parametrize("dtype, accuracy", [(torch.float64, 1e-6), (torch.float32, 1e-2)], ids=["float64", "float32"])
def test_the_largest_eigenvalues(device, dtype, accuracy):
    game = odegan.gan(*pair())
    y = game.init()
    assert game.n_params > 500  # else the dense Jacobian serves
    real, latent = minibatch(torch.device("cpu"))
    whole = odegan.spectrum(game, y.double(), (real.double(), latent.double()), k=game.n_params).eigenvalues
    batch = (real.to(device, dtype), latent.to(device, dtype))
    found = odegan.spectrum(game, y.to(device, dtype), batch, k=4, accuracy=accuracy)
    assert found.partial
    assert found.eigenvalues.device.type == "cpu"
    torch.testing.assert_close(
        found.eigenvalues.abs().double(), whole.abs()[:4], rtol=accuracy, atol=0.0, check_dtype=False
    )


def test_the_dense_jacobian(device):
    game = odegan.games.quadratic(torch.tensor([[-1.0, 2.0], [-2.0, -1.0]]))
    eigenvalues = odegan.spectrum(game, torch.ones(2, device=device)).eigenvalues
    torch.testing.assert_close(eigenvalues, torch.tensor([-1 + 2j, -1 - 2j]))
