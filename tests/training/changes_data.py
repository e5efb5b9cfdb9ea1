"""Pairs of data sources between which one thing differs: name -> (arguments, other arguments)."""

import functools
import types

import numpy as np
import torch
from torch import nn
from torch.utils.data import ConcatDataset, Dataset, Subset, TensorDataset

from tests.training.changes_games import X


def moved(i, by=1e-3):
    x = X.clone()
    x[i] += by
    return x


def normal(n, generator):
    return torch.randn(n, 2, generator=generator)


def closure(scale):
    def inner(x):
        return scale * x

    return lambda n, generator: inner(normal(n, generator))


def with_default(of):
    """A function that reads a default argument, from which ``of`` takes a number."""

    def make(held):
        def draw(n, generator, by=held):
            return of(by) * normal(n, generator)

        return draw

    return make


class Draw:
    """A callable object; its methods are data functions too."""

    def __init__(self, scale):
        self.scale = scale

    def __call__(self, n, generator):
        return self.scale * normal(n, generator)

    def method(self, n, generator):
        return self.scale * normal(n, generator) + 1


class Slots:
    __slots__ = ("scale",)

    def __init__(self, scale):
        self.scale = scale

    def __call__(self, n, generator):
        return self.scale * normal(n, generator)


class Settings(dict):
    """A mapping of a class of one's own."""


def cached(scale):
    @functools.lru_cache
    def offset(k):
        return scale * k

    return lambda n, generator: offset(2) + normal(n, generator)


def wrapped(scale):
    @torch.no_grad()
    def draw(n, generator):
        return scale * normal(n, generator)

    return draw


def recursive(scale):
    def draw(n, generator, depth=2):
        return scale * normal(n, generator) if depth == 0 else draw(n, generator, depth - 1)

    return draw


class Items(Dataset):
    def __init__(self, x, transform=None):
        self.x = x
        self.transform = transform

    def __len__(self):
        return len(self.x)

    def __getitem__(self, i):
        return self.x[i] if self.transform is None else self.transform(self.x[i])


class Computed(Dataset):
    """Items that only reading them tells: a generator's state cannot be."""

    def __init__(self, middle):
        self.numbers = (middle for _ in iter(int, 1))

    def __len__(self):
        return len(X)

    def __getitem__(self, i):
        return X[i] + next(self.numbers) * (i == 11)


def data(make, *values):
    return [{"data": make(value)} for value in values]


FUNCTIONS = {
    "closure in a closure": closure,
    "callable object": Draw,
    "bound method": lambda s: Draw(s).method,
    "slots": Slots,
    "cache": cached,
    "decorated": wrapped,
    "recursive": recursive,
    "partial": lambda s: functools.partial(lambda s, n, generator: s * normal(n, generator), s),
    "partial of a method": lambda s: functools.partial(Draw.__call__, Draw(s)),
    "default": with_default(float),
    "list": lambda s: with_default(lambda held: held[1]["a"][0])([0, {"a": (s,)}]),
    "tensor": lambda s: with_default(lambda held: held[50])(torch.full((100,), s)),
    "array": lambda s: with_default(lambda held: float(held[50]))(np.full(100, s)),
    "array of objects": lambda s: with_default(lambda held: held[0]["s"])(np.array([{"s": s}], dtype=object)),
    "set": lambda s: with_default(max)(frozenset([s])),
    "mapping": lambda s: with_default(lambda held: held["s"])(Settings(s=s)),
    "namespace": lambda s: with_default(lambda held: held.s)(types.SimpleNamespace(s=s)),
    "module": lambda s: with_default(lambda held: held.weight.detach())(nn.PReLU(init=s)),
    "module dictionary": lambda s: with_default(lambda held: held["a"].weight.detach())(
        nn.ModuleDict({"a": nn.PReLU(init=s)})
    ),
    "1 or True": lambda s: with_default(lambda held: 0.5 if held[0] is True else 1.0)([1] if s == 1 else [True]),
    "class": lambda s: with_default(lambda held: held.s)(type("Constants", (), {"s": s})),
    "matrix on a diagonal": lambda s: with_default(lambda held: held.to_dense()[0, 0])((s * torch.eye(3)).to_sparse()),
}
CHANGES = {
    **{f"row {i}": [{"data": X}, {"data": moved(i)}] for i in (0, 11, 23)},
    **{f"item {i}": [{"data": Items(X)}, {"data": Items(moved(i))}] for i in (0, 11, 23)},
    "item 11 as computed": data(Computed, 0.0, 1e-3),
    "transform": data(lambda s: Items(X, lambda x: s * x), 1.0, 2.0),
    "dtype of the data": data(X.to, torch.float32, torch.float64),
    "order of the data": data(lambda axes: X.flip(axes), (), 0),
    "number of data": data(lambda n: X[:n], 24, 23),
    "indices of a subset": data(lambda i: Subset(TensorDataset(X), [0, i, 5, 7, 8, 9]), 3, 4),
    "indices of a subset of one's own": data(lambda i: Subset(Items(X), [0, i, 5, 7, 8, 9]), 3, 4),
    "parts of a whole": data(lambda x: ConcatDataset([Items(X), Items(x)]), X, moved(7)),
    "list of arrays": data(lambda x: list(x.numpy()), X, moved(11)),
    "numpy data": data(lambda x: x.numpy(), X, moved(11)),
    **{f"function with a {name}": data(make, 1.0, 2.0) for name, make in FUNCTIONS.items()},
    "code": data(lambda f: f, lambda n, g: normal(n, g) + 1, lambda n, g: normal(n, g) - 1),
    "constant": data(lambda f: f, lambda n, g: normal(n, g) + 1, lambda n, g: normal(n, g) + 2),
    "latent function": [{"latent": lambda n, g, s=s: s * torch.randn(n, 3, generator=g)} for s in (1.0, 2.0)],
}
