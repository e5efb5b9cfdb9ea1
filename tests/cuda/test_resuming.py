"""Checkpoints on a device: the same run to rounding, and bit for bit where kernels are deterministic."""

import pytest
import torch

import odegan
from odegan import penalties
from tests.cuda.convolutions import STEP, pair, run

STEPS = 5
CASES = {
    "penalty after the step": {},
    "replay buffers": {"penalties": [penalties.closed_loop(0.5, buffer=2)], "placement": "field"},
    "adam": {"solver": "adam", "penalties": [], "placement": "field", "step_size": STEP},
}


def broken_and_resumed(game, y0, path, **given):
    """(whole, resumed): one run to the end, and one that is stopped after two intervals and goes on from its checkpoint."""
    data = {"data": torch.randn(20, 1, 8, 8, generator=torch.Generator().manual_seed(2)), "latent": 3}
    seen = []

    def stop(state, info):
        seen.append(state.t)
        return len(seen) == 2

    whole = run(game, y0, STEPS, **data | given)
    part = run(game, y0, STEPS, callback=stop, checkpoint=path, **data | given)
    assert part.stats["steps"] < whole.stats["steps"]
    return whole, run(game, y0, STEPS, checkpoint=path, **data | given)


@pytest.mark.parametrize("members", [None, 2])
@pytest.mark.parametrize("given", CASES.values(), ids=CASES.keys())
def test_resumed_is_uninterrupted_to_rounding(device, tmp_path, given, members):
    game = odegan.gan(*pair(spectral=True))
    y0 = game.init() if members is None else torch.stack([game.init(seed=s) for s in range(members)])
    whole, resumed = broken_and_resumed(game, y0.to(device), tmp_path / "run.pt", **given)
    assert resumed.y.device.type == device.type
    torch.testing.assert_close(resumed.y, whole.y, rtol=1e-3, atol=1e-4)


@pytest.mark.usefixtures("deterministic")
@pytest.mark.parametrize("given", CASES.values(), ids=CASES.keys())
def test_resumed_is_uninterrupted_bit_for_bit(device, tmp_path, given):
    game = odegan.gan(*pair(batch_norm=True))
    whole, resumed = broken_and_resumed(game, game.init().to(device), tmp_path / "run.pt", **given)
    assert torch.equal(resumed.ys, whole.ys)
    assert torch.equal(resumed.stats["losses"], whole.stats["losses"])
