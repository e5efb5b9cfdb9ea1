"""The cache of real statistics: computed once, and again after any change."""

import pytest
import torch
from torch import nn
from torch.utils.data import Dataset

from odegan.metrics import (
    evaluation,
)
from odegan.utils.random_streams import generator
from tests.metrics.evaluation_cases import REAL, Net, evaluate

torch.set_num_threads(1)


@pytest.mark.parametrize("names", [("fid",), ("precision", "kid"), tuple(evaluation.METRICS)])
def test_real_statistics_are_computed_once(names, tmp_path):
    plain = evaluate(names)
    first = Net()
    second = Net()
    assert evaluate(names, extractor=first, cache=tmp_path / "new") == plain
    assert evaluate(names, extractor=second, cache=tmp_path / "new") == plain
    assert second.seen == 70  # the samples alone
    assert first.seen >= 90 + 70
    assert all(path.suffix == ".pt" for path in (tmp_path / "new").iterdir())


def test_whatever_changes_the_statistics_is_another_entry(tmp_path):
    evaluate(("fid",), cache=tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    other = REAL.clone()
    other[50, 0, 1, 1] += 0.01
    changes = [
        {"extractor": Net(seed=1)},
        {"data": other},
        {"n_real": 40},
        {"extractor": lambda images: images.flatten(1)},
        {"extractor": lambda images: 2 * images.flatten(1)},
    ]
    for count, change in enumerate(changes, start=2):
        assert evaluate(("fid",), cache=tmp_path, **change) == evaluate(("fid",), **change)
        assert len({path.name for path in tmp_path.iterdir()}) == count
    assert names < {path.name for path in tmp_path.iterdir()}


def truncate(path):
    path.write_bytes(path.read_bytes()[:300])


@pytest.mark.parametrize(
    "spoil",
    [truncate, lambda path: path.write_bytes(b""), lambda path: torch.save({"odegan_checkpoint": 0}, path)],
    ids=["truncated", "empty", "foreign"],
)
def test_a_damaged_cache_is_computed_again(spoil, tmp_path):
    plain = evaluate(("fid",), cache=tmp_path)
    (path,) = tmp_path.iterdir()
    spoil(path)
    with pytest.warns(UserWarning, match=r"^checkpoint: got .*\.pt.*; the statistics are computed again"):
        assert evaluate(("fid",), cache=tmp_path) == plain
    net = Net()
    assert evaluate(("fid",), cache=tmp_path, extractor=net) == plain
    assert net.seen == 70


class Counted(Dataset):
    """Images one at a time; counts how often one is read."""

    def __init__(self, images):
        self.images = images
        self.read = 0

    def __len__(self):
        return len(self.images)

    def __getitem__(self, i):
        self.read += 1
        return self.images[i]


def changed(item, by=0.01):
    images = REAL.clone()
    images[item, 0, 1, 1] += by
    return Counted(images)


@pytest.mark.parametrize("item", [0, 1, 44, 45, 73, 88, 89])
def test_every_real_image_counts(item, tmp_path):
    """An entry of all the images but one is not taken, wherever that one is."""
    before = evaluate(("fid",), data=Counted(REAL), cache=tmp_path)["fid"]
    after = evaluate(("fid",), data=changed(item), cache=tmp_path)["fid"]
    assert after == evaluate(("fid",), data=changed(item))["fid"]
    assert after["data"] != before["data"]
    assert len(list(tmp_path.iterdir())) == 2


def test_images_that_are_not_used_do_not_count(tmp_path):
    rows = torch.randperm(90, generator=generator(0, "real", 0))
    first = evaluate(("fid",), data=Counted(REAL), n_real=40, cache=tmp_path)
    assert evaluate(("fid",), data=changed(int(rows[60])), n_real=40, cache=tmp_path) == first
    assert len(list(tmp_path.iterdir())) == 1
    evaluate(("fid",), data=changed(int(rows[20])), n_real=40, cache=tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


class OneByOne(nn.Module):
    """Extractors that agree on the first image, and on every image but the dark ones."""

    def __init__(self, dark):
        super().__init__()
        self.register_buffer("dark", torch.tensor(dark))

    def forward(self, images):
        features = images.flatten(1)
        return torch.where(features[:, 3:4] < -0.9, self.dark * features, features)


def test_an_extractor_is_known_by_its_state_and_not_by_what_it_makes_of_an_image(tmp_path):
    assert REAL[0, 0, 0, 3] > -0.9
    assert (REAL[:, 0, 0, 3] < -0.9).any()
    found = [evaluate(("fid",), extractor=OneByOne(dark), cache=tmp_path) for dark in (1.0, 3.0)]
    assert found == [evaluate(("fid",), extractor=OneByOne(dark)) for dark in (1.0, 3.0)]
    assert found[0] != found[1]


def test_data_of_a_stated_fingerprint_are_not_read_again(tmp_path):
    first = Counted(REAL)
    second = Counted(REAL)
    found = evaluate(("fid",), data=first, cache=tmp_path, fingerprint="noise, first edition")
    assert first.read == 1 + 90  # one to know the shape
    assert evaluate(("fid",), data=second, cache=tmp_path, fingerprint="noise, first edition") == found
    assert second.read == 1
    other = evaluate(("fid",), data=second, cache=tmp_path, fingerprint="noise, second edition")
    assert second.read == 1 + 1 + 90
    assert other["fid"]["value"] == found["fid"]["value"]
    assert other["fid"]["data"] != found["fid"]["data"]


def test_data_that_say_what_they_are_are_not_read_again(tmp_path):
    class Known(Counted):
        def __odegan_fingerprint__(self):
            return "known"

    evaluate(("fid",), data=Known(REAL), cache=tmp_path)
    known = Known(REAL)
    evaluate(("fid",), data=known, cache=tmp_path)
    assert known.read == 1


def test_another_ones_entry_is_not_taken(tmp_path):
    plain = evaluate(("fid",), cache=tmp_path)
    (path,) = tmp_path.iterdir()
    evaluate(("fid",), cache=tmp_path, extractor=Net(seed=1))
    (other,) = set(tmp_path.iterdir()) - {path}
    path.write_bytes(other.read_bytes())
    assert evaluate(("fid",), cache=tmp_path) == plain


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), RuntimeError("unexpected pos 768 vs 662")])
def test_a_full_disk_costs_the_cache_alone(error, tmp_path, monkeypatch):
    def full(*given):
        raise error

    monkeypatch.setattr(torch, "save", full)
    with pytest.warns(UserWarning, match=r"^cache: .*\.pt' could not be written \(.+\)"):
        found = evaluate(("fid",), cache=tmp_path)
    assert found == evaluate(("fid",))
    assert list(tmp_path.iterdir()) == []
