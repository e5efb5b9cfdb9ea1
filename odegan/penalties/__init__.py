"""Penalties by name. Each is a function game -> (extra_disc_loss, extra_gen_loss), with None for no extra loss."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable

from odegan.penalties.base import Penalty
from odegan.penalties.closed_loop import closed_loop
from odegan.penalties.consensus import consensus
from odegan.penalties.drift_cancellation import drift_cancellation
from odegan.penalties.generator_gradient import generator_gradient
from odegan.penalties.jare import jare
from odegan.penalties.r1_r2 import r1, r2
from odegan.penalties.reg import reg
from odegan.penalties.truncation_error import truncation_error
from odegan.penalties.wgan_gp import wgan_gp
from odegan.utils.checks import argument_error, choose

# What other libraries call a penalty.
_ELSEWHERE = {
    **dict.fromkeys(("gp", "gradient_penalty", "wgan-gp"), "wgan_gp"),
    **dict.fromkeys(("clc", "clc_gan"), "closed_loop"),
    **dict.fromkeys(("odegan", "ode_gan"), "generator_gradient"),
}

_TABLE: dict[str, Callable[..., Penalty]] = {
    "generator_gradient": generator_gradient,
    "jare": jare,
    "consensus": consensus,
    "reg": reg,
    "closed_loop": closed_loop,
    "r1": r1,
    "r2": r2,
    "wgan_gp": wgan_gp,
    "truncation_error": truncation_error,
    "drift_cancellation": drift_cancellation,
}

__all__ = [
    "Penalty",
    "closed_loop",
    "consensus",
    "drift_cancellation",
    "generator_gradient",
    "jare",
    "names",
    "parse",
    "r1",
    "r2",
    "reg",
    "truncation_error",
    "wgan_gp",
]


def names() -> list[str]:
    """The names of the penalties, which are also functions of this module.

    Examples:
        >>> names()[:3]
        ['generator_gradient', 'jare', 'consensus']
    """
    return list(_TABLE)


def parse(text: str) -> Penalty:
    """The penalty written as ``name:weight`` on a command line, with further arguments after commas.

    Args:
        text: such as "jare:10".

    Raises:
        ArgumentError: no penalty has that name, or it takes no such argument.

    Examples:
        >>> parse("jare:10"), parse("closed_loop:0.01,kind=abs,buffer=0")
        (jare(10.0, chunks=None, unbiased=False), closed_loop(0.01, kind='abs', buffer=0))
    """
    if not isinstance(text, str):
        argument_error("penalty", text, "a string, name:weight")
    name, _, rest = text.partition(":")
    make = _TABLE[choose("penalty", name, _TABLE, _ELSEWHERE)]
    first, *others = re.split(r",(?![^(\[]*[)\]])", rest)  # commas outside brackets
    try:
        weight = float(first)
    except ValueError:
        argument_error("penalty", text, f"of the form {name}:weight, as in {name}:0.07")
    # Read off the functions, so that a new penalty is parsed without a table of its arguments.
    parameters = list(inspect.signature(make).parameters.items())
    allowed = [key for key, _ in parameters[1:]]
    given: dict[str, object] = {}
    for other in others:
        key, equals, value = other.partition("=")
        if not equals:
            argument_error("penalty", text, f"of the form {name}:weight,key=value,...")
        if not allowed:
            argument_error(f"penalty {name}", key, "left out: it takes a weight only")
        given[choose(f"penalty {name}", key.strip(), allowed)] = _value(value.strip())
    needed = [key for key, part in parameters[1:] if part.default is part.empty and key not in given]
    if needed:
        argument_error("penalty", text, f"of the form {name}:weight,{needed[0]}=value")
    return make(weight, **given)


def _value(text: str) -> object:
    """A Python literal (number, True, False, None), else the text itself."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def __dir__() -> list[str]:
    return __all__
