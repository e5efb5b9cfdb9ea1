"""Samplers of a trained generator, and the normalization statistics that they use."""

import pytest
import scipy.stats
import torch
from torch import nn

import odegan
from odegan import ExponentialAverage, UniformAverage
from odegan.games.latents import truncated
from odegan.games.sampling import GameSampler
from tests.metrics.evaluation_cases import REAL, evaluate, normal

torch.set_num_threads(1)


# Samples of games, and batch normalization.
def normalized_run(average):
    torch.manual_seed(0)
    generator = nn.Sequential(
        nn.Linear(3, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 16), nn.Unflatten(1, (1, 4, 4))
    )
    game = odegan.gan(generator, nn.Sequential(nn.Flatten(), nn.Linear(16, 1)))
    t = torch.tensor([0.0, 2.0])
    given = {"data": REAL, "latent": 3, "batch_size": 30, "solver": "adam", "step_size": 0.05, "callback": average}
    return game, generator, odegan.odeint_gan(game, game.init(), t, **given)


@pytest.mark.parametrize("make", [lambda: ExponentialAverage(0.9), UniformAverage])
def test_an_averaged_generator_is_exported_with_statistics_of_its_own(make):
    average = make()
    game, original, solution = normalized_run(average)
    batches = [(REAL[:20], normal(20, 3, seed=s).float()) for s in range(8)]
    exported, _ = game.modules(average.y, batches)
    assert torch.equal(torch.cat([p.flatten() for p in exported.parameters()]), game.split(average.y)[1])
    seen = [exported[0](z).detach() for _, z in batches]  # what its normalization is fed, by its own parameters
    mean, variance = (torch.stack(x).mean(0) for x in ([h.mean(0) for h in seen], [h.var(0) for h in seen]))
    torch.testing.assert_close(exported[1].running_mean, mean)
    torch.testing.assert_close(exported[1].running_var, variance)
    # not those of the last state, nor the original's
    last, _ = game.modules(solution.y, batches)
    for stale in (last[1].running_mean, original[1].running_mean):
        assert (exported[1].running_mean - stale).abs().max() > 0.01
    assert original[1].num_batches_tracked == 0
    # and another average is estimated again
    again, _ = game.modules(2 * average.y, batches)
    torch.testing.assert_close(again[1].running_mean, 2 * mean)


def test_samplers_say_which_statistics_they_use():
    average = ExponentialAverage(0.9)
    game, _, _ = normalized_run(average)
    batches = [(REAL[:20], normal(20, 3, seed=s).float()) for s in range(8)]
    batch = GameSampler(game, average.y)
    running = GameSampler(game, average.y, batches)
    assert (batch.normalization, running.normalization) == ("batch", "running")
    assert torch.equal(batch(32, 4), game.sample(average.y, 32, 4))
    # a sample depends on the others of its batch, or does not
    module = game.modules(average.y, batches)[0].eval()
    z = torch.randn(32, 3, generator=torch.Generator().manual_seed(4))
    assert torch.equal(running(32, 4), module(z))
    torch.testing.assert_close(running(16, 4), running(32, 4)[:16])
    assert (batch(16, 4) - batch(32, 4)[:16]).abs().max() > 0.01
    found = [evaluate(("fid",), sampler, normalization=None)["fid"] for sampler in (batch, running)]
    assert [score["normalization"] for score in found] == ["batch", "running"]
    assert found[0]["value"] != found[1]["value"]
    plain = odegan.gan(
        nn.Sequential(nn.Linear(3, 16), nn.Unflatten(1, (1, 4, 4))), nn.Sequential(nn.Flatten(), nn.Linear(16, 1))
    )
    assert GameSampler(plain, plain.init(), batches).normalization == "none"


def test_a_norm_given_in_eval_mode_samples_with_its_own_statistics():
    norm = nn.BatchNorm1d(3).eval()
    norm.running_mean += 1
    game = odegan.gan(nn.Sequential(nn.Linear(2, 3), norm), nn.Linear(3, 1))
    sampler = GameSampler(game, game.init())
    assert sampler.normalization == "running"
    torch.testing.assert_close(sampler(32, 0)[:16], sampler(16, 0))


@pytest.mark.parametrize("a", [1e-3, 0.5, 1.0, 2.0, 5.0])
def test_truncated_latents_have_the_truncated_normal_law(a):
    z = torch.randn(100_000, generator=torch.Generator().manual_seed(0))
    kept = truncated(z, a)
    assert kept.abs().max() <= a
    assert scipy.stats.kstest(kept.double(), scipy.stats.truncnorm(-a, a).cdf).pvalue > 0.01
    order = z.argsort()
    assert (kept[order].diff() >= 0).all()


def test_truncation_far_out_changes_nothing_and_keeps_the_dtype():
    z = torch.tensor([[-9.0, -5.5, 0.0], [1.0, 5.5, 9.0]])
    torch.testing.assert_close(truncated(z, 12.0), z, rtol=1e-6, atol=0)
    assert torch.equal(truncated(-z, 1.0), -truncated(z, 1.0))
    assert truncated(z.half(), 1.0).dtype == torch.float16


def test_a_sampler_truncates_the_latents_of_the_same_seed():
    game = odegan.gan(nn.Linear(3, 2), nn.Linear(2, 1))
    free, bound = (GameSampler(game, game.init(), truncation=a) for a in (None, 0.5))
    assert torch.equal(bound.latents(9, 4), truncated(free.latents(9, 4), 0.5))
    assert torch.equal(bound(9, 4), free.images(bound.latents(9, 4)))


def test_latents_of_a_function_of_ones_own_are_not_truncated():
    game = odegan.gan(nn.Linear(3, 2), nn.Linear(2, 1), latent=lambda n, draw: torch.rand(n, 3, generator=draw))
    with pytest.raises(
        odegan.ArgumentError, match=r"^truncation: got 1\.0; it must be left out unless .* standard normal$"
    ):
        GameSampler(game, game.init(), truncation=1.0)


def test_samples_of_every_member_at_every_report():
    game = odegan.gan(nn.Linear(3, 2), nn.Linear(2, 1))
    ys = torch.stack([game.init(seed=range(3)), game.init(seed=range(3, 6))])
    drawn = game.sample(ys, 5, seed=1)
    assert drawn.shape == (2, 3, 5, 2)
    assert torch.equal(drawn[1, 2], game.sample(ys[1, 2], 5, seed=1))


@pytest.mark.parametrize("batches", [REAL, REAL[:, 0, 0, :2], (REAL[:4], torch.ones(4, 3)), [REAL[:4]], 3])
def test_statistics_come_from_a_list_of_minibatches(batches):
    game = odegan.gan(nn.Sequential(nn.Linear(3, 16), nn.BatchNorm1d(16)), nn.Linear(16, 1))
    with pytest.raises(
        odegan.ArgumentError, match=r"^batches: got .*a list of at least one minibatch \(real, latent\)$"
    ):
        game.modules(game.init(), batches)
