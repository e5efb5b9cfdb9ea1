"""Within a segment nothing waits for the device, and no tensor of another device takes part.

On the CPU the segment runs with tensors on the meta device, which have no numbers: whoever asks for one fails, as does an
operation on tensors of two devices; a watch refuses copies that would wait. It sees more than torch's own debug mode, which
is there with a CUDA device alone, and less: no kernel runs.
"""

import contextlib

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

import odegan
from odegan import penalties
from odegan.data.minibatches import Minibatches
from odegan.utils import philox
from tests.cuda.conftest import NEEDS_CUDA
from tests.cuda.convolutions import SIZE, STEP, minibatch, pair

AFTER = {"placement": "after_step"}
CASES = {
    "plain": {},
    "generator_gradient": {"penalties": [penalties.generator_gradient(0.1)], **AFTER},
    "jare": {"penalties": [penalties.jare(0.1)]},
    "r1": {"penalties": [penalties.r1(lambda t: 0.1 * t)], **AFTER},
    "wgan_gp": {"penalties": [penalties.wgan_gp(0.1)]},
    "replay": {"penalties": [penalties.closed_loop(0.1, buffer=2)]},
    "rates": {"rates": (torch.tensor(1.0), torch.tensor(0.5))},
    "clip": {"clip": 1.0},
    "frozen": {"players": "frozen"},
    "micro_batch": {"micro_batch": SIZE // 2, "penalties": [penalties.generator_gradient(0.1)]},
    "rk4": {"solver": "rk4"},
    "adam": {"solver": "adam"},
    "adam-alternating": {"solver": "adam", "options": {"alternating": True}, "rates": (torch.tensor(1.0), 0.5)},
}


class NoWaitingCopies(TorchDispatchMode):
    """Refuses copies from the CPU to another device that the CPU waits for."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        given = kwargs or {}
        result = func(*args, **given)
        source = getattr(args[0], "device", result.device) if func.overloadpacket is torch.ops.aten._to_copy else None
        if source is not None and source.type == "cpu" != result.device.type:
            assert given.get("non_blocking"), "a copy to the device waits for it"
        return result


@contextlib.contextmanager
def no_waiting(device):
    """Fails where the CPU would wait for the device."""
    if device.type != "cuda":
        with NoWaitingCopies():
            yield
        return
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.fixture(params=["meta", pytest.param("cuda", marks=NEEDS_CUDA)])
def place(request, monkeypatch):
    if request.param == "meta":
        monkeypatch.setattr(philox, "_compiled_on_cuda", lambda kind: philox._numbers)
        monkeypatch.setattr(torch, "is_autocast_enabled", lambda kind=None: False)  # which refuses the meta device
    return torch.device(request.param)


def stepped(place, members=None, **given):
    """Two steps on the CPU, so that buffers and caches are filled; then on ``place`` one more, and one under watch."""
    spectral = given.pop("spectral", False)
    game = odegan.gan(*pair(batch_norm=given.pop("batch_norm", False), spectral=spectral), **given.pop("made", {}))
    y0 = game.init()
    batch = minibatch(torch.device("cpu"))
    if members is not None:
        y0 = y0.expand(members, -1)
        batch = tuple(x.expand(members, *x.shape) for x in batch)
    stepper = odegan.Stepper(game, **{"solver": "heun2", "step_size": STEP, **given})
    state = stepper.init(y0)
    for _ in range(2):
        state, _ = stepper.step(state, batch)
    state, batch = tree_map_only(torch.Tensor, lambda x: x.to(place), (tuple(state), batch))
    state, _ = stepper.step(type(stepper.init(y0))(*state), batch)
    with no_waiting(place):
        state, info = stepper.step(state, batch)
    assert {x.device.type for x in (state.y, info.losses, info.field_norm, info.finite)} == {place.type}


@pytest.mark.parametrize("given", CASES.values(), ids=CASES.keys())
@pytest.mark.parametrize("members", [None, 2])
def test_a_step(place, given, members):
    stepped(place, members, **given)


@pytest.mark.parametrize(
    "networks",
    [{"batch_norm": True}, {"spectral": True}, {"made": {"channels_last": True}}],
    ids=["batch_norm", "spectral_norm", "channels_last"],
)
def test_networks(place, networks):
    stepped(place, **networks)


@pytest.mark.parametrize("seeds", [0, [3, 4]], ids=["single", "ensemble"])
def test_minibatches(place, seeds):
    """The second block: the first compiles what draws, and puts data and seeds where they are used."""
    made = Minibatches(torch.randn(30, 2), 3, SIZE, seeds, like=torch.zeros(1, device=place))
    made.block(0, 8)
    with no_waiting(place):
        block = made.block(8, 8)
    assert {block.real.device.type, block.latent.device.type} == {place.type}
