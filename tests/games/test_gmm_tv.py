"""The mixture judged by intervals: closed forms, the optimal discriminator, the order of the endpoints."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import norm
from torch.func import grad, hessian

import odegan
from odegan import ArgumentError, Game, games, odeint_gan
from odegan.games.closed_form.interval_union import isotonic
from tests.games.gmm_tv_cases import difference, double, draw, total_variation

TRUTHS = {2: [-0.5, 0.5], 3: [-1.0, 0.2, 1.3]}


# The losses and their gradients.
def test_value_is_a_difference_of_probabilities() -> None:
    game = games.gmm_tv(double(-0.5, 0.5))
    ends = draw(4).sort().values
    mu = draw(2, seed=1)

    def probability(means: list[float]) -> float:
        pairs = ends.reshape(2, 2).tolist()
        return np.mean([sum(norm.cdf(r, m) - norm.cdf(left, m) for left, r in pairs) for m in means])

    expected = probability([-0.5, 0.5]) + 1 - probability(mu.tolist())
    loss_d, loss_g = game.losses(torch.cat([ends, mu]))
    assert loss_g.item() == pytest.approx(expected, abs=1e-14)
    assert loss_d.item() == pytest.approx(-expected, abs=1e-14)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_gradients_are_the_closed_forms_and_those_of_the_losses(k: int) -> None:
    truth = TRUTHS.get(k, [0.3])
    game = games.gmm_tv(truth_of(truth))
    for seed in range(5):
        ends = draw(2 * k, seed=seed)
        mu = draw(k, seed=seed + 100)
        grad_d, grad_g = game.gradients(ends, mu)
        f = difference(ends.numpy(), truth, mu.tolist())
        signs = np.tile([1.0, -1.0], k)  # of disc_loss = -L: dL/dl = -F(l), dL/dr = F(r)
        np.testing.assert_allclose(grad_d.numpy(), signs * f, atol=1e-15)
        by_hand = [
            sum(norm.pdf(r - m) - norm.pdf(left - m) for left, r in ends.reshape(k, 2).tolist()) / k
            for m in mu.tolist()
        ]
        np.testing.assert_allclose(grad_g.numpy(), by_hand, atol=1e-15)
        torch.testing.assert_close(grad_d, grad(game.disc_loss, 0)(ends, mu, None), rtol=0, atol=1e-15)
        torch.testing.assert_close(grad_g, grad(game.gen_loss, 1)(ends, mu, None), rtol=0, atol=1e-15)


def truth_of(numbers: list[float]) -> torch.Tensor:
    return double(*numbers)


def test_gradients_agree_with_monte_carlo() -> None:
    """The score-function estimate of dL/dmu, and counts in thin shells for dL/d(endpoints)."""
    game = games.gmm_tv(double(-0.5, 0.5))
    n = 4_000_000
    ends = double(-1.2, 0.1, 0.6, 2.0)
    mu = double(-0.9, 1.4)
    source = np.random.default_rng(0)

    def sample(means: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
        which = source.integers(2, size=n)
        return means.numpy()[which] + source.standard_normal(n), which

    def inside(x: np.ndarray) -> np.ndarray:
        left, a, b, right = ends.tolist()
        return ((left < x) & (x < a)) | ((b < x) & (x < right))

    real, _ = sample(double(-0.5, 0.5))
    fake, which = sample(mu)
    value = inside(real).mean() + 1 - inside(fake).mean()
    assert float(game.value(ends, mu)) == pytest.approx(value, abs=5 / math.sqrt(n))
    grad_d, grad_g = game.gradients(ends, mu)
    score = [-(inside(fake) * (which == j) * (fake - mu[j].item())).mean() for j in range(2)]
    np.testing.assert_allclose(grad_g.numpy(), score, atol=5 / math.sqrt(n))
    width = 0.02
    for end, sign, found in zip(ends.tolist(), [1, -1, 1, -1], grad_d.tolist(), strict=True):
        shell = [(np.abs(x - end) < width / 2).mean() / width for x in (real, fake)]
        assert sign * (shell[0] - shell[1]) == pytest.approx(found, abs=5 * math.sqrt(0.8 / width / n))


def test_derivatives_at_infinite_ends_are_zero_not_nan() -> None:
    game = games.gmm_tv(double(-0.5, 0.5))
    y = double(-math.inf, -1.0, 1.0, math.inf, 0.2, 0.4)
    for loss in (game.disc_loss, game.gen_loss):
        second = hessian(lambda y, loss=loss: loss(*game.split(y), None))(y)
        assert torch.isfinite(second).all()
        assert (second[[0, 3]] == 0).all()
    jacobian = torch.func.jacrev(lambda y: torch.cat(game.gradients(*game.split(y))))(y)
    assert torch.isfinite(jacobian).all()
    finite = torch.where(y.isinf(), 50.0 * y.sign(), y)
    torch.testing.assert_close(game.losses(y), game.losses(finite))


def test_the_game_of_the_complement_is_another_game() -> None:
    """Both players' signs flipped play the game of 1 - D: the field is turned round, and its optimum is not two intervals."""
    game = games.gmm_tv(double(-0.5, 0.5))
    ends = double(-1.0, 0.0, 1.0, 2.0)
    mu = double(-0.2, 0.9)
    field = odegan.vector_field(game)(0.0, torch.cat([ends, mu]))
    f = difference(ends.numpy(), [-0.5, 0.5], mu.tolist())
    np.testing.assert_allclose(field[:4].numpy(), [-f[0], f[1], -f[2], f[3]], atol=1e-15)
    step = torch.cat([ends, mu]) + 1e-4 * torch.cat([field[:4], torch.zeros(2)])
    assert game.value(step[:4], mu) > game.value(ends, mu)  # the discriminator ascends
    assert game.value(ends, mu + 1e-4 * field[4:]) < game.value(ends, mu)  # the generator descends
    assert 1 - game.value(ends, mu) != pytest.approx(float(game.value(ends, mu)) - 1, abs=1e-3)


# The optimal discriminator.
@pytest.mark.parametrize("k", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_optimal_discriminator_attains_the_total_variation(k: int) -> None:
    game = games.gmm_tv(truth_of(TRUTHS[k]))
    starts = draw(60, k, seed=7)
    best = game.optimal_discriminator(starts)
    assert best.shape == (60, 2 * k)
    assert (best[:, 1:] >= best[:, :-1]).all()
    values = game.value(best, starts)
    for mu, value in zip(starts.tolist(), values.tolist(), strict=True):
        assert value == pytest.approx(1 + total_variation(TRUTHS[k], mu), abs=1e-8)
    torch.testing.assert_close(game.total_variation(starts), values - 1)


@pytest.mark.parametrize("mu", [(-3.0, 3.0), (-2.0, 3.0), (0.0, 0.0), (1e-9, 0.0), (-4.5, 3.9)])
def test_three_changes_of_sign(mu: tuple[float, float]) -> None:
    game = games.gmm_tv(double(-4.0, 4.0))
    best = game.optimal_discriminator(double(*mu))
    assert game.value(best, double(*mu)).item() == pytest.approx(1 + total_variation([-4, 4], mu), abs=1e-8)
    if mu == (-4.5, 3.9):  # pulled to the left: right of both modes of G, and between them up to the middle
        assert best.isfinite().sum() == 3
        np.testing.assert_allclose(difference(best[best.isfinite()].numpy(), [-4, 4], mu), 0, atol=1e-12)


def test_optimal_discriminator_maps_over_starts() -> None:
    game = games.gmm_tv(double(-0.5, 0.5))
    mu = draw(2000, 2)
    together = game.optimal_discriminator(mu)
    assert torch.equal(torch.vmap(game.optimal_discriminator)(mu), together)
    assert torch.equal(game.optimal_discriminator(mu.reshape(20, 100, 2)).reshape(2000, 4), together)
    for i in range(5):
        assert torch.equal(game.optimal_discriminator(mu[i]), together[i])


def test_no_other_discriminator_is_better() -> None:
    game = games.gmm_tv(double(-0.5, 0.5))
    mu = double(-1.3, 0.4)
    others = draw(20_000, 4, low=-6, high=6).sort(-1).values
    assert game.value(others, mu).max() <= 1 + game.total_variation(mu)


def test_more_components_than_the_truth_has() -> None:
    game = games.gmm_tv(double(0.0), k=3)
    assert (game.n_disc, game.n_gen) == (6, 3)
    mu = double(-2.0, 0.1, 1.5)
    assert game.total_variation(mu).item() == pytest.approx(total_variation([0.0], mu.tolist()), abs=1e-10)


def test_single_precision() -> None:
    game = games.gmm_tv(double(-0.5, 0.5))
    mu = draw(500, 2)
    torch.testing.assert_close(game.total_variation(mu.float()).double(), game.total_variation(mu), rtol=0, atol=1e-6)


def test_derivative_of_the_total_variation_is_the_envelopes() -> None:
    game = games.gmm_tv(double(-0.5, 0.5))
    mu = double(-1.1, 0.3)
    eps = 1e-5
    found = grad(game.total_variation)(mu)
    for j in range(2):
        e = eps * torch.eye(2, dtype=torch.float64)[j]
        slope = (game.total_variation(mu + e) - game.total_variation(mu - e)) / (2 * eps)
        assert found[j].item() == pytest.approx(slope.item(), abs=1e-9)
    torch.testing.assert_close(odegan.vector_field(game.optimal())(0.0, mu), -found)


def test_the_diagonal_never_succeeds() -> None:
    game = games.gmm_tv(double(-0.5, 0.5))
    same = torch.linspace(-2, 2, 4001, dtype=torch.float64)[:, None].expand(-1, 2)
    assert game.total_variation(same).min().item() == pytest.approx(total_variation([-0.5, 0.5], [0.0, 0.0]), abs=1e-9)
    assert game.total_variation(same).min() > 0.058


@pytest.mark.parametrize("order", ["project", "sort", "none"])
def test_every_step_keeps_the_order(order: str) -> None:
    game = games.gmm_tv(double(-0.5, 0.5), order=order)
    y0 = torch.cat([draw(50, 4).sort(-1).values, draw(50, 2, low=-1, high=1, seed=1)], dim=1)
    solution = odeint_gan(game, y0, 0.5 * torch.arange(61), solver="euler", step_size=0.5)
    gaps = solution.ys[..., :4].diff(dim=-1)
    assert (gaps >= 0).all() if order != "none" else (gaps < -1e-3).any()
    restore = {"project": isotonic, "sort": lambda ends: ends.sort(-1).values, "none": lambda ends: ends}[order]
    y = y0
    field = torch.vmap(lambda y: odegan.vector_field(game)(0.0, y))
    for _ in range(60):
        y = y + 0.5 * field(y)
        y = torch.cat([restore(y[:, :4]), y[:, 4:]], dim=1)
    torch.testing.assert_close(solution.y, y, rtol=0, atol=1e-12)


def test_an_empty_interval_reopens_only_where_f_is_positive() -> None:
    game = games.gmm_tv(double(-0.5, 0.5))
    mu = double(2.0, 2.5)
    stepper = odegan.Stepper(game, solver="euler", step_size=0.1, rates=(1.0, 0.0))
    for at in (-0.5, 2.2):
        y = torch.cat([double(at, at, 5.0, 5.1), mu])
        after, _ = stepper.step(stepper.init(y), None)
        opened = float(after.y[1] - after.y[0])
        assert (opened > 0) == (difference(at, [-0.5, 0.5], mu.tolist()) > 0)
        assert opened >= 0


def test_checkpoints_tell_games_apart_and_resume(tmp_path: Any) -> None:
    y0 = double(-1.0, 0.0, 1.0, 2.0, -0.3, 0.9)

    def run(end: float, path: Any, mu_star: tuple[float, float] = (-0.5, 0.5), stop: bool = False, **more: Any) -> Any:
        game = games.gmm_tv(double(*mu_star), **more)
        late = (lambda state, info: state.t > 2) if stop else None
        t = torch.linspace(0, end, 6)
        return odeint_gan(game, y0, t, solver="euler", step_size=0.5, checkpoint=path, callback=late)

    whole = run(5.0, tmp_path / "whole.pt")
    run(5.0, tmp_path / "broken.pt", stop=True)
    assert torch.equal(run(5.0, tmp_path / "broken.pt").ys, whole.ys)
    for changed in ({"mu_star": (-0.5, 0.6)}, {"order": "sort"}):
        with pytest.raises(ArgumentError, match="game: got"):
            run(5.0, tmp_path / "whole.pt", **changed)


@pytest.mark.slow
def test_the_optimal_game_descends_the_total_variation() -> None:
    game = games.gmm_tv(double(-0.5, 0.5))
    mu = draw(200, 2, low=-1, high=1)
    solution = odeint_gan(game.optimal(), mu, double(0.0, 5.0, 50.0, 300.0), solver="euler", step_size=0.3)
    tv = game.total_variation(solution.ys)
    assert (tv[1] < tv[0]).all()
    assert (tv[-1] < 0.05).double().mean() > 0.99


def test_samples_are_the_generators() -> None:
    game = games.gmm_tv(double(-0.5, 0.5))
    x = game.sample(torch.cat([torch.zeros(4), torch.tensor([-8.0, 3.0])]), 20_000, seed=3)
    assert x[x < 0].mean().item() == pytest.approx(-8.0, abs=0.1)
    assert (x > -2).double().mean().item() == pytest.approx(0.5, abs=0.02)
    starts = torch.stack([game.init(seed=s) for s in range(50)])
    assert (starts[:, 1:4] >= starts[:, :3]).all()
    assert starts[:, :4].abs().max() <= 3
    assert starts[:, 4:].abs().max() <= 1


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: games.gmm_tv([]), "mu_star: got"),
        (lambda: games.gmm_tv([0.0, math.nan]), "mu_star: got"),
        (lambda: games.gmm_tv("x"), "mu_star: got"),
        (lambda: games.gmm_tv([0.0, 1.0], k=1), "k: got 1; it must be a whole number >= 2"),
        (lambda: games.gmm_tv([0.0], order="srot"), "did you mean 'sort'?"),
        (lambda: Game(lambda d, g, b: d.sum(), lambda d, g, b: g.sum(), 1, 1, project=3), "project: got 3"),  # type: ignore[arg-type]
    ],
)
def test_wrong_arguments_are_one_line(make: Any, message: str) -> None:
    with pytest.raises(ArgumentError, match=message.replace("?", r"\?")) as raised:
        make()
    assert "\n" not in str(raised.value)
