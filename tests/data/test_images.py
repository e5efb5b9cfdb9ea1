"""Images from folders, parquet files, saved data sets and the hub: one loader, the same tensors."""

import pickle

import numpy as np
import pytest
import torch

from odegan import ArgumentError
from odegan.data import images
from odegan.utils.fingerprint import describe
from tests import forked
from tests.data.image_sources import Image, encoded, parquet, train

pytest.importorskip("sklearn")

torch.set_num_threads(1)


N = 40


def digits():
    """The first digits (N, 8, 8) as 8-bit levels, 17 of them."""
    from odegan.data import load_digits

    return ((load_digits()[0][:N, 0] + 1) * 127.5).round().to(torch.uint8).numpy()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One subfolder for every ten digits; a text file is no image."""
    root = tmp_path_factory.mktemp("digits")
    for i, levels in enumerate(digits()):
        path = root / "train" / f"part {i // 10}" / f"{i:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(levels))
    (root / "train" / "notes.txt").write_text("not an image")
    return root


def as_bytes(folder, tmp_path):
    return parquet(tmp_path / "digits.parquet", [encoded(levels) for levels in digits()], "whatever")


def as_struct(folder, tmp_path):
    rows = [{"bytes": encoded(levels), "path": f"{i}.png"} for i, levels in enumerate(digits())]
    return parquet(tmp_path / "digits.parquet", rows)


def as_two_files(folder, tmp_path):
    rows = [encoded(levels) for levels in digits()]
    return [parquet(tmp_path / f"{k}.parquet", rows[25 * k : 25 * k + 25]) for k in range(2)]


def as_hub_copy(folder, tmp_path):
    """Laid out as a repository of the hub: the splits are in the names, and the test part is other images."""
    rows = [{"bytes": encoded(levels), "path": None} for levels in digits()]
    for k in range(2):
        parquet(tmp_path / "plain" / f"train-0000{k}-of-00002.parquet", rows[25 * k : 25 * k + 25], "img")
    parquet(tmp_path / "plain" / "test-00000-of-00001.parquet", rows[::-1], "img")
    return tmp_path


def saved(tmp_path, split=None, table=False):
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"image": datasets.Image()})
    rows = [{"bytes": encoded(levels), "path": None} for levels in digits()]
    data = datasets.Dataset.from_dict({"image": rows}, features=features, split=split)
    if table:
        data = datasets.DatasetDict({"train": data, "test": data.select(range(5))})
    data.save_to_disk(str(tmp_path / "saved"))
    return tmp_path / "saved"


SOURCES = {
    "folder": lambda folder, tmp_path: folder,
    "its part": lambda folder, tmp_path: str(folder / "train"),
    "parquet, bytes": as_bytes,
    "parquet, struct": as_struct,
    "parquet, two files": as_two_files,
    "parquet, a hub's copy": as_hub_copy,
    "saved": lambda folder, tmp_path: saved(tmp_path),
    "saved split": lambda folder, tmp_path: saved(tmp_path, "train"),
    "saved splits": lambda folder, tmp_path: saved(tmp_path, table=True),
}


@pytest.mark.parametrize("name", SOURCES)
def test_every_source_gives_the_same_tensors(name, folder, tmp_path):
    if name.startswith(("parquet", "saved")):
        pytest.importorskip("datasets")
    data = images(SOURCES[name](folder, tmp_path), size=8, channels=1)
    assert len(data) == N
    expected = torch.from_numpy(digits())[:, None].float() / 127.5 - 1
    assert torch.equal(torch.stack([data[i] for i in range(N)]), expected)
    assert torch.equal(torch.stack(list(data)), expected)  # ends with an IndexError, as lists do
    assert torch.equal(data[-1], expected[-1])
    there = pickle.loads(pickle.dumps(data))
    assert torch.equal(there[7], expected[7])
    reference = images(folder, size=8, channels=1)
    assert describe(data) == describe(reference)
    assert describe(images(folder, size=8, channels=1, flip=True)) != describe(reference)


def test_another_image_is_another_fingerprint(folder, tmp_path):
    for i, levels in enumerate(digits()):
        (tmp_path / f"{i:03d}.png").write_bytes(encoded(levels if i != 17 else 255 - levels))
    assert describe(images(tmp_path, size=8)) != describe(images(folder, size=8))


def test_gray_becomes_rgb_and_rgb_gray(folder, tmp_path):
    gray = images(folder, size=8, channels=1)[3]
    rgb = images(folder, size=8)[3]
    assert rgb.shape == (3, 8, 8)
    assert torch.equal(rgb, gray.expand(3, 8, 8))
    colors = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [255, 255, 255]]], dtype=np.uint8)
    (tmp_path / "colors.png").write_bytes(encoded(colors))
    levels = (images(tmp_path, size=2, channels=1)[0] + 1) * 127.5
    torch.testing.assert_close(levels.flatten(), 255 * torch.tensor([0.299, 0.587, 0.114, 1]), atol=0.6, rtol=0)
    assert torch.equal((images(tmp_path, size=2)[0].permute(1, 2, 0) + 1) * 127.5, torch.from_numpy(colors).float())


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF"])
def test_formats(form, tmp_path):
    levels = np.full((6, 6), 64, dtype=np.uint8)
    (tmp_path / f"x.{form.lower()}").write_bytes(encoded(levels, form))
    value = images(tmp_path, size=6, channels=1)[0]
    torch.testing.assert_close(value, torch.full((1, 6, 6), 64 / 127.5 - 1), atol=2 / 127.5, rtol=0)


def test_crops(tmp_path):
    """A picture whose level is 10 times the column: 9 columns, 4 rows."""
    levels = np.tile(10 * np.arange(9, dtype=np.uint8), (4, 1))
    (tmp_path / "x.png").write_bytes(encoded(levels))

    def columns(size, crop):
        return ((images(tmp_path, size=size, channels=1, crop=crop)[0] + 1) * 12.75)[0, 0].round().tolist()

    assert columns(4, "center") == [2, 3, 4, 5]
    assert columns(2, 2) == [3, 4]
    assert columns(3, 3) == [3, 4, 5]
    with pytest.raises(ArgumentError, match=r"^data: got .*x.png, which .* 9 x 4 pixels, and not square as crop=None"):
        columns(4, None)
    with pytest.raises(ArgumentError, match=r"^data: got .*x.png, which .* 9 x 4 pixels, too small for crop=5"):
        columns(4, 5)


def test_the_resize_is_antialiased(tmp_path):
    """A checkerboard of single pixels becomes gray; without smoothing it would stay black and white."""
    board = (255 * (np.indices((64, 64)).sum(0) % 2)).astype(np.uint8)
    (tmp_path / "x.png").write_bytes(encoded(board))
    inside = images(tmp_path, size=8, channels=1)[0][:, 1:-1, 1:-1]
    assert inside.abs().max() < 0.02
    ramp = np.tile(np.arange(0, 256, 4, dtype=np.uint8), (64, 1))
    (tmp_path / "x.png").write_bytes(encoded(ramp))
    levels = images(tmp_path, size=16, channels=1)[0][0] + 1
    # a filter that keeps straight lines and puts pixel k of 16 over columns 4k to 4k + 3
    expected = torch.arange(16.0) * 16 + 6
    torch.testing.assert_close(levels[8, 2:-2] * 127.5, expected[2:-2], atol=0.51, rtol=0)


def test_exif_turns(tmp_path):
    levels = np.zeros((4, 4), dtype=np.uint8)
    levels[0] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned by 90 degrees clockwise: the top row becomes the right column
    (tmp_path / "x.png").write_bytes(encoded(levels, exif=exif.tobytes()))
    assert images(tmp_path, size=4, channels=1)[0][0, 2].tolist() == [-1, -1, -1, 1]


def test_flips_are_fair_and_mirror(folder):
    plain = images(folder, size=8, channels=1)
    flipping = images(folder, size=8, channels=1, flip=True)
    torch.manual_seed(0)
    draws = torch.stack([flipping[5] for _ in range(400)])
    mirrored = (draws == plain[5].flip(-1)).flatten(1).all(1)
    kept = (draws == plain[5]).flatten(1).all(1)
    assert (mirrored ^ kept).all()
    assert abs(mirrored.sum() - 200) < 4 * 10
    assert torch.equal(flipping.still()[5], plain[5])


def test_dequantization_fills_each_bin(tmp_path):
    levels = np.array([[0, 255], [100, 17]], dtype=np.uint8)
    (tmp_path / "x.png").write_bytes(encoded(levels))
    data = images(tmp_path, size=2, channels=1, dequantize=True)
    torch.manual_seed(0)
    draws = torch.stack([data[0][0] for _ in range(2000)])
    within = (draws + 1) * 128 - torch.from_numpy(levels).float()
    assert draws.min() >= -1
    assert draws.max() < 1
    assert within.min() >= 0
    assert within.max() < 1.0001  # the sum is rounded in float32
    assert ((within.mean(0) - 0.5).abs() < 4 * (1 / 12 / 2000) ** 0.5).all()
    assert ((within.var(0) - 1 / 12).abs() < 4 * (1 / 180 / 2000) ** 0.5).all()
    still = data.still()[0][0]
    assert torch.equal(still, torch.from_numpy(levels).float() / 127.5 - 1)


def test_a_generator_of_another_shape_is_refused(folder):
    with pytest.raises(ArgumentError, match=r"^data: got samples of shape \(3, 8, 8\); .* the generator's \(1, 8, 8\)"):
        train(images(folder, size=8), 0, "euler", 2)


@pytest.mark.parametrize(
    "change, message",
    [
        (
            {"source": "cifar"},
            r"^source: got 'cifar'; it must be one of cifar10, celeba, imagenet, or an existing path",
        ),
        ({"source": 3}, r"^source: got 3"),
        ({"source": []}, r"^source: got 'an empty list'; it must be a folder, or parquet files"),
        ({"size": 0}, r"^size: got 0; it must be a whole number >= 1"),
        ({"channels": 4}, r"^channels: got 4; it must be 1 or 3"),
        ({"crop": "random"}, r"^crop: got 'random'; it must be 'center', a number or None"),
        ({"crop": 0}, r"^crop: got 0"),
        ({"flip": 1}, r"^flip: got 1; it must be True or False"),
        ({"split": 3}, r"^split: got 3"),
        ({"split": "test"}, r"^split: got 'test'; it must be a split of '.*', which has train"),
    ],
)
def test_refused(change, message, folder):
    with pytest.raises(ArgumentError, match=message):
        images(**{"source": folder, "size": 8} | change)


def test_splits_that_are_not_there(folder, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ArgumentError, match=r"^source: got .*empty'; it must be a folder with images in it"):
        images(tmp_path / "empty", size=8)
    with pytest.raises(ArgumentError, match=r"^split: got 'test'; .* which has only one: train"):
        images(tmp_path / "empty", size=8, split="test")
    pytest.importorskip("datasets")
    copy = as_hub_copy(folder, tmp_path / "copy")
    assert len(images(copy, size=8, split="test")) == N
    assert not torch.equal(images(copy, size=8, split="test")[0], images(copy, size=8)[0])
    with pytest.raises(ArgumentError, match=r"^split: got 'validation'; .* which has test, train"):
        images(copy, size=8, split="validation")
    splits = saved(tmp_path, table=True)
    assert len(images(splits, size=8, split="test")) == 5
    with pytest.raises(ArgumentError, match=r"^split: got 'valid'; .* which has train, test"):
        images(splits, size=8, split="valid")


def test_folders_need_no_library_but_pillow(folder):
    code = f"""
import sys
sys.modules["datasets"] = None
from odegan.data import images
print(len(images({str(folder)!r}, size=8)))
images("cifar10", size=32)
"""
    done = forked.run("-c", code)
    assert done.stdout == f"{N}\n"
    assert "need Hugging Face datasets: pip install 'odegan[images]'" in done.stderr.strip().splitlines()[-1]


@pytest.mark.parametrize("kind", ["folder", "parquet, struct"])
def test_random_parts_are_the_same_in_workers_and_after_a_pause(kind, folder, tmp_path):
    if kind != "folder":
        pytest.importorskip("datasets")
    source = SOURCES[kind](folder, tmp_path)
    data = images(source, size=8, channels=1, flip=True, dequantize=True)
    whole = train(data, 0, "euler", 20)
    assert torch.equal(train(data, 2, "euler", 20).ys, whole.ys)
    stop = {"callback": lambda state, info: state.t > 0.105, "checkpoint": tmp_path / "run.pt"}
    assert train(data, 2, "euler", 20, **stop).status == "stopped"
    assert torch.equal(train(data, 1, "euler", 20, checkpoint=tmp_path / "run.pt").ys, whole.ys)
    other = images(source, size=8, channels=1, flip=False, dequantize=True)
    with pytest.raises(ArgumentError, match=r"^data: got "):
        train(other, 0, "euler", 20, checkpoint=tmp_path / "run.pt")


@pytest.mark.parametrize(
    "splits, expected",
    [
        ({"train": "abc", "test": "ac"}, {"train": [0, 1, 2], "test": [0, 2]}),
        ({"train": "bc", "val": "ab", "test": "d"}, {"train": [1, 2], "val": [0, 1], "test": [3]}),
        ({"train": "abc"}, {"train": [0, 1, 2]}),
    ],
    ids=str,
)
def test_classes_have_one_number_in_all_splits(splits, expected, tmp_path):
    for split, classes in splits.items():
        for name in classes:
            (tmp_path / split / name).mkdir(parents=True)
            (tmp_path / split / name / "0.png").write_bytes(encoded(np.zeros((4, 4), dtype=np.uint8)))
        (tmp_path / split / "A empty").mkdir()
    for split, numbers in expected.items():
        assert images(tmp_path, size=4, split=split, labels=True).targets.tolist() == numbers
