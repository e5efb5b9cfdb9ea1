"""The commands of the image experiment, run in this process, and what they train on."""

import gzip
import json
import os
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from experiments.images import experiment as images
from odegan.data import load_digits
from odegan.utils import checkpoint

ROOT = Path(__file__).parents[2]
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def call(cache):
    """Run a command in this process: (words) -> exit code."""

    def run(*words, output, resume=False):
        cached = [] if words[0] in ("sample", "interpolate") else ["--cache", str(cache)]
        more = ["--resume"] if resume else []
        return images.main([*map(str, words), "--output", str(output), "--no-progress", *cached, *more])

    return run


def write_idx(folder, images, labels, split):
    folder.mkdir(exist_ok=True)
    for kind, array in {"images-idx3": images, "labels-idx1": labels}.items():
        head = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
        (folder / f"{split}-{kind}-ubyte.gz").write_bytes(gzip.compress(head + array.tobytes()))


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    """Enlarged digits as idx files, few enough to train on at once."""
    folder = tmp_path_factory.mktemp("idx") / "fashion"
    levels, labels = load_digits()
    large = torch.nn.functional.interpolate((levels + 1) * 127, scale_factor=3.5).squeeze(1).byte().numpy()
    write_idx(folder, large[:300], labels[:300].byte().numpy(), "train")
    write_idx(folder, large[300:400], labels[300:400].byte().numpy(), "t10k")
    return folder


def rows(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def saved(folder, name="seed0"):
    return checkpoint.load(folder / "checkpoints" / f"{name}.pt")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A folder of random images, of two classes for networks that take them."""
    folder = tmp_path_factory.mktemp("pictures")
    for i in range(6):
        pixels = np.random.default_rng(i).integers(0, 256, (150, 170, 3), dtype=np.uint8)
        (folder / str(i // 3)).mkdir(exist_ok=True)
        Image.fromarray(pixels).save(folder / str(i // 3) / f"{i}.png")
    return folder
