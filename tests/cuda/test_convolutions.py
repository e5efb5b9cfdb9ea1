"""Convolutional networks on a device, in every way of executing them, against runs written by hand there."""

import math

import pytest
import torch
import torchdiffeq

import odegan
from odegan import penalties
from odegan.nets import dcgan
from tests.cuda.convolutions import SIZE, STEP, by_hand, minibatch, pair, run
from tests.peers import compiles

HALF = {"autocast": torch.bfloat16}
LAYOUT = {"channels_last": True}
# How the networks are made, how they are run, and the largest difference from the run by hand, over how far that moves.
WAYS = {
    "plain": ({}, {}, 1e-4),
    "channels_last": (LAYOUT, {}, 1e-4),
    "bf16": (HALF, {}, 0.1),
    "bf16-channels_last": (HALF | LAYOUT, {}, 0.1),
    "checkpointing": ({"checkpointing": True}, {}, 1e-4),
    "micro_batch": ({}, {"micro_batch": SIZE // 2}, 1e-4),
}


def backend(device):
    """What compiles: inductor with CUDA graphs on a device, something that takes no time on the CPU."""
    return "inductor" if device.type == "cuda" else "eager"


def far(found, wanted, start):
    """How far two ends of a run are apart, over how far the run has moved."""
    return ((found - wanted).norm() / (wanted - start).norm()).item()


@pytest.mark.parametrize("made, given, bound", WAYS.values(), ids=WAYS.keys())
def test_a_run_is_the_one_by_hand(device, made, given, bound):
    game = odegan.gan(*pair(), **made)
    y0 = game.init().to(device)
    solution = run(game, y0, **given)
    assert (solution.status, solution.y.device.type, solution.y.dtype) == ("finished", device.type, torch.float32)
    assert far(solution.y, by_hand(device), y0) < bound


def test_batch_norm_too(device):
    game = odegan.gan(*pair(batch_norm=True))
    y0 = game.init().to(device)
    assert far(run(game, y0).y, by_hand(device, batch_norm=True), y0) < 1e-4


@compiles
@pytest.mark.parametrize(
    "made, members",
    [
        pytest.param(HALF | LAYOUT, None, id="half"),
        pytest.param({}, None, id="plain", marks=pytest.mark.slow),
        pytest.param(HALF | LAYOUT, 2, id="half-ensemble", marks=pytest.mark.slow),
    ],
)
def test_compiled_is_eager(device, made, members):
    game = odegan.gan(*pair(), **made)
    y0 = game.init() if members is None else torch.stack([game.init(seed=s) for s in range(members)])
    y0 = y0.to(device)
    given = {"data": torch.randn(20, 1, 8, 8), "latent": 3, "solver": "euler"}
    eager = run(game, y0, **given)
    compiled = run(game, y0, compile=backend(device), **given)
    assert compiled.stats["compiled"]
    assert far(compiled.y, eager.y, y0) < (0.1 if made else 1e-3)


@pytest.mark.parametrize("made", [{}, LAYOUT, HALF], ids=["plain", "channels_last", "bf16"])
def test_members_are_single_runs(device, made):
    game = odegan.gan(*pair(), **made)
    y0 = torch.stack([game.init(seed=s) for s in range(3)]).to(device)
    given = {"data": torch.randn(20, 1, 8, 8), "latent": 3}
    together = run(game, y0, **given)
    for member, start in enumerate(y0):
        alone = run(game, start, seed=member, **given)
        assert far(together.y[member], alone.y, start) < (0.1 if HALF.items() <= made.items() else 1e-4)


@pytest.mark.slow
def test_the_pair_of_ode_gan(device):
    """Its own networks, whose kernels on a device add in no fixed order, are functions of their parameters nevertheless."""
    game = odegan.gan(dcgan.Generator(), dcgan.Discriminator())
    y0 = game.init().to(device)
    given = {"data": torch.rand(4, 3, 32, 32) * 2 - 1, "latent": 128, "batch_size": 2}
    penalized = {"penalties": [penalties.generator_gradient(0.02)], "placement": "after_step"}
    solution = odegan.odeint_gan(game, y0, [0.0, 0.01], solver="euler", step_size=0.01, **given, **penalized)
    assert (solution.status, solution.stats["nfe"]) == ("finished", 1)
    assert torch.isfinite(solution.y).all()
    assert not torch.equal(solution.y, y0)
    assert game.sample(solution.y, 2).shape == (2, 3, 32, 32)


@pytest.mark.parametrize("spectral", [False, True], ids=["plain", "spectral_norm"])
def test_replay_buffers(device, spectral):
    """They hold numbers of one dtype where the run is, and what they give is the CPU's as long as they are filling."""
    game = odegan.gan(*pair(spectral=spectral))
    states = []
    y0 = game.init()
    given = {"penalties": [penalties.closed_loop(0.5, buffer=2)], "placement": "field"}
    ends = []
    for place in dict.fromkeys([device, torch.device("cpu")]):
        solution = run(game, y0.to(place), steps=5, callback=lambda state, info: states.append(state), **given)
        ends.append(solution.y.cpu())
    (store,) = states[0].aux["replay"].values()
    assert {(x.device.type, x.dtype, x.shape) for x in store.values()} == {
        (device.type, torch.float32, (2 * SIZE, 1, 8, 8))
    }
    # Which of the stored samples are drawn is each device's own; all of them are alike here, since one minibatch is.
    assert far(ends[0], ends[-1], y0) < 0.05


def test_dopri5(device):
    game = odegan.gan(*pair())
    y0 = game.init().to(device)
    fine = {"rtol": 1e-4, "atol": 1e-6}
    batch = minibatch(device)
    given = {"solver": "dopri5", "step_size": None, "placement": "field", **fine}
    field = odegan.vector_field(game, [penalties.generator_gradient(0.1)])
    with torch.no_grad():
        times = torch.tensor([0.0, 3 * STEP], dtype=torch.float64)
        wanted = torchdiffeq.odeint(lambda t, y: field(t, y, batch), y0, times, method="dopri5", **fine)
    for refresh in (math.inf, STEP):
        found = run(game, y0, refresh=refresh, **given)
        assert found.stats["nfe"] > 6
        assert far(found.y, wanted[-1], y0) < 1e-2
