"""Augmented games: the transforms against loops over pixels, the field against autograd, and runs of every kind."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.utils._pytree import tree_map

import odegan
from odegan import penalties, schedules
from odegan.games.augmentation import TRANSFORMS, Transform, augmentation
from odegan.games.sampling import GameSampler
from tests.games.augmented_cases import CLASSES, LATENT, SIDE, B, D, images, uniform

ALL = "flip,color,translation,cutout"


class Labeled(nn.Module):
    """A small network of images whose class is added as an embedding."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(CLASSES, 4)
        self.first = nn.Linear(n_in, 4)
        self.last = nn.Linear(4, n_out)

    def forward(self, x, label):
        out = self.last(torch.tanh(self.first(x.flatten(1)) + self.embedding(label)))
        return out.unflatten(1, (1, SIDE, SIDE)) if out.shape[1] > 1 else out


class Plain(Labeled):
    """The same without classes."""

    def forward(self, x):
        return super().forward(x, torch.zeros(len(x), dtype=torch.long))


def base(kind: type[nn.Module] = Plain) -> odegan.Game:
    torch.manual_seed(0)
    return odegan.gan(kind(LATENT, SIDE * SIDE).double(), kind(SIDE * SIDE, 1).double(), latent=LATENT)


def drawn(n: int = B, labels: bool = False) -> odegan.Batch:
    real = uniform(n, 1, SIDE, SIDE, seed=3) * 2 - 1
    latent = uniform(n, LATENT, seed=4)
    return odegan.Batch(real, latent, *((torch.arange(n) % CLASSES, torch.arange(n) // 2 % CLASSES) if labels else ()))


def by_hand(x: torch.Tensor, numbers: torch.Tensor) -> torch.Tensor:
    """All transforms of one side's images by their own functions, in turn."""
    parts = numbers.split([1 + TRANSFORMS[name].numbers for name in ALL.split(",")], 1)
    for name, part in zip(ALL.split(","), parts, strict=True):
        moved = TRANSFORMS[name].apply(x, part[:, 1:])
        x = torch.stack([new if acts else old for new, old, acts in zip(moved, x, part[:, 0] == 1, strict=True)])
    return x


@pytest.mark.parametrize("kind", [Plain, Labeled])
def test_both_players_see_the_same_transform_and_autograd_agrees(kind):
    game = odegan.augmented(base(kind), ALL, probability=0.6)
    batch = game.with_draws(drawn(labels=kind is Labeled), seed=2)
    y = game.init()
    generator, discriminator = game.modules(y)
    labels = ((batch.label,), (batch.fake_label,)) if kind is Labeled else ((), ())
    real = by_hand(batch.real, batch.augment[:, 0]).requires_grad_()
    fake = by_hand(generator(batch.latent, *labels[1]), batch.augment[:, 1])
    on_real = discriminator(real, *labels[0]).flatten()
    on_fake = discriminator(fake, *labels[1]).flatten()
    loss_d = nn.functional.softplus(-on_real).mean() + nn.functional.softplus(on_fake).mean()
    loss_g = nn.functional.softplus(-on_fake).mean()
    of_g = torch.autograd.grad(loss_g, list(generator.parameters()), create_graph=True)
    (of_x,) = torch.autograd.grad(on_real.sum(), real, create_graph=True)
    extra = 0.3 * sum((g**2).sum() for g in of_g) + 0.1 * (of_x**2).sum((1, 2, 3)).mean()
    of_d = torch.autograd.grad(
        loss_d + extra, list(discriminator.parameters()), materialize_grads=True, allow_unused=True
    )
    expected = -torch.cat([g.flatten() for g in (*of_d, *of_g)])
    kept = [penalties.generator_gradient(0.3), penalties.r1(0.2)]
    with torch.no_grad():
        found = odegan.vector_field(game, kept)(0.0, y, batch)
    torch.testing.assert_close(found, expected.detach(), rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(torch.stack(game.losses(y, batch)), torch.stack([loss_d, loss_g]).detach())
    plain = odegan.vector_field(base(kind), kept)(0.0, y, batch)
    assert (plain - found).abs().max() > 1e-3


@pytest.mark.parametrize("probability", [0.0, 0.3, 1.0])
def test_each_transform_acts_with_its_probability(probability):
    game = odegan.augmented(base(), ALL, probability)
    gates = game.with_draws(drawn(4000)).augment[..., [0, 2, 6, 9]]
    spread = 4 * (probability * (1 - probability) / 4000) ** 0.5
    assert ((gates.mean(0) - probability).abs() <= spread).all()
    correlation = torch.corrcoef(gates.flatten(1).T) - torch.eye(8, dtype=D)
    assert probability in (0, 1) or correlation.abs().max() < 0.08  # real and generated samples, and all transforms


def test_probability_zero_is_the_game_itself():
    game = odegan.augmented(base(), ALL, probability=0.0)
    arguments = {"data": images(5, 1, 20)[..., :SIDE], "batch_size": B, "solver": "heun2", "step_size": 0.1, "steps": 3}
    assert torch.equal(
        odegan.odeint_gan(game, game.init(), **arguments).y, odegan.odeint_gan(base(), game.init(), **arguments).y
    )


RUN = {"data": images(5, 1, 20)[..., :SIDE], "batch_size": B, "solver": "heun2", "step_size": 0.1}
STATEFUL = {"penalties": [penalties.jare(0.2), penalties.closed_loop(0.2, buffer=2), penalties.wgan_gp(0.1)]}


def test_a_steps_stages_see_the_same_numbers_and_the_next_step_others():
    game = odegan.augmented(base(), ALL, probability=0.5)
    batch = drawn()
    y = game.init()
    stepper = odegan.Stepper(game, solver="heun2", step_size=0.1)
    state, _ = stepper.step(stepper.init(y, seed=7), batch)
    field = odegan.vector_field(game)
    own = game.with_draws(batch, seed=7)
    first = field(0.0, y, own)
    torch.testing.assert_close(state.y, y + 0.05 * (first + field(0.1, y + 0.1 * first, own)), rtol=1e-12, atol=1e-14)
    again, _ = stepper.step(state, batch)
    repeated, _ = stepper.step(state, own)
    assert (again.y - repeated.y).abs().max() > 1e-6


@pytest.mark.parametrize("refresh", [None, "stage"])
def test_members_micro_batches_and_resuming_change_nothing(refresh, tmp_path):
    game = odegan.augmented(base(), ALL, probability=schedules.linear(0.0, 0.9, 4, unit="steps"))
    starts = torch.stack([game.init(seed=s) for s in range(2)])
    run = RUN | STATEFUL | {"refresh": refresh, "seed": 3}
    whole = odegan.odeint_gan(game, starts[0], steps=6, **run)
    together = odegan.odeint_gan(game, starts, steps=6, **run)
    torch.testing.assert_close(together.y[0], whole.y, rtol=1e-9, atol=1e-11)
    parts = odegan.odeint_gan(game, starts[0], steps=6, micro_batch=2, **run)
    torch.testing.assert_close(parts.y, whole.y, rtol=1e-9, atol=1e-11)
    odegan.odeint_gan(game, starts[0], steps=3, checkpoint=tmp_path / "run.pt", **run)
    resumed = odegan.odeint_gan(game, starts[0], steps=6, checkpoint=tmp_path / "run.pt", **run)
    assert torch.equal(resumed.y, whole.y)
    other = odegan.augmented(base(), ALL, probability=0.4)
    with pytest.raises(odegan.ArgumentError, match="game"):
        odegan.odeint_gan(other, starts[0], steps=6, checkpoint=tmp_path / "run.pt", **run)


@pytest.mark.parametrize(
    "more", [{"solver": "dopri5", "step_size": None, "refresh": 0.2}, {"refresh": float("inf")}, {"solver": "adam"}]
)
def test_probability_is_that_of_the_intervals_start(more):
    """With p = 1 from t = 0.2 on, a run is that of the plain game until then and that of p = 1 after."""
    seen = []

    def probability(t):
        seen.append(float(t))
        return 0.0 if float(t) < 0.2 - 1e-9 else 1.0

    def solved(game):
        return odegan.odeint_gan(game, game.init(), torch.tensor([0.0, 0.2, 0.4]), **(RUN | more)).ys

    found = solved(odegan.augmented(base(), "color", probability))
    plain = solved(base())
    assert torch.equal(found[1], plain[1])
    assert torch.equal(found[2], plain[2]) == (more.get("refresh") == float("inf"))
    assert sorted(set(seen)) == pytest.approx(
        {"adam": [0.0, 0.1, 0.2, 0.3], "dopri5": [0.0, 0.2]}.get(more.get("solver"), [0.0])
    )


def test_conditional_unrolled_and_own_transforms():
    shifted = Transform("shift", 1, lambda x, u: x + u[:, :, None, None])
    game = odegan.augmented(base(Labeled), ["flip", shifted], probability=0.7)
    labeled = RUN | {"data": (RUN["data"], torch.arange(20) % CLASSES)}
    solution = odegan.odeint_gan(odegan.unrolled(game, 2, 0.1), game.init(), steps=3, **labeled)
    assert solution.status == "finished"
    assert game.sample(solution.y, 4, label=1).shape == (4, 1, SIDE, SIDE)
    torch.testing.assert_close(GameSampler(game, solution.y)(5, 0), base(Labeled).sample(solution.y, 5))


def test_the_given_game_stays_as_it_is():
    game = base()
    batch = drawn()
    before = copy.copy(vars(game))
    field = odegan.vector_field(game)
    expected = field(0.0, game.init(), batch)
    made = odegan.augmented(game)
    assert vars(game) == before
    assert torch.equal(field(0.0, game.init(), batch), expected)
    assert made.augmentation == augmentation("color, translation,cutout", 1.0)


def flat_data():
    game = odegan.augmented(odegan.gan(nn.Linear(3, 2), nn.Linear(2, 1)))
    odegan.odeint_gan(game, game.init(), steps=1, data=torch.zeros(9, 2), solver="euler", step_size=0.1)


def without_numbers():
    game = odegan.augmented(base())
    odegan.vector_field(game)(0.0, game.init(), drawn())


def of_another_game():
    game = odegan.augmented(base())
    batch = game.with_draws(drawn())
    odegan.vector_field(game)(0.0, game.init(), replace(batch, augment=batch.augment[..., :2]))


def late():
    game = odegan.augmented(base(), probability=lambda t: 2.0)
    odegan.odeint_gan(game, game.init(), steps=1, **RUN)


WRONG = {
    "game: got 'bilinear'; it must be made by odegan.gan": lambda: odegan.augmented(odegan.games.bilinear()),
    "game: got 'augmented already'": lambda: odegan.augmented(odegan.augmented(base())),
    "transforms: got 'colour'; it must be one of flip, color": lambda: odegan.augmented(base(), "colour"),
    "transforms: got []": lambda: odegan.augmented(base(), []),
    "probability: got 1.5; it must be a number from 0 to 1": lambda: odegan.augmented(base(), probability=1.5),
    "probability: got 2.0": late,
    "data: got 'samples of shape (2,)'; it must be images": flat_data,
    "batch.augment: got None; an augmented game reads": without_numbers,
    "batch.augment: got (6, 2, 2); it must be of shape (6, 2, 10)": of_another_game,
}


@pytest.mark.parametrize("message", WRONG)
def test_wrong_arguments_are_told_in_one_line(message):
    with pytest.raises(odegan.ArgumentError) as told:
        WRONG[message]()
    assert str(told.value).startswith(message)
    assert "\n" not in str(told.value)


def test_numbers_have_a_member_dimension():
    game = odegan.augmented(base())
    batch = game.with_draws(tree_map(lambda x: torch.stack([x, x]), drawn()), seed=4, members=2)
    assert torch.equal(batch.augment[1], game.with_draws(drawn(), seed=5).augment)


@pytest.mark.parametrize("given", [{"seed": 4}, {"seed": 4, "t": 3.0}, {"seed": 4, "members": 2}], ids=str)
def test_an_unrolled_game_draws_the_numbers_of_its_base(given):
    base_game = odegan.augmented(base(), probability=lambda t: 0.1 + 0.2 * t)
    batch = tree_map(lambda x: torch.stack([x, x]), drawn()) if "members" in given else drawn()
    found = odegan.unrolled(base_game, 1, 0.1).with_draws(batch, **given)
    assert torch.equal(found.augment, base_game.with_draws(batch, **given).augment)


PENALTIES = {
    "r1": lambda: penalties.r1(1.0),
    "wgan_gp": lambda: penalties.wgan_gp(1.0),
    "closed_loop": lambda: penalties.closed_loop(1.0, buffer=0),
}


@pytest.mark.parametrize("make", PENALTIES.values(), ids=PENALTIES)
def test_penalties_of_an_unrolled_game_see_the_augmented_samples(make):
    game = odegan.augmented(base(), ALL, probability=0.7)
    ahead = odegan.unrolled(game, 1, 0.1)
    batch = replace(game.with_draws(drawn(), seed=2), noise=uniform(1, B, 1, seed=5))
    assert torch.equal(ahead.real(batch), game.real(batch))
    assert not torch.equal(game.real(batch), batch.real)
    y = game.init()
    direct, unrolled = (odegan.vector_field(g, penalties=[make()])(0.0, y, batch) for g in (game, ahead))
    plain, through = (odegan.vector_field(g)(0.0, y, batch) for g in (game, ahead))
    torch.testing.assert_close((unrolled - through)[: game.n_disc], (direct - plain)[: game.n_disc])
