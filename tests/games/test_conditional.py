"""Class-conditional games: fields, penalties and runs against plain modules, and games of the wrong kind refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.utils._pytree import tree_map

import odegan
from odegan import losses, penalties
from odegan.data.minibatches import Minibatches
from odegan.games.sampling import GameSampler
from tests.games.conditional_cases import CLASSES, B, D, Optional, by_autograd, drawn, pair
from tests.games.label_column import Column, in_columns
from tests.penalties.by_hand import BY_HAND, ByHand, flat
from tests.penalties.penalty_cases import MAKERS, NOISE, WEIGHT


def game(loss="non_saturating", norm: bool = False) -> odegan.Game:
    return odegan.gan(*pair(norm), loss, latent=3)


def data(n: int = 30) -> tuple[torch.Tensor, torch.Tensor]:
    batch = drawn(7, n)
    return batch.real, batch.label


@pytest.mark.parametrize("fake_label", [True, False], ids=["independent", "same"])
@pytest.mark.parametrize("norm", [False, True], ids=["", "batch norm"])
@pytest.mark.parametrize("name", losses.names())
def test_field_is_that_of_the_plain_modules(name, norm, fake_label):
    """Both the pass that serves both players and the two that are nested, where a layer couples the batch."""
    modules = pair(norm)
    loss = losses.get(name)
    made = odegan.gan(*modules, loss, latent=3)
    batch = drawn() if fake_label else replace(drawn(), fake_label=None)
    expected = by_autograd(modules, loss, batch)
    with torch.no_grad():
        found = odegan.vector_field(made)(0.0, made.init(), batch)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-13)
    other = replace(batch, fake_label=(batch.label + 1) % CLASSES)
    assert (odegan.vector_field(made)(0.0, made.init(), other) - expected).abs().max() > 1e-4


@pytest.mark.parametrize("player, part", [("disc", 0), ("gen", 1)])
def test_losses_and_one_players_gradient_are_those_of_both(player, part):
    made = game()
    batch = drawn()
    y = made.init()
    gradients, values = made.gradients(*made.split(y), batch, with_losses=True)
    gradient, value = made.player_gradient(player, *made.split(y), batch, with_loss=True)
    torch.testing.assert_close(gradient, gradients[part])
    torch.testing.assert_close(torch.stack([value, made.losses(y, batch)[part]]), values[part].expand(2))


@pytest.mark.parametrize("name", MAKERS)
def test_penalties_are_what_autograd_says(name):
    """The battery of tests/penalties, on the same networks written with the class as one more column."""
    modules = pair()
    stored = drawn(5)
    others = drawn(6)
    replay = {"samples 3": (stored.real, others.real, stored.label, others.label)}
    batch = replace(drawn(), noise=NOISE, replay=replay)
    field = odegan.vector_field(game(), [MAKERS[name](WEIGHT)])
    y = game().init()
    if name.startswith("wgan_gp"):
        with pytest.raises(odegan.ArgumentError, match=r"^batch.fake_label: got labels of their own with wgan_gp"):
            field(0.0, y, batch)
        batch = replace(batch, fake_label=None)
    generator, discriminator = modules
    me = ByHand((Column(generator, True), Column(discriminator, False)), in_columns(batch))
    expected = []
    for p, extra in zip("dg", BY_HAND[name], strict=True):
        own = list((me.d if p == "d" else me.g).values())
        total = me.losses()["dg".index(p)] + (0 if extra is None else WEIGHT * extra(me))
        expected.append(-flat(torch.autograd.grad(total, own, allow_unused=True), own))
    with torch.no_grad():
        torch.testing.assert_close(field(0.0, y, batch), torch.cat(expected), rtol=1e-9, atol=1e-12)


RUN = {"batch_size": B, "solver": "heun2", "step_size": 0.1}
STATEFUL = [penalties.closed_loop(0.3, buffer=3), penalties.r2(0.2), penalties.generator_gradient(0.1)]


@pytest.mark.parametrize("placement", ["field", "after_step"])
def test_ensembles_are_one_by_one(placement):
    made = game()
    arguments = RUN | {"penalties": STATEFUL, "placement": placement, "data": data()}
    ys = torch.stack([made.init(seed=s) for s in range(3)])
    together = odegan.odeint_gan(made, ys, [0.0, 0.6], seed=4, **arguments).y
    alone = [odegan.odeint_gan(made, y, [0.0, 0.6], seed=4 + s, **arguments).y for s, y in enumerate(ys)]
    torch.testing.assert_close(together, torch.stack(alone), rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("fake_labels", ["independent", "same"])
def test_a_run_is_steps_on_its_minibatches(fake_labels):
    """The labels of a run are those of ``Minibatches``: plain Euler steps on these are the run."""
    made = game()
    sol = odegan.odeint_gan(
        made, made.init(), [0.0, 0.3], data=data(), fake_labels=fake_labels, **RUN | {"solver": "euler"}
    )
    minibatches = Minibatches(data(), 3, B, 0, made.init(), labels=True, fake_labels=fake_labels)
    y = made.init()
    field = odegan.vector_field(made)
    for k in range(3):
        assert (minibatches(k).fake_label is None) == (fake_labels == "same")
        y = y + 0.1 * field(0.0, y, minibatches(k))
    torch.testing.assert_close(sol.y, y, rtol=1e-12, atol=1e-14)


def test_labels_drawn_have_the_datas_law_and_are_independent():
    label = torch.tensor([0] * 6 + [1] * 3 + [2])
    block = Minibatches((torch.randn(10, 2), label), 3, 10, 0, torch.empty(0), labels=True).block(0, 2000)
    n = 20_000
    law = torch.tensor([0.6, 0.3, 0.1])
    joint = torch.zeros(3, 3).index_put((block.label.flatten(), block.fake_label.flatten()), torch.ones(n), True) / n
    expected = law[:, None] * law
    assert ((joint - expected).abs() < 4 * (expected / n).sqrt()).all()


def test_stored_labels_stay_with_their_samples():
    """Samples whose class can be read off them: so can that of every stored one."""
    label = torch.arange(30) % CLASSES
    x = torch.stack([label.double(), torch.randn(30, dtype=D)], 1)
    generator = odegan.with_labels(nn.Linear(3, 2).double(), lambda module, z, a: 0 * module(z) + a[:, None])
    made = odegan.gan(generator, pair()[1], latent=3, conditional=True)
    states = []
    odegan.odeint_gan(
        made, made.init(), [0.0, 1.5], data=(x, label), penalties=[penalties.closed_loop(0.1, buffer=3)],
        callback=lambda state, info: states.append(state), **RUN,
    )  # fmt: skip
    assert len(states) == 15
    for state in states[3:]:
        store = state.aux["replay"]["samples 3"]
        for name, column in (("real", 0), ("fake", 1)):
            assert torch.equal(store[name][:, column].long(), store[f"{name} label"])


@pytest.mark.parametrize("fake_labels", ["independent", "same"])
def test_resumed_is_uninterrupted(tmp_path, fake_labels):
    made = game()
    arguments = RUN | {"data": data(), "penalties": STATEFUL, "fake_labels": fake_labels}
    whole = odegan.odeint_gan(made, made.init(), [0.0, 1.0], **arguments)
    kept = arguments | {"checkpoint": tmp_path / "run.pt"}
    part = odegan.odeint_gan(made, made.init(), [0.0, 1.0], callback=lambda s, info: s.aux["index"] == 5, **kept)
    assert part.status == "stopped"
    assert torch.equal(odegan.odeint_gan(made, made.init(), [0.0, 1.0], **kept).ys, whole.ys)


@pytest.mark.parametrize(
    "change", [{"fake_labels": "same"}, {"data": (data()[0], data()[1].flip(0))}], ids=["fake_labels", "labels"]
)
def test_other_labels_are_no_resumption(tmp_path, change):
    made = game()
    kept = RUN | {"data": data(), "checkpoint": tmp_path / "run.pt"}
    odegan.odeint_gan(made, made.init(), [0.0, 0.3], **kept)
    with pytest.raises(odegan.ArgumentError, match=next(iter(change))):
        odegan.odeint_gan(made, made.init(), [0.0, 0.3], **kept | change)


def test_a_stepper_takes_labels():
    made = game()
    batch = drawn()
    stepper = odegan.Stepper(made, solver="euler", step_size=0.1)
    state, _ = stepper.step(stepper.init(made.init()), batch)
    torch.testing.assert_close(state.y, made.init() + 0.1 * by_autograd(pair(), losses.get("non_saturating"), batch))


def test_an_unrolled_game_takes_labels():
    made = odegan.unrolled(game(), steps=1, step_size=0.1)
    y = made.init()
    batch = drawn()
    theta_d, theta_g = made.split(y)
    moved = theta_d - 0.1 * game().player_gradient("disc", theta_d, theta_g, batch)
    assert torch.equal(made.losses(y, batch)[1], game().gen_loss(moved, theta_g, batch))
    assert torch.equal(made.sample(y, 4, label=1), game().sample(y, 4, label=1))
    assert made.conditional


# Samples and modules.
@pytest.mark.parametrize(
    "label, expected", [(None, [0, 1, 2, 0, 1]), (2, [2] * 5), (torch.tensor([2, 2, 0, 1, 1]), [2, 2, 0, 1, 1])]
)
def test_samples_are_the_generators(label, expected):
    made = game()
    y = made.init(seed=3)
    generator, discriminator = made.modules(y)
    latents = GameSampler(made, y).latents(5, seed=2)
    want = generator(latents, torch.tensor(expected)).detach()
    assert torch.equal(made.sample(y, 5, 2, label), want)
    assert torch.equal(GameSampler(made, y)(5, 2, label), want)
    assert torch.equal(made.sample(torch.stack([y, y]), 5, 2, label)[1], want)
    logits = discriminator(want, torch.tensor(expected))[:, 0].detach()
    torch.testing.assert_close(made.critic_fn(made.split(y)[0])(want, torch.tensor(expected)), logits)


def test_running_statistics_are_averages_over_the_classes_asked_for():
    made = game(norm=True)
    y = made.init()
    batches = [drawn(1), drawn(2)]
    generator, _ = made.modules(y, batches)
    seen = [generator.first(torch.cat([b.latent, generator.embedding(b.fake_label)], 1)).mean(0) for b in batches]
    torch.testing.assert_close(generator.norm.running_mean, torch.stack(seen).mean(0).detach())
    with pytest.raises(odegan.ArgumentError, match=r"^batch.label: got None"):
        made.modules(y, [(b.real, b.latent) for b in batches])


# Games of the wrong kind.
def field(**change):
    made = game()
    return odegan.vector_field(made)(0.0, made.init(), replace(drawn(), **change))


def run(**change):
    made = game()
    return odegan.odeint_gan(made, made.init(), [0.0, 0.1], **RUN | {"data": data()} | change)


def of_one_input(**change):
    modules = nn.Linear(3, 2).double(), nn.Linear(2, 1).double()
    made = odegan.gan(*modules)
    return odegan.odeint_gan(made, made.init(), [0.0, 0.1], **RUN | {"data": data()} | change)


RARE = torch.cat([torch.zeros(29, dtype=torch.int64), torch.tensor([3])])
WRONG = {
    "no labels": (lambda: field(label=None, fake_label=None), "batch.label: got None; a class-conditional game needs"),
    "generated ones alone": (lambda: field(label=None), "batch.label: got None"),
    "float": (lambda: field(label=torch.zeros(B)), "batch.label: got a float32 tensor of shape (8,); it must be a tensor of"),
    "bool": (lambda: field(fake_label=torch.zeros(B) > 0), "batch.fake_label: got a bool tensor"),
    "one-hot": (lambda: field(label=torch.zeros(B, 3).long()), "batch.label: got a int64 tensor of shape (8, 3)"),
    "too few": (lambda: field(label=torch.zeros(5).long()), "batch.label: got a int64 tensor of shape (5,)"),
    "data without": (lambda: run(data=data()[0]), "data: got 'samples alone'; it must be pairs (sample, label)"),
    "a class too many": (lambda: run(data=(data()[0], data()[1] + 1)), "data labels: got 3; it must be classes from 0 to 2"),
    "a negative class": (lambda: run(data=(data()[0], data()[1] - 1)), "data labels: got -1; it must be whole numbers from 0"),
    "a rare class": (lambda: run(data=(data()[0], RARE)), "data labels: got 3; it must be classes from 0 to 2"),
    "fake_labels": (lambda: run(fake_labels="sane"), "fake_labels: got 'sane'; it must be one of independent, same (did you"),
    "mixed": (lambda: run(penalties=[penalties.wgan_gp(1.0)]), "batch.fake_label: got labels of their own with wgan_gp"),
    "fake_labels of a game without": (lambda: of_one_input(fake_labels="same"), "fake_labels: got 'same'; it must be left out"),
    "label of a game without": (
        lambda: odegan.gan(nn.Linear(3, 2), nn.Linear(2, 1)).sample(torch.zeros(11), 2, label=1),
        "label: got 1; it must be None: gan takes no labels",
    ),
    "critic": (lambda: game().critic_fn(torch.zeros(game().n_disc))(torch.zeros(2, 2)), "label: got None; the discriminator"),
    "sample, class": (lambda: game().sample(game().init(), 2, label=3), "label: got [3]; it must be classes from 0 to 2"),
    "sample, number": (lambda: game().sample(game().init(), 2, label=torch.zeros(3).long()), "label: got a int64 tensor"),
    "sample, True": (lambda: game().sample(game().init(), 2, label=True), "label: got True"),
    "sample, unknown": (
        lambda: (g := odegan.gan(Optional(3, 2), Optional(2, 1), conditional=True)).sample(g.init(), 2),
        "label: got None; it must be a class, or a tensor with one class per sample",
    ),
    "conditional": (lambda: odegan.gan(*pair(), conditional="yes"), "conditional: got 'yes'; it must be True, False, or None"),
    "one of two": (lambda: odegan.gan(pair()[0], nn.Linear(2, 1)), "generator that needs two inputs and a discriminator"),
    "one that may": (lambda: odegan.gan(pair()[0].float(), Optional(2, 1)), "take (x, label): give conditional=True"),
    "neither": (lambda: odegan.gan(nn.Linear(3, 2), pair()[1], conditional=True), "got True with a generator that does not"),
    "with_labels, module": (lambda: odegan.with_labels(len, "y"), "module: got <built-in function len>; it must be a torch.nn"),
    "with_labels, how": (lambda: odegan.with_labels(nn.Linear(1, 1), 3), "how: got 3; it must be a keyword"),
    "with_labels, embedding": (
        lambda: odegan.with_labels(nn.Linear(1, 1), "y", embedding=10),
        "embedding: got 10; it must be a torch.nn.Module",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_is_of_the_wrong_kind_is_refused_in_a_line(name):
    call, sentence = WRONG[name]
    with pytest.raises(odegan.ArgumentError) as error:
        call()
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


def test_batches_map_over_members_with_their_labels():
    made = game()
    ys = torch.stack([made.init(seed=s) for s in range(3)])
    batches = [drawn(s) for s in range(3)]
    stacked = tree_map(lambda *parts: torch.stack(parts), *batches)
    own = odegan.vector_field(made, [penalties.jare(0.3, chunks=2), penalties.r1(0.2)])
    alone = torch.stack([own(0.0, y, batch) for y, batch in zip(ys, batches, strict=True)])
    torch.testing.assert_close(torch.vmap(own, in_dims=(None, 0, 0))(0.0, ys, stacked), alone, rtol=1e-11, atol=1e-13)
