"""The core on a CUDA device: everything runs where y0 is, in its dtype, and gives what the CPU gives."""

import math

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

import odegan
from odegan import ExponentialAverage, games, solvers
from odegan.penalties import generator_gradient

DEVICE = "cuda"
pytestmark = pytest.mark.cuda
T = torch.tensor([0.0, 0.25, 0.6], dtype=torch.float64)
DATA = torch.randn(20, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
LATENT = torch.randn(20, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
PENALTY = {"penalties": [generator_gradient(0.1)]}
ADAPTIVE = {"solver": "dopri5", "step_size": None, "refresh": 0.2}


def network(norm=lambda layer: layer):
    torch.manual_seed(0)
    discriminator = nn.Sequential(norm(nn.Linear(2, 4)), nn.Tanh(), nn.Linear(4, 1))
    return odegan.gan(nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 2)), discriminator)


def fixed_latents(n, generator):
    """The same on every device, unlike draws of a device's own generator."""
    return LATENT[torch.randint(20, (n,), generator=generator)]


def run(game, y0, **given):
    known = {"data": DATA, "latent": fixed_latents, "batch_size": 8, "solver": "heun2", "step_size": 0.1}
    return odegan.odeint_gan(game, y0, T, **known | given)


CASES = {
    "fixed": PENALTY,
    "after-step": PENALTY | {"placement": "after_step"},
    "frozen": {"players": "frozen", "clip": 1.0},
    "per-stage": {"solver": "rk4", "refresh": "stage"},
    "never": {"solver": "rk4_classic", "refresh": math.inf},
    "adaptive": ADAPTIVE | PENALTY,
    "adaptive-never": ADAPTIVE | {"refresh": math.inf},
} | {name: {"solver": name} for name in sorted(solvers.BASELINES)}


@pytest.mark.parametrize("given", CASES.values(), ids=CASES.keys())
@pytest.mark.parametrize("members", [None, 2])
def test_the_device_gives_what_the_cpu_gives(given, members):
    game = network()
    y0 = game.init().double() if members is None else torch.stack([game.init(seed=s).double() for s in range(members)])
    there = run(game, y0.to(DEVICE), **given)
    here = run(game, y0, **given)
    assert (there.ys.device.type, there.ys.dtype, there.status) == (DEVICE, torch.float64, "finished")
    torch.testing.assert_close(there.ys.cpu(), here.ys, rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(there.stats["losses"], here.stats["losses"], rtol=1e-6, atol=1e-8)
    assert there.stats["nfe"] == here.stats["nfe"]
    assert {v.device.type for v in there.stats.values() if isinstance(v, torch.Tensor)} == {"cpu"}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("given", [{}, ADAPTIVE], ids=["fixed", "adaptive"])
def test_device_and_dtype_are_those_of_y0(dtype, given):
    game = network(parametrizations.spectral_norm)
    y0 = game.init(seed=1).to(DEVICE, dtype)
    average = ExponentialAverage(0.5)
    states = []
    solution = run(game, y0, latent=3, callback=[average, lambda state, info: states.append((state, info))], **given)
    state, info = states[-1]
    tensors = [solution.ys, solution.y, average.y, state.y, info.losses, *state.aux["buffers"].values()]
    assert {(x.device.type, x.dtype) for x in tensors} == {(DEVICE, dtype)}
    assert game.sample(solution.y, 5).device.type == DEVICE
    generator, discriminator = game.modules(solution.y, batches=[(DATA, LATENT)])
    for module in (generator, discriminator):
        assert {p.device.type for p in [*module.parameters(), *module.buffers()]} == {DEVICE}
    assert generator(LATENT.to(y0)).dtype == dtype


def test_modules_that_live_on_the_device():
    game = odegan.gan(nn.Linear(3, 2).to(DEVICE), nn.Linear(2, 1).to(DEVICE))
    assert game.init().device.type == game.init(seed=1).device.type == DEVICE
    assert run(game, game.init()).ys.device.type == DEVICE
    assert torch.isfinite(run(game, game.init().cpu()).ys).all()


@pytest.mark.parametrize("given", [PENALTY, {"solver": "adam"}, ADAPTIVE], ids=["fixed", "adam", "adaptive"])
def test_resumed_is_uninterrupted(tmp_path, given):
    game = network(parametrizations.spectral_norm)
    y0 = game.init(seed=1).to(DEVICE)
    left = [2]

    def stop(state, info):
        left[0] -= 1
        return left[0] == 0

    whole = run(game, y0, latent=3, **given)
    part = run(game, y0, latent=3, callback=stop, checkpoint=tmp_path / "run.pt", **given)
    assert part.stats["steps"] < whole.stats["steps"]
    resumed = run(game, y0, latent=3, checkpoint=tmp_path / "run.pt", **given)
    assert resumed.ys.device.type == DEVICE
    assert torch.equal(resumed.ys, whole.ys)
    assert torch.equal(resumed.stats["losses"], whole.stats["losses"])


def test_a_non_finite_member_stops_alone():
    game = odegan.Game(lambda d, g, batch: -(d**4).sum(), lambda d, g, batch: (g**2).sum(), 1, 1)
    y0 = torch.tensor([[0.1, 1.0], [30.0, 1.0]], device=DEVICE)
    times = torch.linspace(0, 2, 3)
    given = {"solver": "euler", "step_size": 0.1, "on_nonfinite": "stop", "players": "frozen"}
    solution = odegan.odeint_gan(game, y0, times, **given)
    assert solution.status == "finished"
    assert torch.isfinite(solution.ys[:, 0]).all()
    assert torch.isnan(solution.ys[1:, 1]).all()
    with pytest.raises(odegan.NonFiniteError):
        odegan.odeint_gan(game, y0, times, **given | {"on_nonfinite": "raise"})


def test_gradients_flow_on_the_device():
    y0 = torch.tensor([1.0, 2.0], dtype=torch.float64, device=DEVICE, requires_grad=True)
    times = torch.tensor([0.0, 1.0], dtype=torch.float64)
    solution = odegan.odeint_gan(games.bilinear(), y0, times, solver="rk4", step_size=0.01)
    solution.y[0].backward()
    expected = torch.tensor([math.cos(1.0), -math.sin(1.0)], dtype=torch.float64)
    torch.testing.assert_close(y0.grad.cpu(), expected, rtol=1e-6, atol=1e-8)
