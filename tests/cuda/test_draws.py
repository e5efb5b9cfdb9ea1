"""Counter-based draws, which devices make: the same for a member alone, in an ensemble, from any index on, and everywhere.

On the CPU they stand in for those of its generators.
"""

import pytest
import torch

import odegan
from odegan.data.minibatches import Minibatches
from odegan.utils.random_streams import NORMAL, PERMUTATION, UNIFORM, Stream
from tests.cuda.conftest import NEEDS_CUDA
from tests.cuda.convolutions import pair, run

KINDS = {"normal": (NORMAL, (5,)), "uniform": (UNIFORM, (7,)), "permutation": (PERMUTATION, (11,))}


@pytest.fixture(autouse=True)
def counted(monkeypatch):
    """Draws by counter on every device."""
    monkeypatch.setattr(Stream, "_generated", Stream._counted)


@pytest.mark.parametrize("kind, shape", KINDS.values(), ids=KINDS.keys())
def test_alone_together_and_from_any_index(device, kind, shape):
    together = Stream(kind, [3, 4, 2**40], "name", shape, device).block(5, 20)
    assert together.device.type == device.type
    for member, seed in enumerate([3, 4, 2**40]):
        alone = Stream(kind, seed, "name", shape, device)
        assert torch.equal(alone.block(5, 20), together[:, member])
        assert torch.equal(alone.block(17, 2), together[12:14, member])
        assert torch.equal(alone.block(6, 1), together[1:2, member])


@NEEDS_CUDA
@pytest.mark.parametrize("kind, shape", KINDS.values(), ids=KINDS.keys())
def test_the_same_on_every_device(kind, shape):
    here, there = (
        Stream(kind, [3, 4], "name", shape, torch.device(kind_of)).block(0, 9).cpu() for kind_of in ("cpu", "cuda")
    )
    torch.testing.assert_close(there, here, rtol=1e-5, atol=1e-6)  # normal ones go through a device's own erfinv


def test_minibatches_of_members_and_of_resumed_runs(device):
    data = torch.arange(60.0).reshape(30, 2)
    like = torch.zeros(1, device=device)
    whole = Minibatches(data, 3, 7, [5, 6], like).block(0, 10)
    for member, seed in enumerate([5, 6]):
        alone = Minibatches(data, 3, 7, seed, like)
        for start, n in ((0, 10), (4, 6), (9, 1)):
            block = alone.block(start, n)
            assert torch.equal(block.real, whole.real[start : start + n, member])
            assert torch.equal(block.latent, whole.latent[start : start + n, member])


def test_every_row_once_an_epoch(device):
    blocks = Minibatches(torch.arange(30.0)[:, None], 3, 6, [5, 6], torch.zeros(1, device=device)).block(0, 10)
    for member in range(2):
        for epoch in blocks.real[:, member].reshape(2, 30):
            assert torch.equal(epoch.sort().values.cpu(), torch.arange(30.0))


def test_a_run_draws_as_its_minibatches_do(device):
    """Two steps of a run see the first two minibatches, those of a member alone and in an ensemble."""
    game = odegan.gan(*pair())
    data = torch.randn(9, 1, 8, 8)
    starts = torch.stack([game.init(seed=s) for s in (1, 2)]).to(device)
    for y0, seeds in ((starts[0], 3), (starts, [3, 4])):
        solution = run(game, y0, steps=2, data=data, latent=3, seed=seeds)
        stepper = odegan.Stepper(
            game,
            solver="heun2",
            step_size=0.1,
            penalties=[odegan.penalties.generator_gradient(0.1)],
            placement="after_step",
        )
        state = stepper.init(y0)
        minibatches = Minibatches(data, 3, 4, seeds, like=y0)
        for index in range(2):
            state, _ = stepper.step(state, minibatches(index))
        torch.testing.assert_close(solution.y, state.y, rtol=1e-4, atol=1e-5)
