"""MNIST's file format: what is read, how it is padded and shuffled, and one line for every damage."""

import gzip
import os
import re
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from odegan import ArgumentError
from odegan.data import idx, images
from odegan.data.labeled_images import HUB, INSTALLED
from odegan.data.minibatches import Minibatches
from odegan.utils.fingerprint import describe
from tests import forked

ROOT = Path(__file__).parents[2]
N = 12
ROWS = 4
COLUMNS = 3
IMAGES = np.random.default_rng(0).integers(0, 256, (N, ROWS, COLUMNS), dtype=np.uint8)
LABELS = np.arange(N, dtype=np.uint8) % 5


def encoded(array, kind=8, sizes=None):
    """Written after the format's description, independently of the reader."""
    sizes = array.shape if sizes is None else sizes
    return struct.pack(f">HBB{len(sizes)}I", 0, kind, len(sizes), *sizes) + array.tobytes()


def write(folder, images=IMAGES, labels=LABELS, split="train", prefix="", packed=True, dash="-"):
    folder.mkdir(exist_ok=True, parents=True)
    for name, array in {f"images{dash}idx3": images, f"labels{dash}idx1": labels}.items():
        content = encoded(array)
        path = folder / f"{prefix}{split}-{name}-ubyte{'.gz' if packed else ''}"
        path.write_bytes(gzip.compress(content) if packed else content)
    return folder


@pytest.fixture
def folder(tmp_path):
    write(tmp_path / "sets", split="t10k", images=IMAGES[:5], labels=LABELS[:5])
    return write(tmp_path / "sets")


@pytest.mark.parametrize("given", [{}, {"packed": False}, {"packed": False, "dash": "."}], ids=["gz", "plain", "dot"])
def test_what_is_written_is_read(tmp_path, given):
    data = idx(write(tmp_path, **given))
    assert data.levels.dtype == torch.uint8
    assert torch.equal(data.levels, torch.from_numpy(IMAGES)[:, None])
    assert torch.equal(data.targets, torch.from_numpy(LABELS).long())
    image, label = data[7]
    assert torch.equal(image, torch.from_numpy(IMAGES[7])[None].float() / 127.5 - 1)
    assert label == LABELS[7]
    assert len(list(data)) == len(data) == N


def test_splits(folder):
    assert len(idx(folder, split="test")) == 5
    assert idx(folder, split="test").split == "test"


def test_fingerprints_tell_images_labels_and_splits(folder, tmp_path):
    same = describe(idx(folder))
    assert same == describe(idx(folder))
    other = IMAGES.copy()
    other[N // 2, 1, 1] ^= 1
    assert describe(idx(write(tmp_path / "sets", images=other))) != same
    assert describe(idx(write(tmp_path / "sets", labels=LABELS[::-1].copy()))) != same


@pytest.mark.parametrize("size, top, left", [(4, 0, 0), (5, 0, 1), (8, 2, 2)])
def test_padding_puts_the_image_in_the_middle(folder, size, top, left):
    levels = idx(folder, size=size).levels
    assert levels.shape == (N, 1, size, size)
    inside = levels[:, 0, top : top + ROWS, left : left + COLUMNS]
    assert torch.equal(inside, torch.from_numpy(IMAGES))
    assert levels.sum(dtype=torch.int64) == IMAGES.sum(dtype=np.int64)


def test_emnists_sets_share_a_folder_and_are_turned_upright(tmp_path):
    for name, part in {"emnist-letters": IMAGES, "emnist-digits": IMAGES[::-1].copy()}.items():
        write(tmp_path, images=part, prefix=f"{name}-")
        write(tmp_path, images=part[:2], labels=LABELS[:2], prefix=f"{name}-", split="test")
    letters = idx(tmp_path / "emnist-letters")
    assert torch.equal(letters.levels[:, 0], torch.from_numpy(IMAGES).transpose(1, 2))
    assert len(idx(tmp_path / "emnist-digits", split="test")) == 2
    with pytest.raises(
        ArgumentError, match=r"^source: got .*; it must be one of '.*emnist-digits', '.*emnist-letters'$"
    ):
        idx(tmp_path)


def test_a_run_has_the_levels_scaled_and_their_labels(folder):
    """Through the table on the device, item by item, and by the definition."""
    data = idx(folder)
    arguments = {"latent": 2, "batch_size": 5, "seeds": 3, "like": torch.empty(0), "labels": True}
    table = Minibatches(data, **arguments)
    items = Minibatches(list(data), **arguments)
    scaled = torch.from_numpy(IMAGES)[:, None].float() / 127.5 - 1
    one = table.fields(2, 4)
    other = items.fields(2, 4)
    assert one.keys() == {"real", "latent", "label", "fake_label"}
    assert all(torch.equal(part, other[name]) for name, part in one.items())
    for image, label in zip(one["real"].flatten(0, 1), one["label"].flatten(), strict=True):
        (row,) = [i for i in range(N) if torch.equal(scaled[i], image)]
        assert label == LABELS[row]


# What cannot be used.
def corrupt(content):
    packed = bytearray(gzip.compress(content))
    packed[len(packed) // 2] ^= 0xFF
    return bytes(packed)


def in_images(change):
    return lambda folder: (folder / "train-images-idx3-ubyte.gz").write_bytes(change(encoded(IMAGES)))


def in_labels(change):
    return lambda folder: (folder / "train-labels-idx1-ubyte.gz").write_bytes(change(encoded(LABELS)))


DAMAGE = {
    "nothing": (in_images(lambda c: b""), "it is not compressed by gzip"),
    "empty": (in_images(lambda c: gzip.compress(b"")), "it does not begin like one"),
    "text": (in_images(lambda c: gzip.compress(b"hello there")), "it does not begin like one"),
    "not gzipped": (in_images(lambda c: c), "it is not compressed by gzip"),
    "gzipped twice": (in_images(lambda c: gzip.compress(gzip.compress(c))), "it does not begin like one"),
    "gzip cut off": (in_images(lambda c: gzip.compress(c)[:60]), ".+"),
    "gzip damaged": (in_images(corrupt), ".+"),
    "header cut off": (in_images(lambda c: gzip.compress(c[:10])), "it ends within its header"),
    "numbers cut off": (in_images(lambda c: gzip.compress(c[:-1])), "its header promises 144 numbers, and 143 follow"),
    "too long": (in_images(lambda c: gzip.compress(c + b"!")), "its header promises 144 numbers, and 145 follow"),
    "huge sizes": (
        in_images(lambda c: gzip.compress(encoded(IMAGES, sizes=(2**32 - 1,) * 3))),
        "its header promises 79228162458924105385300197375 numbers, and 144 follow",
    ),
    "floats": (
        in_images(lambda c: gzip.compress(encoded(IMAGES, kind=13))),
        "it holds numbers of type 13 with 3 dimensions",
    ),
    "labels for images": (in_images(lambda c: gzip.compress(encoded(LABELS))), "type 8 with 1 dimensions"),
    "images for labels": (in_labels(lambda c: gzip.compress(encoded(IMAGES))), "type 8 with 3 dimensions"),
    "no images": (in_images(lambda c: gzip.compress(encoded(IMAGES[:0]))), "it holds no images"),
    "other count": (in_labels(lambda c: gzip.compress(encoded(LABELS[:-2]))), "it holds 10 labels of 12 images"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_file_is_named_in_one_line(folder, name):
    damage, reason = DAMAGE[name]
    damage(folder)
    with pytest.raises(ArgumentError, match=r"^source: got '.*ubyte\.gz', which is not a usable idx file") as caught:
        idx(folder)
    assert "\n" not in str(caught.value)
    assert re.search(reason, str(caught.value))
    assert len(idx(folder, split="test")) == 5


def test_a_compressed_file_that_is_not_named_so(folder):
    (folder / "train-images-idx3-ubyte.gz").rename(folder / "train-images-idx3-ubyte")
    with pytest.raises(ArgumentError, match=r"it is compressed, and not named \.gz"):
        idx(folder)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"source": 3}, r"^source: got 3; it must be one of mnist, fashion_mnist, .*, or a folder$"),
        (
            {"source": "nowhere/at/all"},
            r"^source: got 'nowhere/at/all'; it must be one of .*, or a folder with idx files$",
        ),
        ({"split": "valid"}, r"^split: got 'valid'; it must be one of train, test"),
        ({"size": 3}, r"^size: got 3; it must be at least that of the images, 4 x 3 pixels$"),
        ({"size": 4.5}, r"^size: got 4.5"),
    ],
)
def test_refused(folder, change, message):
    with pytest.raises(ArgumentError, match=message):
        idx(**{"source": folder} | change)


def test_what_is_missing(folder, tmp_path):
    (folder / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(ArgumentError, match=r"^split: got 'test'; .* which has no file of its labels$"):
        idx(folder, split="test")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ArgumentError, match=r"^source: got .*empty'; it must be a folder with files like train-images"):
        idx(tmp_path / "empty")


def test_offline_says_both_ways_to_get_it(tmp_path):
    pytest.importorskip("datasets")
    code = """
from odegan.data import idx, labeled_images
labeled_images.INSTALLED["fashion_mnist"] = (labeled_images.Path("/nowhere"), "dataset-fashion-mnist")
for name in labeled_images.HUB:
    try:
        idx(name)
    except ValueError as error:
        print(type(error).__name__, error)
"""
    done = forked.run("-c", code, env=os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)})
    lines = done.stdout.splitlines()
    assert len(lines) == len(HUB), done.stderr
    for line, (name, repository) in zip(lines, HUB.items(), strict=True):
        assert line.startswith(f"ArgumentError source: got '{name}' with split 'train', which the hub did not give (")
        assert f"hf download {repository} --repo-type dataset --local-dir DIR" in line
        assert ("apt-get install dataset-fashion-mnist" in line) == (name == "fashion_mnist")


def test_a_copy_of_the_hubs_repository_is_the_same_set(tmp_path):
    pytest.importorskip("datasets")
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    image = pytest.importorskip("PIL.Image")
    rows = []
    for levels in IMAGES:
        path = tmp_path / "one.png"
        image.fromarray(levels).save(path)
        rows.append({"bytes": path.read_bytes(), "path": None})
    table = pa.table({"image": rows, "label": LABELS.astype(np.int64)})
    (tmp_path / "copy").mkdir()
    pq.write_table(table, tmp_path / "copy" / "train-00000-of-00001.parquet")
    copy = idx(tmp_path / "copy")
    files = idx(write(tmp_path / "files"))
    assert torch.equal(copy.levels, files.levels)
    assert torch.equal(copy.targets, files.targets)


@pytest.mark.skipif(not INSTALLED["fashion_mnist"][0].is_dir(), reason="dataset-fashion-mnist is not installed")
def test_fashion_mnist_as_its_package_installs_it():
    for split, n in {"train": 60_000, "test": 10_000}.items():
        data = idx("fashion_mnist", split=split, size=32)
        assert data.levels.shape == (n, 1, 32, 32)
        assert torch.bincount(data.targets).tolist() == [n // 10] * 10


def as_directory(folder):
    path = folder / "train-images-idx3-ubyte.gz"
    path.unlink()
    path.mkdir()


def beside(array):
    """Write the images uncompressed too."""
    return lambda folder: (folder / "train-images-idx3-ubyte").write_bytes(encoded(array))


def without_pixels(folder):
    write(folder, images=IMAGES[:, :0, :0])


@pytest.mark.parametrize("change", [as_directory, beside(IMAGES + 1), without_pixels], ids=["folder", "other", "0 x 0"])
def test_files_that_cannot_be_used_are_one_line(folder, change):
    change(folder)
    with pytest.raises(ArgumentError, match=r"^source: got '.*', which is not a usable idx file \(.+\)$") as caught:
        idx(folder)
    assert "\n" not in str(caught.value)


def test_the_same_file_twice_is_one_file(folder):
    expected = idx(folder).levels
    beside(IMAGES)(folder)
    assert torch.equal(idx(folder).levels, expected)


@pytest.mark.parametrize("read", [idx, lambda path: images(path, size=4)], ids=["idx", "images"])
def test_the_home_of_nobody_is_no_source(read):
    with pytest.raises(ArgumentError, match=r"^source: got '~nobody-of-this-name/x'; it must be"):
        read("~nobody-of-this-name/x")
