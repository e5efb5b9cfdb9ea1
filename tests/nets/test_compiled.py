"""Steps on the published networks compile, without falling back to eager ones."""

import pytest
import torch

import odegan
from odegan import nets
from odegan.nets import dcgan
from tests.peers import compiles

pytestmark = compiles
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def forget_compiled_code():
    yield
    torch.compiler.reset()


def check(generator, discriminator, shape, classes=None):
    """Two samples, one step, a penalty: compiled as eager."""
    game = odegan.gan(generator, discriminator)
    real = torch.randn(4, *shape)
    labels = () if classes is None else (torch.arange(4) % classes,)
    data = torch.utils.data.TensorDataset(real, *labels) if labels else real
    given = {"data": data, "batch_size": 2, "step_size": 0.01, "solver": "euler"}
    given |= {"penalties": [odegan.penalties.generator_gradient(0.01)], "placement": "after_step"}
    eager, compiled = (odegan.odeint_gan(game, game.init(), [0.0, 0.01], compile=c, **given) for c in (False, "eager"))
    assert compiled.stats["compiled"]
    torch.testing.assert_close(compiled.y, eager.y, rtol=1e-3, atol=1e-5)


def test_the_dcgan_of_ode_gan():
    torch.manual_seed(0)
    check(dcgan.Generator(4, width=2), dcgan.Discriminator(width=2), (3, 32, 32))


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in nets.names() if nets.get(name).size <= 32])
def test_every_pair(name):
    torch.manual_seed(0)
    pair = nets.get(name)
    check(pair.generator(8), pair.discriminator(), (pair.channels, pair.size, pair.size), pair.classes)
