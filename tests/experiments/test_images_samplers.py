"""Labels in the minibatches of batch normalization: of its estimated statistics, and of those of a batch."""

from dataclasses import replace

import pytest
import torch

from experiments.images import sampling
from experiments.images.ingredients import make_game
from experiments.images.presets import get
from experiments.images.sampling import grid, of_class, sampler
from tests.experiments.conftest import rows

torch.set_num_threads(1)
OWN = "tests.experiments.own_networks:CLASSES"
CLASSES = 10


def made(**changes):
    """A preset of class-conditional networks with batch normalization, its game, and its start."""
    preset = replace(get("digits"), networks=OWN, latent=3, **changes)
    game = make_game(preset)
    return preset, game, game.init(seed=0)


@pytest.mark.parametrize("batch_size", [4, 20, 64])
def test_statistics_are_estimated_from_all_classes_alike(monkeypatch, batch_size):
    preset, game, y = made(batch_size=batch_size)
    given = []
    monkeypatch.setattr(sampling, "GameSampler", lambda game, y, batches, **options: given.extend(batches))
    sampler(game, y, preset)
    assert {len(batch.fake_label) for batch in given} == {batch_size}
    counts = torch.cat([batch.fake_label for batch in given]).bincount(minlength=CLASSES)
    assert (counts == sampling.ESTIMATED * batch_size // CLASSES).all()


@pytest.mark.parametrize("batch_size", [20, 16])
@pytest.mark.parametrize(
    "draw",
    [
        lambda draw, preset: grid(draw, preset, 80, 0).images,
        lambda draw, preset: draw(80, 0, torch.arange(CLASSES).repeat_interleave(8)),
        lambda draw, preset: draw(80, 0),
        lambda draw, preset: of_class(draw, preset, 8, 0, 7),
        lambda draw, preset: draw.images(torch.zeros(50, 3), torch.arange(CLASSES).repeat_interleave(5)),
    ],
    ids=["grid", "sorted", "in turn", "one class", "images"],
)
def test_batch_statistics_are_those_of_all_classes(draw, batch_size):
    preset, game, y = made(batch_size=batch_size, batch_statistics=True)
    own = sampler(game, y, preset)
    module = own.generator
    seen = []
    own.generator = lambda z, label: seen.append(label) or module(z, label)
    draw(own, preset)
    for labels in seen:
        counts = labels.bincount(minlength=CLASSES)
        assert len(labels) <= batch_size
        assert counts.max() - counts.min() <= 1 + (batch_size % CLASSES > 0)


def test_images_belong_to_their_latents_and_labels():
    preset, game, y = made(batch_size=20, batch_statistics=True)
    own = sampler(game, y, preset)
    z = torch.randn(20, 3, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(CLASSES).repeat_interleave(2)
    torch.testing.assert_close(own.images(z, labels), own.generator(z, labels))
    z, labels = torch.cat([z, -z]), torch.arange(40) % CLASSES
    order = labels.argsort(stable=True)
    torch.testing.assert_close(own.images(z, labels)[order], own.images(z[order], labels[order]))


def test_class_conditional_networks_train_on_the_digits(call, tmp_path):
    words = ("train", "--preset", "digits", "--quick", "--networks", OWN, "--steps", 2, "--batch-statistics", "True")
    words += ("--metrics", "recognition", "fid", "--samples", 20, "--grid", 20)
    assert call(*words, output=tmp_path / "run") == 0
    assert len(rows(tmp_path / "run")[-1]["recognition"]["per_class"]) == CLASSES
    file = tmp_path / "run" / "checkpoints" / "seed0.pt"
    assert call("sample", file, "--n", 4, "--label", 7, output=tmp_path / "one") == 0
    assert call("sample", file, "--n", 4, "--label", 10, output=tmp_path / "none") == 2
