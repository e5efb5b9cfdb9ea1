"""Pairs of values of one kind that differ in one number: their fingerprints differ, and each is its own again."""

import abc
import collections
import copy
import dataclasses
import enum
import functools
import importlib
import os
import pathlib
import random
import re
import sys
import threading
import types
import weakref

import numpy as np
import pytest
import torch
from torch import nn

from odegan.utils.fingerprint import fingerprint
from odegan.utils.fingerprint.compare import differing


def executed(text, **names):
    """The function ``f`` of a text that is run, as in a notebook or by a configuration."""
    exec(text, names)
    return names["f"]


def settings(value):
    module = types.ModuleType("my_settings")
    module.scale = value
    return module


class Kept:
    """Says less than it holds."""

    def __init__(self, value):
        self.value = value

    def __getstate__(self):
        return {}


class Reduced(Kept):
    def __reduce__(self):
        return Reduced, (0,)


class Table(dict):
    pass


class Array(np.ndarray):
    pass


def with_attribute(value, scale):
    value.scale = scale
    return value


def meta(value):
    kind = type("Meta", (type,), {"scale": value})
    return kind("Own", (), {"__call__": lambda self: type(self).scale})()


def held(value):
    """An object that something else keeps alive, and that is reached by a weak reference alone."""
    KEPT.append(Kept(value))
    return weakref.ref(KEPT[-1])


KEPT = []


def library_of_ones_own(text, **names):
    """A module that lies in ``sys.modules``, as a user's file beside the script does."""
    module = types.ModuleType("odegan_test_settings")
    exec(text, module.__dict__)
    sys.modules[module.__name__] = module
    return module


def imported(value):
    library_of_ones_own(f"S = {value}")
    return executed("def f(n):\n    from odegan_test_settings import S\n    return n * S")


def closed_over(value):
    module = library_of_ones_own(f"def g(n):\n    return {value} * n")
    return lambda n: module.g(n)


def member(value):
    kind = executed(f"class f(enum.Enum):\n    A = 1\n    def scale(self):\n        return {value}", enum=enum)
    return kind.A


def of_dataclass(value):
    text = f"@dataclasses.dataclass\nclass f:\n    a: int = 1\n    def _g(self):\n        return {value}"
    return executed(text, dataclasses=dataclasses)()


def of_abstract(value):
    return abc.ABCMeta("C", (), {"g": lambda self: value})()


def told(value):
    event = threading.Event()
    if value == 1:
        event.set()
    return event


KINDS = {
    "a weak reference": held,
    "an import within a function": imported,
    "a function of a module in a closure": closed_over,
    "a method of an enumeration": member,
    "the value of an enumeration": lambda v: enum.Enum("E", {"A": functools.partial(pow, v)}).A,
    "a private method of an executed dataclass": of_dataclass,
    "an abstract base class": of_abstract,
    "a class by types": lambda v: types.new_class("C", (), {}, lambda space: space.update(scale=v)),
    "an event": told,
    "the dtype of a scalar": lambda v: np.float32(1) if v == 1 else np.float64(1),
    "a long pattern": lambda v: re.compile("a" * 300 + str(v)),
    "a key of another type": lambda v: {1 if v == 1 else "1": 0},
    "an object as a key": lambda v: {Kept(v): 0},
    "executed": lambda v: executed(f"def f(n):\n    return n * {v}"),
    "an executed class": lambda v: executed(f"class f:\n    def g(self):\n        return {v}")(),
    "a global of one": lambda v: executed("def f(n):\n    return n * S", S=v),
    "a global through a call": lambda v: executed("def h(n):\n    return n * S\ndef f(n):\n    return h(n)", S=v),
    "an attribute of a module": lambda v: executed("def f(n):\n    return n * m.scale", m=settings(v)),
    "a whole module": lambda v: executed("def f(n):\n    return n * getattr(m, 'scale')", m=settings(v)),
    "a class attribute": lambda v: executed("def f(n):\n    return n * C.scale", C=type("C", (), {"scale": v})),
    "a metaclass": meta,
    "a factory of defaults": lambda v: collections.defaultdict(lambda: v, a=1),
    "__getstate__": Kept,
    "__reduce__": Reduced,
    "an attribute of a mapping": lambda v: with_attribute(Table(a=1), v),
    "an attribute of an array": lambda v: with_attribute(np.zeros(3).view(Array), v),
    "an attribute of a parameter": lambda v: with_attribute(nn.Parameter(torch.zeros(3)), v),
    "a partial method": lambda v: type("C", (), {"f": functools.partialmethod(print, v)})(),
    "a method of a module": lambda v: with_attribute(nn.Identity(), v),
    "a hook": lambda v: hooked(functools.partial(pow, v)),
    "a generator": lambda v: np.random.default_rng(int(v)),
    "1 and True": lambda v: {"a": [1, (1,)]} if v == 1 else {"a": [True, (1,)]},
    "1 and 1.0": lambda v: {"a": [1, (1,)]} if v == 1 else {"a": [1, (1.0,)]},
    "a list and a tuple": lambda v: {"a": [1, 2]} if v == 1 else {"a": (1, 2)},
    "a list and a set": lambda v: [1, 2] if v == 1 else {1, 2},
    "nan and its name": lambda v: [float("nan")] if v == 1 else ["nan"],
    "the dtype of a number": lambda v: torch.tensor(1, dtype=torch.int64 if v == 1 else torch.int32),
    "an attribute of a set": lambda v: with_attribute(type("Own", (set,), {})([1]), v),
    "an attribute of bytes": lambda v: with_attribute(type("Own", (bytes,), {})(b"a"), v),
    "keywords of a hook": lambda v: with_keywords(v == 1),
    "an operator of torch": lambda v: torch.ops.aten.relu if v == 1 else torch.ops.aten.tanh.default,
    "an operator of one's own": lambda v: OPERATORS[v],
    "a scripted function": lambda v: torch.jit.CompilationUnit(f"def f(x):\n  return {v} * x\n").f,
    "a union of types": lambda v: int | str if v == 1 else int | float,
    "a middle entry": lambda v: np.array([0.0] * 50 + [v] + [0.0] * 50),
}


def own_operator(scale):
    @torch.library.custom_op(f"odegan_test::times{int(scale)}", mutates_args=())
    def times(x: torch.Tensor) -> torch.Tensor:
        return scale * x

    return times


OPERATORS = {v: own_operator(v) for v in (1.0, 2.0)}


def with_keywords(on):
    module = nn.Identity()
    module.register_forward_hook(print, with_kwargs=on)
    return module


def hooked(hook):
    module = nn.Identity()
    module.register_forward_hook(hook)
    return module


@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
def test_one_number_tells_two_values_apart(make):
    one, other, again = (fingerprint({"x": make(v)}) for v in (1.0, 2.0, 1.0))
    assert not one.unread
    assert differing(one.entries, other.entries) == ["x"]
    assert differing(one.entries, again.entries) == []


@pytest.mark.parametrize(
    "name",
    [
        "globals()['S']",
        "eval('S')",
        "float(open('S').read())",
        "np.load('S.npy')",
        "path.read_text()",
        "importlib.import_module('S').S",
        "sys.modules['S'].S",
        "float(os.environ['S'])",
        "float(os.getenv('S'))",
        "float(path.open().read())",
    ],
)
def test_what_is_read_from_files_or_by_names_that_code_does_not_show_is_unread(name):
    names = {"S": 1, "os": os, "np": np, "importlib": importlib, "sys": sys, "path": pathlib.Path("S")}
    assert fingerprint({"x": executed(f"def f(n):\n    return n * {name}", **names)}).unread


def reads_by_an_import(n):
    import numpy

    return n * numpy.load("S.npy")


def reads_by_a_closure(library):
    return lambda n: n * library.load("S.npy")


@pytest.mark.parametrize("function", [reads_by_an_import, reads_by_a_closure(np)])
def test_a_library_that_is_no_global_name_reads_files_too(function):
    assert fingerprint({"x": function}).unread


class Based(Kept):
    def scaled(self, n):
        return super().__init__(n)


def draws(n):
    return np.random.rand(n) * random.random()


SAME = {
    "global generators": lambda: [draws, np.random.mtrand._rand, torch.default_generator],
    "a class that was copied": lambda: [Based(1).scaled, copy.copy(Based(1)), Based(1)],
    "a deep list": lambda: functools.reduce(lambda inner, _: [inner], range(500), 1),
}


@pytest.mark.parametrize("make", SAME.values(), ids=SAME)
def test_the_same_is_the_same_whatever_happened_between(make):
    first = fingerprint({"x": make()})
    draws(3), copy.copy(Based(1)), torch.rand(2)
    second = fingerprint({"x": make()})
    assert first == second
    assert all(len(one) < 100 for one in first.unread)
