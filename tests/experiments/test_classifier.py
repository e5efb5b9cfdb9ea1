"""The classifier of the digits, and what FID and coverage make of its features."""

import math

import pytest
import torch

from experiments.images.classifier import DigitClassifier, train_classifier
from odegan import ArgumentError
from odegan.data import load_digits
from odegan.metrics import coverage, extract_features, fid


@pytest.fixture(scope="module")
def classifier() -> DigitClassifier:
    return train_classifier(seed=0)[0]


def test_classifier_is_accurate_deterministic_and_leaves_the_generator(classifier):
    torch.manual_seed(5)
    state = torch.get_rng_state()
    again, accuracy = train_classifier(seed=0)
    assert torch.equal(torch.get_rng_state(), state)
    assert accuracy >= 0.97
    assert not again.training
    expected = classifier.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in again.state_dict().items())


def test_classifier_is_kept_on_disk(classifier, tmp_path, monkeypatch):
    path = tmp_path / "new" / "classifier.pt"
    _, accuracy = train_classifier(seed=0, path=path)
    monkeypatch.setattr("experiments.images.classifier._fit", None)  # a second training would fail
    loaded, loaded_accuracy = train_classifier(seed=0, path=path)
    images = load_digits()[0][:20]
    assert torch.equal(loaded(images), classifier(images))
    assert loaded_accuracy == accuracy
    assert [p.name for p in path.parent.iterdir()] == ["classifier.pt"]
    with pytest.raises(ValueError, match=r"^path: got .* a new file or one of seed 1; this one has seed 0"):
        train_classifier(seed=1, path=path)


@pytest.mark.parametrize("content", [b"torn", b""], ids=str)
def test_a_damaged_classifier_is_refused(content, tmp_path):
    (tmp_path / "classifier.pt").write_bytes(content)
    with pytest.raises(ArgumentError, match=r"^path: got .*classifier\.pt'; .* cannot be read") as caught:
        train_classifier(seed=0, path=tmp_path / "classifier.pt")
    assert "\n" not in str(caught.value)


def test_fid_orders_digits(classifier):
    images, _ = load_digits()
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    half, other = images[order[:898]], images[order[898:]]
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
        ({"path": 3}, r"^path: got 3; it must be None, or a path"),
        ({"path": "."}, r"^path: got '.'; it must be a new file, or a digit classifier's"),
    ],
    ids=str,
)
def test_wrong_arguments_are_refused(change, words):
    with pytest.raises(ArgumentError, match=words):
        train_classifier(**change)
