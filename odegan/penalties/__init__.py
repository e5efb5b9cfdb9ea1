"""Penalties by name. Each is ``game -> (extra_disc_loss, extra_gen_loss)``; a player without one has None."""

from __future__ import annotations

from collections.abc import Callable

from odegan.checks import choose, fail
from odegan.penalties.base import Penalty, Weight
from odegan.penalties.generator_gradient import generator_gradient

__all__ = ["Penalty", "generator_gradient", "names", "parse"]

_TABLE: dict[str, Callable[[Weight], Penalty]] = {
    "generator_gradient": generator_gradient,
}


def names() -> list[str]:
    """The names of the penalties, which are also functions of this module.

    >>> names()
    ['generator_gradient']
    """
    return list(_TABLE)


def parse(text: str) -> Penalty:
    """The penalty that a command line names as ``name:weight``.

    >>> parse("generator_gradient:0.07")
    generator_gradient(0.07)
    """
    name, _, weight = text.partition(":")
    choose("penalty", name, _TABLE)
    try:
        value = float(weight)
    except ValueError:
        fail("penalty", text, f"of the form {name}:weight, as in {name}:0.07")
    return _TABLE[name](value)
