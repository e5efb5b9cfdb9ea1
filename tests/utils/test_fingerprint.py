"""Fingerprints: the same argument is the same in every process, and another one is told apart."""

import functools
import os
import subprocess
import sys
from pathlib import Path

import pytest

from odegan.utils.fingerprint import describe

PRINT_A_SET = """
from odegan.utils.fingerprint import describe
print(describe(lambda mode: mode in {"a", "b", "c"}), describe({"x", "y", "z"}))
"""


def test_sets_are_the_same_in_every_process():
    said = {
        subprocess.run(
            [sys.executable, "-c", PRINT_A_SET],
            env=os.environ | {"PYTHONHASHSEED": str(seed)},
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in (1, 2)
    }
    assert len(said) == 1


def scaled(scale):
    def loss(x, *, by=scale):
        return by * x

    return loss


def nested(constant):
    name = {"__name__": "given"}
    exec(f"def loss(x):\n    def inner(y):\n        return {constant} * y\n    return inner(x)", name)
    return name["loss"]


@pytest.mark.parametrize(
    "make",
    [scaled, nested, lambda c: functools.partial(max, c), lambda c: {c, 7}],
    ids=["scaled", "nested", "partial", "set"],
)
def test_what_differs_is_told_apart(make):
    assert describe(make(1.5)) == describe(make(1.5))
    assert describe(make(1.5)) != describe(make(2.5))
