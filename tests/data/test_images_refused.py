"""Images that cannot be used: each error is one line that names the file, the row or the argument."""

import os

import numpy as np
import pytest
import torch

from odegan import ArgumentError
from odegan.data import images
from odegan.data.sources import HUB
from tests import forked
from tests.data.image_sources import encoded, parquet, train

pytest.importorskip("sklearn")

torch.set_num_threads(1)


# What cannot be used.
def replaced(content):
    return lambda path: path.write_bytes(content)


@pytest.mark.parametrize(
    "spoil, reason",
    [
        (replaced(encoded(np.random.default_rng(0).integers(0, 255, (64, 64), dtype=np.uint8))[:2000]), "truncated"),
        (replaced(b"hello"), "cannot identify image file"),
        (replaced(b""), "cannot identify image file"),
        (replaced(encoded(np.full((4, 4), 5000, dtype=np.uint16))), "more than 8 bits per channel, mode I"),
        (lambda path: path.unlink(), "No such file"),
    ],
    ids=["truncated", "text", "empty", "16 bits", "gone"],
)
@pytest.mark.parametrize("workers", [0, 1])
def test_an_unreadable_image_is_named(spoil, reason, workers, tmp_path):
    for i in range(6):
        (tmp_path / f"{i}.png").write_bytes(encoded(np.zeros((4, 4), dtype=np.uint8)))
    data = images(tmp_path, size=4, channels=1)
    spoil(tmp_path / "3.png")
    with pytest.raises(
        ArgumentError, match=rf"^data: got .*3\.png, which is not a usable image .*{reason}.*\)$"
    ) as caught:
        train(data, workers, "euler", 12)
    assert "\n" not in str(caught.value)


def test_an_unreadable_row_is_named(tmp_path):
    pytest.importorskip("datasets")
    rows = [encoded(np.zeros((4, 4), dtype=np.uint8)), b"hello"]
    data = images(parquet(tmp_path / "x.parquet", rows), size=4)
    with pytest.raises(ArgumentError, match=r"^data: got .*x.parquet, row 1, which is not a usable image"):
        data[1]


def test_damaged_tables_are_refused(tmp_path):
    pytest.importorskip("datasets")
    (tmp_path / "x.parquet").write_bytes(b"PAR1 and nothing more")
    with pytest.raises(ArgumentError, match=r"^source: got .*x.parquet', which cannot be read \(.*\)$"):
        images(tmp_path / "x.parquet", size=8)
    with pytest.raises(ArgumentError, match=r"^source: got .* one column of encoded images; its columns are a, label"):
        images(parquet(tmp_path / "y.parquet", [1, 2], "a"), size=8)
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "dataset_info.json").write_text("{")
    with pytest.raises(ArgumentError, match=r"^source: got .*saved', which cannot be read"):
        images(tmp_path / "saved", size=8)


def test_offline_says_what_to_fetch_where(tmp_path):
    pytest.importorskip("datasets")
    code = """
from odegan.data import images, sources
for name in sources.HUB:
    try:
        images(name, size=32)
    except ValueError as error:
        print(type(error).__name__, error)
"""
    done = forked.run("-c", code, env=os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)})
    lines = done.stdout.splitlines()
    assert len(lines) == len(HUB) == 3, done.stderr
    for line, (name, repository) in zip(lines, HUB.items(), strict=True):
        assert line.startswith(f"ArgumentError source: got '{name}' with split 'train', which the hub did not give (")
        assert f"run 'hf download {repository} --repo-type dataset --local-dir DIR'" in line
