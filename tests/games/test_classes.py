"""The number of classes of a game: that of the embeddings that look up its labels, and of no others."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

import odegan
from odegan.export import folder

CLASSES = 10
WIDTH = 3


class Scaled(nn.Embedding):
    """A table whose rows are scaled."""

    def forward(self, input):
        return 2 * super().forward(input)


def plain(table, label):
    return table(label)


# How a network looks up its labels: the table, the call, and the number of classes.
LOOKUPS = {
    "plain": (lambda: nn.Embedding(CLASSES, WIDTH), plain, CLASSES),
    "one class": (lambda: nn.Embedding(1, WIDTH), plain, 1),
    "subclass": (lambda: Scaled(CLASSES, WIDTH), plain, CLASSES),
    "parametrized": (lambda: spectral_norm(nn.Embedding(CLASSES, WIDTH)), plain, CLASSES),
    "keyword": (lambda: nn.Embedding(CLASSES, WIDTH), lambda table, label: table(input=label), CLASSES),
    "column": (lambda: nn.Embedding(CLASSES, WIDTH), lambda table, label: table(label[:, None])[:, 0], CLASSES),
    "shifted": (lambda: nn.Embedding(CLASSES + 1, WIDTH), lambda table, label: table(label + 1), CLASSES),
    "within": (
        lambda: nn.Sequential(nn.Embedding(CLASSES, 4), nn.Linear(4, WIDTH)),
        plain,
        CLASSES,
    ),
    "twice": (lambda: nn.Embedding(CLASSES, WIDTH), lambda table, label: table(0 * label) + table(label), CLASSES),
    "one-hot": (
        lambda: nn.Linear(CLASSES, WIDTH),
        lambda table, label: table(nn.functional.one_hot(label, CLASSES).to(table.weight)),
        None,
    ),
    "not labels": (lambda: nn.Embedding(CLASSES, WIDTH), lambda table, label: table(0 * label), None),
}


class Looks(nn.Module):
    """A network of (x, label), with embeddings of two positions and of five entries that no label reaches."""

    def __init__(self, n_in: int, n_out: int, table: nn.Module, call=plain) -> None:
        super().__init__()
        self.position = nn.Embedding(2, n_in)
        self.unused = nn.Embedding(5, n_in)
        self.table = table
        self.call = call
        self.out = nn.Linear(n_in + WIDTH, n_out)

    def forward(self, x, label):
        placed = x + self.position(torch.arange(2)).mean(0) + self.unused.weight.mean(0)
        return self.out(torch.cat([placed, self.call(self.table, label)], 1))


@pytest.mark.parametrize("make, call, classes", LOOKUPS.values(), ids=LOOKUPS)
def test_classes_are_those_of_the_embedding_of_the_labels(make, call, classes):
    game = odegan.gan(Looks(4, 2, make(), call), Looks(2, 1, make(), call), latent=4)
    assert game.classes == classes
    y = game.init()
    if classes is None:
        with pytest.raises(odegan.ArgumentError, match=r"^label: got None; it must be a class"):
            game.sample(y, 2)
    else:
        assert game.labels_to_draw(None, classes, y).tolist() == list(range(classes))
        assert game.sample(y, 2, label=classes - 1).shape == (2, 2)
        with pytest.raises(odegan.ArgumentError, match=rf"^label: got \[{classes}\]"):
            game.sample(y, 2, label=classes)


@pytest.mark.parametrize("rows", [(3, 7), (7, 3)], ids=str)
def test_the_shorter_embedding_of_two_networks_counts(rows):
    tables = [nn.Embedding(n, WIDTH) for n in rows]
    assert odegan.gan(Looks(4, 2, tables[0]), Looks(2, 1, tables[1]), latent=4).classes == 3


def test_latents_of_unknown_shape_hide_no_embedding():
    class First(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(CLASSES, WIDTH)
            self.mix = nn.Conv1d(WIDTH, 2, 1)

        def forward(self, z, label):
            return self.mix(self.table(label)[..., None] + z)[..., 0]

    game = odegan.gan(First(), Looks(2, 1, nn.Embedding(CLASSES, WIDTH)))
    assert game.latent is None
    assert game.classes == CLASSES


def test_wrapped_networks():
    def join(module, x, label):
        return module(torch.cat([x, label], 1))

    def wrapped(n_in, n_out):
        return odegan.with_labels(nn.Linear(n_in + WIDTH, n_out), join, embedding=nn.Embedding(CLASSES, WIDTH))

    assert odegan.gan(wrapped(4, 2), wrapped(2, 1), latent=4).classes == CLASSES


def test_looking_changes_nothing():
    modules = [Looks(*sizes, nn.Embedding(CLASSES, WIDTH)) for sizes in ((4, 2), (2, 1))]
    before = torch.get_rng_state()
    odegan.gan(*modules, latent=4)
    assert torch.equal(torch.get_rng_state(), before)
    assert not any(part._forward_pre_hooks for module in modules for part in module.modules())


def test_an_export_has_the_same_classes(tmp_path):
    game = odegan.gan(Looks(4, 2, nn.Embedding(CLASSES, WIDTH)), Looks(2, 1, nn.Embedding(CLASSES, WIDTH)), latent=4)
    folder(game, game.init(), tmp_path, title="classes")
    assert json.loads((tmp_path / "config.json").read_text())["classes"] == CLASSES
