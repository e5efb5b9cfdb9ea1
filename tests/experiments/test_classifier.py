"""The classifier of a set with classes, and what FID and coverage make of its features."""

import math

import pytest
import torch

from experiments.images.classifier import Classifier, Length, TrainedClassifier, _fit, accuracy, train_classifier
from experiments.images.ingredients import Classes, classes_of
from experiments.images.presets import get
from odegan import ArgumentError
from odegan.data import load_digits
from odegan.metrics import coverage, extract_features, fid

DIGITS = classes_of(get("digits"))


@pytest.fixture(scope="module")
def trained() -> TrainedClassifier:
    return train_classifier(*DIGITS, seed=0)


@pytest.fixture(scope="module")
def classifier(trained) -> Classifier:
    return trained.network


def few(levels=False):
    """Few images, so that a training takes no time."""
    images, labels = load_digits()
    images = ((images[:60] + 1) * 127.5).to(torch.uint8) if levels else images[:60]
    return Classes(images, labels[:60]), Classes(images[:20], labels[:20])


def test_classifier_is_accurate_deterministic_and_leaves_the_generator(trained):
    torch.manual_seed(5)
    state = torch.get_rng_state()
    again = train_classifier(*DIGITS, seed=0)
    assert torch.equal(torch.get_rng_state(), state)
    assert again.accuracy >= 0.97
    assert not again.network.training
    expected = trained.network.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in again.network.state_dict().items())


def test_accuracy_is_the_share_of_right_answers(trained):
    images, labels = DIGITS[1]
    right = trained.network(images).argmax(1) == labels
    assert trained.accuracy == pytest.approx(right.double().mean().item())
    for digit, share in enumerate(trained.per_class):
        assert share == pytest.approx(right[labels == digit].double().mean().item())
    assert accuracy(trained.network, DIGITS[1], 10) == (trained.accuracy, trained.per_class)


@pytest.mark.parametrize("levels", [False, True], ids=["floating point", "levels"])
def test_classifier_is_kept_for_its_images_and_seed(levels, tmp_path, monkeypatch):
    sets = few(levels)
    first = train_classifier(*sets, seed=0, cache=tmp_path / "new")
    other = train_classifier(*sets, seed=1, cache=tmp_path / "new")
    assert len(list((tmp_path / "new").iterdir())) == 2
    monkeypatch.setattr("experiments.images.classifier._fit", None)  # a second training would fail
    for made in (first, other):
        loaded = train_classifier(*sets, seed=made.seed, cache=tmp_path / "new")
        shown = sets[0].rows(torch.arange(5))[0]
        assert torch.equal(loaded.network(shown), made.network(shown))
        assert (loaded.accuracy, loaded.per_class) == (made.accuracy, made.per_class)
    with pytest.raises(TypeError):  # other images
        train_classifier(Classes(sets[0].images.flip(0), sets[0].labels), sets[1], seed=0, cache=tmp_path / "new")


def test_a_quick_classifier_takes_the_first_images_and_is_another(tmp_path):
    images, labels = load_digits()
    first = Classes(images[:1000], labels[:1000])
    held_out = Classes(images[1500:], labels[1500:])
    whole = Classes(images, labels)
    quick = train_classifier(whole, held_out, cache=tmp_path, quick=True)
    of_first = train_classifier(first, held_out, quick=True)
    assert all(
        torch.equal(a, b) for a, b in zip(quick.network.parameters(), of_first.network.parameters(), strict=True)
    )
    assert 0.5 < quick.accuracy < train_classifier(whole, held_out, cache=tmp_path).accuracy
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("content", [b"torn", b""], ids=str)
def test_a_damaged_classifier_is_refused(content, tmp_path):
    train_classifier(*few(), cache=tmp_path)
    (kept,) = tmp_path.iterdir()
    kept.write_bytes(content)
    with pytest.raises(ArgumentError, match=r"^cache: got .*classifier_.*\.pt'; .* cannot be read") as caught:
        train_classifier(*few(), cache=tmp_path)
    assert "\n" not in str(caught.value)


def test_larger_images_have_a_deeper_classifier():
    network = Classifier(32, 3, 7)
    assert network.features(torch.zeros(2, 3, 32, 32)).shape == (2, 64)
    assert network(torch.zeros(2, 3, 32, 32)).shape == (2, 7)


def test_the_classifier_of_larger_images_learns_and_takes_every_image_alone():
    images, labels = load_digits()
    large = torch.nn.functional.interpolate(images, scale_factor=2)
    found = train_classifier(Classes(large[:1000], labels[:1000]), Classes(large[1000:], labels[1000:]), quick=True)
    assert found.accuracy > 0.8
    shown = large[:5]
    alone = torch.cat([found.network(image[None]) for image in shown])
    torch.testing.assert_close(found.network(shown), alone)


def test_training_images_are_shifted_both_ways_by_at_most_the_shift(monkeypatch):
    torch.manual_seed(0)
    seen = []
    network = Classifier(16, 1, 10)
    monkeypatch.setattr(network, "forward", lambda images: seen.append(images) or Classifier.forward(network, images))
    image = torch.zeros(1, 1, 16, 16)
    image[..., 7, 9] = 1.0
    _fit(network, Classes(image, torch.zeros(1, dtype=torch.long)), Length(150, 1, shift=1), progress=False)
    places = {tuple(map(int, one[0, 0].nonzero()[0])) for one in seen}
    assert places == {(row, column) for row in (6, 7, 8) for column in (8, 9, 10)}


def test_fid_orders_digits(classifier):
    images, _ = load_digits()
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    half = images[order[:898]]
    other = images[order[898:]]
    dtype = next(classifier.parameters()).dtype
    same = fid(classifier.features, half, half)
    sampling = fid(classifier.features, half, other)
    noise = fid(classifier.features, half, torch.rand(898, 1, 8, 8) * 2 - 1)
    assert abs(same) < 1e-5
    assert 0.01 < sampling < 1
    assert noise > 5
    assert next(classifier.parameters()).dtype == dtype


def test_fid_of_diverged_images_is_nan(classifier):
    images = load_digits()[0][:50]
    broken = images.clone()
    broken[3] = math.nan
    assert math.isnan(fid(classifier.features, images, broken))


def test_coverage_of_digits(classifier):
    images, labels = load_digits()
    rows = extract_features(classifier.features, images)
    half = torch.randperm(len(rows), generator=torch.Generator().manual_seed(0)) % 2 == 0
    assert coverage(rows[half], rows[~half], labels[half]).per_class.min() > 0.85
    noise = extract_features(classifier.features, torch.rand(1797, 1, 8, 8) * 2 - 1)
    assert coverage(rows, noise, labels).overall < 0.02


@pytest.mark.parametrize(
    "change, words",
    [
        ({"seed": "x"}, r"^seed: got 'x'; it must be a whole number >= 0"),
        ({"cache": 3}, r"^cache: got 3; it must be None, or a folder"),
        ({"cache": __file__}, r"^cache: got '.*'; it must be None, or a folder"),
        ({"train": Classes(torch.zeros(4, 1, 28, 28), torch.arange(4))}, r"^train: got .* a power of two"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_wrong_arguments_are_refused(change, words):
    train, held_out = few()
    with pytest.raises(ArgumentError, match=words):
        train_classifier(**{"train": train, "held_out": held_out} | change)
