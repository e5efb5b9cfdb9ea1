"""Unrolling as a transform of games: against loops by hand, finite differences, and in everything a run does with a game."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import nn

import odegan
from odegan import ArgumentError, Game, games, odeint_gan, penalties
from odegan.field.unrolling import unrolled
from tests.peers import BACKENDS, compiles, draw, networks, smooth_game

H = 0.3
D = torch.tensor([0.7, -0.4], dtype=torch.float64)
G = torch.tensor([0.3, 0.9], dtype=torch.float64)
VARIANTS = list(itertools.product((True, False), (True, False)))  # persistent, through


def disc_slope(game: Game, d: torch.Tensor, g: torch.Tensor, batch: Any = None) -> torch.Tensor:
    """d disc_loss / d d by plain autograd, itself differentiable."""
    own = d if d.requires_grad else d.detach().requires_grad_()
    return torch.autograd.grad(game.disc_loss(own, g, batch), own, create_graph=True)[0]


def by_hand(game: Game, d: torch.Tensor, g: torch.Tensor, k: int, solver: str, batch: Any = None) -> torch.Tensor:
    for _ in range(k):
        first = -disc_slope(game, d, g, batch)
        second = -disc_slope(game, d + H * first, g, batch) if solver == "heun2" else first
        d = d + H / 2 * (first + second)
    return d


def networks_game(loss: str = "non_saturating") -> Game:
    return odegan.gan(*networks(), loss, latent=3)


def case(name: str) -> tuple[Game, torch.Tensor, torch.Tensor, Any]:
    if name == "smooth":
        return smooth_game(), D, G, None
    game = networks_game("relativistic" if name == "relativistic" else "non_saturating")
    return game, *game.split(game.init()), draw()


CASES = ["smooth", "networks", "relativistic"]


@pytest.mark.parametrize("solver", ["euler", "heun2"])
@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("persistent, through", VARIANTS)
def test_field_is_the_loop_by_hand(name: str, solver: str, persistent: bool, through: bool) -> None:
    game, d, g, batch = case(name)
    made = unrolled(game, 3, H, solver, persistent=persistent, through=through)
    own = g.clone().requires_grad_()
    ahead = by_hand(game, d, own, 3, solver, batch)
    seen = ahead if through else ahead.detach()
    loss = game.gen_loss(seen, own, batch)
    expected_g = torch.autograd.grad(loss, own)[0]
    expected_d = (d - ahead.detach()) / H if persistent else disc_slope(game, d, g, batch).detach()
    for gradients in (torch.no_grad(), torch.enable_grad()):
        with gradients:
            (grad_d, grad_g), (loss_d, loss_g) = made.gradients(d, g, batch, with_losses=True)
            torch.testing.assert_close(grad_d.detach(), expected_d, rtol=0, atol=1e-13)
            torch.testing.assert_close(grad_g.detach(), expected_g, rtol=0, atol=1e-13)
            torch.testing.assert_close(loss_g.detach(), loss.detach(), rtol=0, atol=1e-13)
            assert loss_d == game.disc_loss(d, g, batch)
            torch.testing.assert_close(
                made.player_gradient("disc", d, g, batch).detach(), expected_d, rtol=0, atol=1e-13
            )
            torch.testing.assert_close(
                made.player_gradient("gen", d, g, batch).detach(), expected_g, rtol=0, atol=1e-13
            )


@pytest.mark.parametrize("name", CASES)
def test_gradient_through_the_steps_is_a_finite_difference(name: str) -> None:
    game, d, g, batch = case(name)
    made = unrolled(game, 4, H)
    eps = 1e-5
    found = made.player_gradient("gen", d, g, batch)
    for j in range(0, len(g), max(1, len(g) // 4)):
        e = torch.zeros_like(g)
        e[j] = eps
        slope = (made.gen_loss(d, g + e, batch) - made.gen_loss(d, g - e, batch)) / (2 * eps)
        assert found[j].item() == pytest.approx(slope.item(), abs=1e-8)


def test_variants_differ() -> None:
    """The four fields are four: no switch does nothing."""
    y = torch.cat([D, G])
    fields = [odegan.vector_field(unrolled(smooth_game(), 3, H, persistent=p, through=t))(0.0, y) for p, t in VARIANTS]
    assert all((a - b).abs().max() > 1e-3 for a, b in itertools.combinations(fields, 2))


def test_one_euler_step_of_the_same_size_keeps_the_unrolled_discriminator() -> None:
    for solver in ("euler", "rk4_classic"):
        made = unrolled(smooth_game(), 5, H, solver, persistent=True)
        y = odeint_gan(
            made, torch.cat([D, G]), torch.tensor([0.0, H], dtype=torch.float64), solver="euler", step_size=H
        ).y
        torch.testing.assert_close(y[:2], made.ahead(D, G), rtol=0, atol=1e-15)  # type: ignore[attr-defined]


def test_a_long_lookahead_meets_the_optimal_discriminator() -> None:
    """disc_loss (d - a g)^2 / 2: U_k goes to a g, and the generator descends its loss against that."""
    a = 1.7
    game = Game(
        lambda d, g, batch: ((d - a * g) ** 2).sum() / 2, lambda d, g, batch: (d * g).sum() + (g**2).sum(), 1, 1
    )
    d = torch.tensor([5.0], dtype=torch.float64)
    g = torch.tensor([0.8], dtype=torch.float64)
    through, held = (unrolled(game, 60, 0.5, through=t).player_gradient("gen", d, g) for t in (True, False))
    torch.testing.assert_close(through, 2 * a * g + 2 * g)
    torch.testing.assert_close(held, a * g + 2 * g)


# Everything a run does.
@compiles
@pytest.mark.parametrize(
    "persistent, through",
    [pytest.param(*variant, marks=[pytest.mark.slow] * (variant != (True, True))) for variant in VARIANTS],
)
@pytest.mark.parametrize("backend", BACKENDS)
def test_members_and_compiled_steps(persistent: bool, through: bool, backend: str) -> None:
    game = unrolled(networks_game(), 2, 0.1, persistent=persistent, through=through)
    y0 = torch.stack([game.init(seed=s) for s in range(3)])
    source = torch.Generator().manual_seed(0)
    data = torch.randn(32, 2, generator=source, dtype=torch.float64)
    arguments: dict[str, Any] = {"data": data, "batch_size": 8, "solver": "euler", "step_size": 0.1}
    t = torch.tensor([0.0, 0.3], dtype=torch.float64)
    together = odeint_gan(game, y0, t, **arguments).y
    alone = torch.stack([odeint_gan(game, y, t, seed=s, **arguments).y for s, y in enumerate(y0)])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-12)
    compiled = odeint_gan(game, y0, t, compile=backend, **arguments).y
    torch.testing.assert_close(together, compiled, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "make",
    [penalties.generator_gradient, penalties.jare, penalties.consensus, lambda w: penalties.closed_loop(w, buffer=2)],
)
@pytest.mark.parametrize("persistent, through", VARIANTS)
def test_penalties_of_an_unrolled_game(make: Any, persistent: bool, through: bool) -> None:
    """A penalty's field is the derivative of its value, which reads the unrolled game's own gradients."""
    base = networks_game()
    game = unrolled(base, 2, H, persistent=persistent, through=through)
    y0 = game.init()
    batch = draw()
    t = torch.tensor([0.0, 0.02], dtype=torch.float64)
    run = odeint_gan(
        game,
        y0,
        t,
        data=lambda n, s: batch[0],
        latent=lambda n, s: batch[1],
        batch_size=8,
        solver="euler",
        step_size=0.01,
        penalties=[make(0.1)],
    )
    assert run.status == "finished"
    if make(0.1).replay is not None:
        return
    field = odegan.vector_field(game, [make(0.1)])(0.0, y0, batch) - odegan.vector_field(game)(0.0, y0, batch)
    extra = make(0.1)(game)[0]
    d, g = game.split(y0)
    direction = torch.linspace(-1, 1, game.n_disc, dtype=torch.float64)
    ends = [extra(d + s * 1e-5 * direction, g, batch, 0.0) for s in (1, -1)]
    slope = (ends[0] - ends[1]) / 2e-5
    assert -(field[: game.n_disc] @ direction).item() == pytest.approx(slope.item(), rel=1e-5, abs=1e-9)


def test_spectrum_sees_the_held_discriminator_move() -> None:
    game = unrolled(smooth_game(), 3, H, through=False)
    y = torch.cat([D, G])
    eps = 1e-6
    field = odegan.vector_field(game)
    columns = [
        (field(0.0, y + eps * e) - field(0.0, y - eps * e)) / (2 * eps) for e in torch.eye(4, dtype=torch.float64)
    ]
    expected = torch.linalg.eigvals(torch.stack(columns, dim=1))
    found = odegan.spectrum(game, y).eigenvalues
    torch.testing.assert_close(found.sum(), expected.sum(), rtol=0, atol=1e-7)
    torch.testing.assert_close((found**2).sum(), (expected**2).sum(), rtol=0, atol=1e-7)


def test_networks_keep_their_modules_samples_and_checks() -> None:
    base = networks_game()
    game = unrolled(base, 2, H)
    y = game.init(seed=3)
    assert torch.equal(y, base.init(seed=3))
    assert torch.equal(game.sample(y, 5, seed=1), base.sample(y, 5, seed=1))
    for mine, theirs in zip(game.modules(y), base.modules(y), strict=True):
        x = torch.randn(4, 3 if mine is game.modules(y)[0] else next(iter(mine.parameters())).shape[1]).double()
        assert [n for n, _ in mine.named_parameters()] == [n for n, _ in theirs.named_parameters()]
        torch.testing.assert_close(mine(x), theirs(x))
    x = draw()[0]
    d, g = game.split(y)
    torch.testing.assert_close(game.critic_fn(d)(x), base.critic_fn(d)(x))
    torch.testing.assert_close(game.fake(g, draw()), base.fake(g, draw()))
    assert game.latent == (3,)  # type: ignore[attr-defined]
    assert game.couples_batch is True  # through U_k
    assert game.critic_couples_batch is False
    with pytest.raises(ArgumentError, match="data: got None"):
        game.check(y, None)
    with pytest.raises(ArgumentError, match="chunks: got a number"):
        odegan.vector_field(game, [penalties.jare(1.0, chunks=2)])
    with pytest.raises(AttributeError, match="nothing"):
        _ = game.nothing  # type: ignore[attr-defined]
    with pytest.raises(ArgumentError, match="modules: smooth was not"):
        unrolled(smooth_game(name="smooth"), 1, H).modules(torch.cat([D, G]))


def test_spectral_norms_buffers_move_between_steps() -> None:
    generator, discriminator = networks()
    nn.utils.parametrizations.spectral_norm(discriminator[0])
    game = unrolled(odegan.gan(generator, discriminator, latent=3), 2, H)
    stepper = odegan.Stepper(game, solver="euler", step_size=0.1)
    state = stepper.init(game.init())
    after, _ = stepper.step(state, draw())
    before_buffers = state.aux["buffers"]
    after_buffers = after.aux["buffers"]
    assert before_buffers.keys() == after_buffers.keys() != set()
    assert any(not torch.equal(before_buffers[key], after_buffers[key]) for key in before_buffers)


def test_checkpoints_tell_unrolled_games_apart_and_resume(tmp_path: Any) -> None:
    data = torch.randn(32, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def run(path: Any, stop: bool = False, base: Game | None = None, **settings: Any) -> Any:
        game = unrolled(base or networks_game(), **({"steps": 2, "step_size": H} | settings))
        callback = (lambda state, info: state.t > 0.25) if stop else None
        t = torch.linspace(0, 0.5, 6, dtype=torch.float64)
        return odeint_gan(
            game,
            game.init(),
            t,
            data=data,
            batch_size=8,
            solver="euler",
            step_size=0.1,
            checkpoint=path,
            callback=callback,
        )

    whole = run(tmp_path / "whole.pt")
    assert run(tmp_path / "broken.pt", stop=True).status == "stopped"
    assert torch.equal(run(tmp_path / "broken.pt").ys, whole.ys)
    changes: list[dict[str, Any]] = [
        {"steps": 3},
        {"step_size": 0.2},
        {"solver": "heun2"},
        {"persistent": True},
        {"through": False},
    ]
    for change in changes:
        with pytest.raises(ArgumentError, match="game: got"):
            run(tmp_path / "whole.pt", **change)
    with pytest.raises(ArgumentError, match="loss: got"):
        run(tmp_path / "whole.pt", base=networks_game("wasserstein"))


def test_gradient_flows_to_the_step_size() -> None:
    h = torch.tensor(H, dtype=torch.float64, requires_grad=True)

    def loss(size: Any) -> torch.Tensor:
        return unrolled(smooth_game(), 3, size).gen_loss(D, G, None)

    (slope,) = torch.autograd.grad(loss(h), h)
    assert slope.item() == pytest.approx((loss(H + 1e-6) - loss(H - 1e-6)).item() / 2e-6, abs=1e-8)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"steps": 0}, "steps: got 0; it must be a whole number >= 1"),
        ({"step_size": 0.0}, "step_size: got 0.0"),
        ({"solver": "eulr"}, "did you mean 'euler'"),
        ({"solver": "dopri5"}, "solver: got 'dopri5'"),
        ({"solver": "adam"}, "solver: got 'adam'"),
        ({"persistent": 1}, "persistent: got 1; it must be True or False"),
        ({"through": None}, "through: got None"),
        ({"game": 3}, "game: got 3"),
    ],
)
def test_wrong_arguments_are_one_line(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message) as raised:
        unrolled(**({"game": games.bilinear(), "steps": 2, "step_size": 0.1} | arguments))
    assert "\n" not in str(raised.value)
