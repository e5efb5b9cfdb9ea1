"""What is accepted as data and latents, how it is read, and one line for what is not."""

import gc
import random
import re
import warnings
import weakref

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset, WeightedRandomSampler

import odegan
from odegan import ArgumentError
from odegan.data.minibatches import Minibatches

torch.set_num_threads(1)
LIKE = torch.empty(0)
N = 30
ROWS = torch.arange(float(N))[:, None] * torch.ones(2) / N
LABELS = torch.arange(N) % 3 * (torch.arange(N) % 2)  # 0 for two thirds, 1 and 2 for a sixth each
SEEDS = {"single": 5, "members": [5, 9]}


class Pairs(Dataset):
    def __len__(self):
        return N

    def __getitem__(self, i):
        return ROWS[i], int(LABELS[i])


class WithTargets(Pairs):
    """As torchvision's data sets: items are expensive, and labels are known without them."""

    def __init__(self):
        self.targets = LABELS.tolist()


class Noisy(Dataset):
    """Items with noise of all three global generators."""

    def __len__(self):
        return N

    def __getitem__(self, i):
        return ROWS[i] + torch.tensor([random.random(), np.random.rand()]) + torch.rand(())


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
    "tensor data set": TensorDataset(ROWS, LABELS),
    "items": Pairs(),
    "list": [(row, label) for row, label in zip(ROWS, LABELS, strict=True)],
    "known labels": WithTargets(),
    "loader": DataLoader(Pairs(), batch_size=7),
    "function": drawn,
}


def make(data, latent=3, batch_size=7, seeds=5, like=LIKE, **given):
    return Minibatches(data, latent, batch_size, seeds, like, **given)


def same(one, other):
    assert one.keys() == other.keys()
    return all(torch.equal(one[name], other[name]) for name in one)


# Labels.
@pytest.mark.parametrize("name", LABELED)
@pytest.mark.parametrize("seeds", SEEDS.values(), ids=SEEDS)
def test_labels_belong_to_their_samples(name, seeds):
    parts = make(LABELED[name], seeds=seeds, labels=True).parts(2, 20)
    assert parts["label"].dtype == parts["fake_label"].dtype == torch.int64
    assert parts["label"].shape == parts["fake_label"].shape == parts["real"].shape[:-1]
    rows = (parts["real"][..., 0] * N).round().long()
    assert torch.equal(parts["label"], LABELS[rows])
    if name != "function":
        assert torch.equal(parts["real"], make(LABELED[name], seeds=seeds).parts(2, 20)["real"])


@pytest.mark.parametrize("name", LABELED)
def test_labels_of_generated_samples_follow_the_datas_law(name):
    parts = make(LABELED[name], labels=True).parts(0, 150)
    real, fake = parts["label"].flatten(), parts["fake_label"].flatten()
    shares = torch.bincount(fake, minlength=3) / len(fake)
    assert (shares - torch.tensor([4 / 6, 1 / 6, 1 / 6])).abs().max() < 5 * 0.5 / len(fake) ** 0.5
    together = torch.corrcoef(torch.stack([real, fake]).double())[0, 1]
    assert abs(together) < 5 / len(fake) ** 0.5
    assert "fake_label" not in make(LABELED[name], labels=True, fake_labels="same").parts(0, 1)


def test_labels_known_without_items_ask_for_no_more_items():
    asked = []

    class Counting(WithTargets):
        def __getitem__(self, i):
            asked.append(i)
            return super().__getitem__(i)

    make(Counting(), labels=True).parts(0, 3)
    assert len(asked) == 3 * 7


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


# Loaders.
def test_a_loader_is_its_data_set():
    plain, loader = make(Pairs()), make(DataLoader(Pairs(), batch_size=7, shuffle=True), batch_size=None)
    assert same(loader.parts(3, 4), plain.parts(3, 4))
    with make(DataLoader(Pairs(), batch_size=7, num_workers=1), batch_size=None) as working:
        assert working._real._made._workers == 1
        assert same(working.parts(3, 4), plain.parts(3, 4))


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
    "words": (np.array(["a", "b"]), r"^data: got a numpy array that is no tensor \("),
    "a text": ("cifar10", r"^data: got 'str'; it must be a Tensor, a map-style Dataset, or a function"),
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
    "numbers for labels": (lambda n, g: (ROWS[:n], ROWS[:n, 0]), "integers"),
    "half a label": ([(ROWS[0], 0.5)], "got 0.5; it must be pairs of a sample and its label, a whole number"),
}


@pytest.mark.parametrize("name", UNLABELED)
def test_missing_labels_are_told_of(name):
    data, message = UNLABELED[name]
    with pytest.raises(ArgumentError, match=f"^data: .*{re.escape(message)}"):
        make(data, batch_size=1, labels=True).parts(0, 1)


def test_a_batch_beyond_the_data_is_told_of():
    with pytest.warns(UserWarning, match=r"^batch_size: got 31, more than the 30 samples of data, which"):
        make(ROWS, batch_size=31)


# Code of others.
@pytest.mark.parametrize("members", [None, 2])
def test_all_global_generators_are_seeded_for_each_item_and_put_back(members):
    seeds = 3 if members is None else [3, 4]
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
    one = make(Noisy(), seeds=seeds)
    reference = one.parts(0, 6)
    random.seed(99), np.random.seed(99), torch.manual_seed(99)
    with make(Noisy(), seeds=seeds, workers=2) as working:
        assert same(working.parts(0, 6), reference)
    assert same(make(Noisy(), seeds=seeds).parts(4, 1), {name: part[4:5] for name, part in reference.items()})
    random.setstate(before[0])
    torch.set_rng_state(before[2])
    np.random.seed(7)
    state = np.random.get_state()[1].tolist()
    one.parts(0, 1)
    assert random.getstate() == before[0]
    assert np.random.get_state()[1].tolist() == state
    assert torch.equal(torch.get_rng_state(), before[2])


def test_functions_may_use_any_global_generator():
    def noise(n, generator):
        return torch.tensor([random.random(), np.random.rand()]) + torch.rand(n, 2, generator=generator)

    assert torch.equal(make(noise)(5).real, make(noise).block(3, 4).real[2])
    assert torch.equal(make(noise, seeds=[5, 6])(5).real[0], make(noise)(5).real)


def langevin(n, generator):
    x = torch.randn(n, 2, generator=generator).requires_grad_()
    return x - 0.1 * torch.autograd.grad((x**4).sum(), x)[0]


class Langevin(Pairs):
    def __getitem__(self, i):
        x = ROWS[i].clone().requires_grad_()
        return x - 0.1 * torch.autograd.grad((x**4).sum(), x)[0]


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("data", [langevin, Langevin()], ids=["function", "items"])
def test_code_of_others_keeps_its_grad_mode(data, workers):
    if workers and data is langevin:
        pytest.skip("workers load items")
    game = odegan.gan(nn.Linear(2, 2), nn.Linear(2, 1))
    given = {"batch_size": 6, "solver": "euler", "step_size": 0.1, "workers": workers}
    solution = odegan.odeint_gan(game, game.init(), torch.tensor([0.0, 1.0]), data=data, **given)
    assert solution.status == "finished"
    assert not solution.ys.requires_grad


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
    whole = make(data, seeds=seeds).parts(0, 40)
    for start, n in [(0, 1), (3, 9), (15, 2), (17, 23)]:
        assert same(make(data, seeds=seeds).parts(start, n), {k: part[start : start + n] for k, part in whole.items()})
