"""Pairs of values of one kind that differ in one number: their fingerprints differ, and each is its own again."""

import collections
import functools
import types

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


KINDS = {
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


@pytest.mark.parametrize("name", ["globals()['S']", "eval('S')"])
def test_what_is_read_by_names_that_code_does_not_show_is_unread(name):
    assert fingerprint({"x": executed(f"def f(n):\n    return n * {name}", S=1)}).unread
