"""Pairs of values of one kind that differ in one number: their fingerprints differ, and each is its own again."""

import abc
import collections
import dataclasses
import enum
import functools
import importlib
import pathlib
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
    "a middle entry": lambda v: np.array([0.0] * 50 + [v] + [0.0] * 50),
}


def hooked(hook):
    module = nn.Identity()
    module.register_forward_hook(hook)
    return module


@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
def test_one_number_tells_two_values_apart(make):
    one, other, again = (fingerprint({"x": make(v)}) for v in (1.0, 2.0, 1.0))
    assert not one.unread
    assert one.parts != other.parts
    assert one.parts == again.parts


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
    ],
)
def test_what_is_read_from_files_or_by_names_that_code_does_not_show_is_unread(name):
    names = {"S": 1, "np": np, "importlib": importlib, "sys": sys, "path": pathlib.Path("S")}
    assert fingerprint({"x": executed(f"def f(n):\n    return n * {name}", **names)}).unread
