"""What is accepted as data and latents, how it is read, and one line for what is not."""

import gc
import re
import warnings
import weakref

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import (
    ConcatDataset,
    DataLoader,
    Dataset,
    IterableDataset,
    Subset,
    TensorDataset,
    WeightedRandomSampler,
)

from odegan import ArgumentError
from tests.data.given_cases import LABELS, ROWS, N, Pairs, WithTargets, langevin, make, same

torch.set_num_threads(1)
SEEDS = {"single": 5, "members": [5, 9]}


class Endless(IterableDataset):
    def __iter__(self):
        while True:
            yield torch.zeros(2)


def drawn(n, generator):
    rows = torch.randint(0, N, (n,), generator=generator)
    return ROWS[rows], LABELS[rows]


LABELED = {
    "pair of tensors": (ROWS, LABELS),
    "pair of arrays": (ROWS.numpy(), LABELS.to(torch.uint8).numpy()),
    "a tensor and a list": (ROWS, LABELS.tolist()),
    "an array and a tuple": (ROWS.numpy(), tuple(LABELS.tolist())),
    "tensor data set": TensorDataset(ROWS, LABELS),
    "items": Pairs(),
    "list": [(row, label) for row, label in zip(ROWS, LABELS, strict=True)],
    "known labels": WithTargets(),
    "all of it as a part": Subset(WithTargets(), range(N)),
    "two parts together": ConcatDataset([Subset(WithTargets(), range(12)), Subset(Pairs(), range(12, N))]),
    "loader": DataLoader(Pairs(), batch_size=7),
    "function": drawn,
    "function, with a list": lambda n, generator: (lambda x, label: (x, label.tolist()))(*drawn(n, generator)),
    "function, with an array": lambda n, generator: (lambda x, label: (x, label.numpy()))(*drawn(n, generator)),
}


# Labels.
@pytest.mark.parametrize("name", LABELED)
@pytest.mark.parametrize("seeds", SEEDS.values(), ids=SEEDS)
def test_labels_belong_to_their_samples(name, seeds):
    fields = make(LABELED[name], seeds=seeds, labels=True).fields(2, 20)
    assert fields["label"].dtype == fields["fake_label"].dtype == torch.int64
    assert fields["label"].shape == fields["fake_label"].shape == fields["real"].shape[:-1]
    rows = (fields["real"][..., 0] * N).round().long()
    assert torch.equal(fields["label"], LABELS[rows])
    if not name.startswith("function"):
        assert torch.equal(fields["real"], make(LABELED[name], seeds=seeds).fields(2, 20)["real"])


@pytest.mark.parametrize("name", LABELED)
def test_labels_of_generated_samples_follow_the_datas_law(name):
    fields = make(LABELED[name], labels=True).fields(0, 150)
    real = fields["label"].flatten()
    fake = fields["fake_label"].flatten()
    shares = torch.bincount(fake, minlength=3) / len(fake)
    assert (shares - torch.tensor([4 / 6, 1 / 6, 1 / 6])).abs().max() < 5 * 0.5 / len(fake) ** 0.5
    together = torch.corrcoef(torch.stack([real, fake]).double())[0, 1]
    assert abs(together) < 5 / len(fake) ** 0.5
    assert "fake_label" not in make(LABELED[name], labels=True, fake_labels="same").fields(0, 1)


# Tensors and arrays.
def test_arrays_are_held_once(tmp_path):
    array = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    minibatches = make(array)
    assert minibatches._real._samples.data_ptr() == array.ctypes.data
    assert torch.equal(minibatches(4).real, make(torch.from_numpy(array))(4).real)
    np.save(tmp_path / "x.npy", array)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mapped = make(np.load(tmp_path / "x.npy", mmap_mode="r"))
    assert torch.equal(mapped(4).real, minibatches(4).real)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("form", ["tensor", "array", "items", "function"])
def test_levels_become_numbers_from_minus_one_to_one(dtype, form):
    levels = torch.arange(256, dtype=torch.uint8).reshape(64, 1, 2, 2)
    forms = {"tensor": levels, "array": levels.numpy(), "items": list(levels)}
    data = forms.get(form, lambda n, generator: levels[:n])
    real = make(data, batch_size=64, like=torch.empty(0, dtype=dtype))(0).real
    assert real.dtype == dtype
    expected = torch.arange(256.0) / 127.5 - 1
    assert torch.equal(real.flatten().sort().values, expected.to(dtype))
    if form == "tensor":
        assert make(levels)._real._samples.dtype == torch.uint8


class OnDisk:
    """An array that is read row by row, as those of h5py and zarr."""

    def __init__(self, array):
        self.array = array

    def __len__(self):
        return len(self.array)

    def __getitem__(self, i):
        return self.array[i]

    def __array__(self, dtype=None, copy=None):
        raise MemoryError


class OfPairs(OnDisk, Dataset):
    def __getitem__(self, i):
        return self.array[i], 0


def test_arrays_on_disk_are_read_row_by_row():
    rows = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    assert torch.equal(make(OnDisk(rows))(4).real, make(rows)(4).real)
    assert torch.equal(make(OfPairs(rows))(4).real, make(rows)(4).real)
    with pytest.raises(ArgumentError, match=r"^data: got 'OnDisk'; .*numpy\.asarray\(data\), perhaps$"):
        make(OnDisk(rows[:, 0]))


# Loaders.
def test_a_loader_is_its_data_set():
    plain = make(Pairs())
    loader = make(DataLoader(Pairs(), batch_size=7, shuffle=True), batch_size=None)
    assert same(loader.fields(3, 4), plain.fields(3, 4))
    with make(DataLoader(Pairs(), batch_size=7, num_workers=1), batch_size=None) as working:
        assert working._real._made._workers == 1
        assert same(working.fields(3, 4), plain.fields(3, 4))


LOADERS = {
    "its batch size": (
        DataLoader(Pairs(), batch_size=5),
        r"^batch_size: got 7; it must be the DataLoader's, 5, or left out$",
    ),
    "a sampler": (
        DataLoader(Pairs(), batch_size=7, sampler=WeightedRandomSampler([1.0] * N, N)),
        r"^data: got 'a DataLoader with a sampler of its own'; it must be its data set, or a function",
    ),
    "no batches": (DataLoader(Pairs(), batch_size=None), r"^data: got 'a DataLoader with a sampler of its own'"),
    "a collate function": (
        DataLoader(Pairs(), batch_size=7, collate_fn=list),
        r"^data: got 'a DataLoader with a collate_fn'; it must be a Dataset whose items are what a minibatch stacks$",
    ),
    "a stream": (
        DataLoader(Endless(), batch_size=7),
        r"^data: got 'Endless, an IterableDataset'; it must be a map-style",
    ),
}


@pytest.mark.parametrize("name", LOADERS)
def test_loaders_that_cannot_be_taken_apart(name):
    loader, message = LOADERS[name]
    with pytest.raises(ArgumentError, match=message):
        make(loader)


# What is refused.
REFUSED = {
    "a stream": (
        Endless(),
        r"^data: got 'Endless, an IterableDataset'; it must be a map-style Dataset, or a function .*",
    ),
    "integers": (
        torch.zeros(9, 2, dtype=torch.int64),
        r"^data: got a int64 tensor of shape \(9, 2\); it must be floating",
    ),
    "truths": (
        torch.zeros(9, 2, dtype=torch.bool),
        r"^data: got a bool tensor of shape \(9, 2\); it must be floating point",
    ),
    "a number": (torch.tensor(1.0), r"^data: got 1.0; it must be a tensor \(N, ...\) of at least one sample$"),
    "no samples": (
        torch.zeros(0, 2),
        r"^data: got a float32 tensor of shape \(0, 2\); it must be a tensor \(N, ...\) of",
    ),
    "no items": ([], r"^data: got \[\]; it must be a data set of at least one sample$"),
    "words": (np.array(["a", "b"]), r"^data: got a numpy array that cannot become a tensor \("),
    "a text": ("cifar10", r"^data: got 'cifar10'; it must be a Tensor, a map-style Dataset, or a function"),
    "a dictionary": ({"x": ROWS}, r"^data: got 'dict'; it must be a Tensor"),
    "a network": (nn.Linear(2, 2), r"^data: got 'Linear'; it must be a Tensor"),
    "a class": (Pairs, r"^data: got 'the class Pairs'; it must be a Tensor, .*; an instance of it, perhaps$"),
    "a function of nothing": (
        lambda: ROWS,
        r"^data: got 'a function of \(\)'; it must be a function \(n, generator\) -> Tensor$",
    ),
    "nothing": (None, r"^data: got None; it must be a Tensor"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_in_one_line(name):
    data, message = REFUSED[name]
    with pytest.raises(ArgumentError, match=message) as caught:
        make(data, batch_size=1)
    assert "\n" not in str(caught.value)


UNLABELED = {
    "a tensor": (ROWS, "got 'samples alone'; it must be pairs"),
    "items": (list(ROWS), "got 'items of Tensor'; it must be pairs"),
    "a function": (lambda n, g: ROWS[:n], "got 'Tensor'; it must be a function that returns (samples, labels)"),
    "numbers for labels": (lambda n, g: (ROWS[:n], ROWS[:n, 0]), "whole numbers"),
    "half a label": ([(ROWS[0], 0.5)], "got 0.5; it must be pairs of a sample and its label, a whole number"),
}


@pytest.mark.parametrize("name", UNLABELED)
def test_missing_labels_are_told_of(name):
    data, message = UNLABELED[name]
    with pytest.raises(ArgumentError, match=f"^data: .*{re.escape(message)}"):
        make(data, batch_size=1, labels=True).fields(0, 1)


def test_a_batch_beyond_the_data_is_told_of():
    with pytest.warns(UserWarning, match=r"^batch_size: got 31, more than the 30 samples of data, which"):
        make(ROWS, batch_size=31)


def test_nothing_is_kept_beyond_the_minibatches():
    minibatches = make(torch.zeros(1000, 2), seeds=[1, 2])
    minibatches.block(3, 2)
    streams = [minibatches._latent._stream, minibatches._real._rows._epochs]
    kept = [weakref.ref(stream._kept[1]) for stream in streams]
    del minibatches, streams
    gc.collect()
    assert [one() for one in kept] == [None, None]


@pytest.mark.parametrize("data", [ROWS, langevin, Pairs()], ids=["tensor", "function", "items"])
@pytest.mark.parametrize("seeds", SEEDS.values(), ids=SEEDS)
def test_blocks_are_their_minibatches(data, seeds):
    whole = make(data, seeds=seeds).fields(0, 40)
    for start, n in [(0, 1), (3, 9), (15, 2), (17, 23)]:
        assert same(make(data, seeds=seeds).fields(start, n), {k: part[start : start + n] for k, part in whole.items()})
