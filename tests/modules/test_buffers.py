"""Buffers of exported networks: running statistics, and the vectors of spectral norm."""

import torch
from torch import nn
from torch.nn.utils import parametrizations

import odegan
from tests.modules.pairs import LATENT, REAL, critic, half_eval, lived_in, normed, plain

torch.set_num_threads(1)


def test_batch_norm_statistics_are_estimated_on_export():
    torch.manual_seed(0)
    generator = normed()
    game = odegan.gan(generator, critic())
    y = game.init(seed=1)
    batches = [(torch.randn(16, 2), torch.randn(16, 3)) for _ in range(4)]
    made, _ = game.modules(y, batches=iter(batches))
    hidden = [made[0](latent) for _, latent in batches]
    torch.testing.assert_close(made[1].running_mean, torch.stack([h.mean(0) for h in hidden]).mean(0))
    torch.testing.assert_close(made[1].running_var, torch.stack([h.var(0) for h in hidden]).mean(0))
    assert (made.training, made[1].momentum) == (True, generator[1].momentum)
    x = torch.randn(6, 3)
    assert torch.allclose(made.eval()(x)[:3], made(x[:3]), atol=1e-6)
    unestimated = game.modules(y)[0].eval()
    assert not torch.allclose(unestimated(x)[:3], unestimated(x[:3]), atol=1e-3)
    assert torch.equal(generator[1].running_mean, torch.zeros(4))


def test_running_statistics_of_eval_mode_are_exported():
    generator = lived_in(normed()).eval()
    game = odegan.gan(generator, half_eval())
    batches = [(torch.randn(16, 2), torch.randn(16, 3))]
    for given in (None, batches):
        made_g, made_d = game.modules(game.init(), given)
        assert torch.equal(made_g[1].running_mean, generator[1].running_mean)
        assert not made_g[1].training
        assert (made_d[1].running_mean is not None, made_d[3].running_mean is not None) == (True, given is not None)


def test_spectral_norm_iterates_between_steps_and_finds_sigma():
    torch.manual_seed(0)
    game = odegan.gan(plain(), critic(parametrizations.spectral_norm))
    stepper = odegan.Stepper(game, solver="euler", step_size=0.01)
    state = stepper.init(game.init())
    batch = (REAL, LATENT)
    key = next(k for k in state.aux["buffers"] if k.endswith("_u"))
    before = {k: b.clone() for k, b in state.aux["buffers"].items()}
    moved, _ = stepper.step(state, batch)
    assert all(torch.equal(state.aux["buffers"][k], before[k]) for k in before)
    weight = game.discriminator.unflatten(game.split(moved.y)[0])["0.parametrizations.weight.original"]
    v = before[key.replace("_u", "_v")]
    torch.testing.assert_close(moved.aux["buffers"][key], nn.functional.normalize(weight @ v, dim=0))
    state = state._replace(
        aux=state.aux | {"buffers": {k: torch.ones_like(b) / len(b) ** 0.5 for k, b in before.items()}}
    )
    for _ in range(60):
        state, _ = stepper.step(state, batch)
    weight = game.discriminator.unflatten(game.split(state.y)[0])["0.parametrizations.weight.original"]
    u, v = (state.aux["buffers"][key.replace("_u", part)] for part in ("_u", "_v"))
    sigma = torch.linalg.svdvals(weight)[0]
    torch.testing.assert_close(u @ weight @ v, sigma, rtol=1e-4, atol=0.0)
    exported = game.modules(state.y)[1].eval()
    torch.testing.assert_close(torch.linalg.svdvals(exported[0].weight)[0], torch.ones(()), rtol=1e-4, atol=0.0)
