"""Argument checks. Each error is one line that names the argument, what it got and what is allowed."""

from __future__ import annotations

import difflib
import inspect
import math
import operator
import os
from collections.abc import Callable, Iterable, Mapping
from typing import NoReturn

import torch
from torch.utils._pytree import tree_leaves


class ArgumentError(ValueError):
    """A wrong argument. The message is one line: the argument, what it got, what it may be.

    Examples:
        >>> import odegan
        >>> try:
        ...     odegan.solvers.get("hune2")
        ... except ArgumentError as error:
        ...     str(error)
        "solver: got 'hune2'; it must be one of ... (did you mean 'heun2'?)"
    """


def argument_error(name: str, got: object, allowed: str) -> NoReturn:
    """Raise ``ArgumentError``: ``name: got <got>; it must be <allowed>``."""
    # From None: what torch or Python raised while the argument was looked at is not the user's concern.
    raise ArgumentError(f"{name}: got {_short(got)}; it must be {allowed}") from None


def choose(name: str, value: object, allowed: Iterable[str], elsewhere: Mapping[str, str] | None = None) -> str:
    """Return ``value`` if it is one of ``allowed``; else refuse it and suggest the nearest name.

    elsewhere: what other libraries call one of them -> its name here.
    """
    names = list(allowed)
    if isinstance(value, str) and value in names:
        return value
    argument_error(name, value, f"one of {', '.join(names)}{did_you_mean(value, names, elsewhere)}")


def did_you_mean(value: object, names: Iterable[str], elsewhere: Mapping[str, str] | None = None) -> str:
    """The end of an error's message: the name most like ``value``, or nothing if none is like it."""
    lower = {name.lower(): name for name in names}
    given = str(value).lower()
    synonym = (elsewhere or {}).get(given, given)
    near = difflib.get_close_matches(synonym.lower(), lower, n=1)
    return f" (did you mean {lower[near[0]]!r}?)" if near else ""


def check_number(name: str, value: object, *, low: float = -math.inf, strict: bool = False) -> float:
    """Return ``value`` as a float if it is a finite real number >= ``low`` (``strict``: > ``low``)."""
    bound = "" if low == -math.inf else f" {'>' if strict else '>='} {low:g}"
    # True is an int in Python, but as a number it is a mistake.
    ok = isinstance(value, int | float) and not isinstance(value, bool)
    if (isinstance(value, torch.Tensor) and value.numel() == 1 and not value.dtype.is_complex) or (
        type(value).__module__ == "numpy" and hasattr(value, "__float__") and getattr(value, "size", 1) == 1
    ):
        ok = True
    if not ok:
        argument_error(name, value, f"a number{bound}")
    held = value.detach() if isinstance(value, torch.Tensor) else value
    number: float = held if isinstance(held, int | float) else held.item()  # type: ignore[attr-defined]
    plain = float(number)
    if not math.isfinite(plain) or plain < low or (strict and plain == low):
        argument_error(name, number, f"a finite number{bound}")
    return plain


def check_constant(name: str, value: object, *, low: float = -math.inf, strict: bool = False) -> float:
    """``check_number`` for an argument through which no gradient flows, and which may therefore require none."""
    if isinstance(value, torch.Tensor) and value.requires_grad:
        argument_error(name, "a tensor that requires a gradient", "a number: no gradient flows through it")
    return check_number(name, value, low=low, strict=strict)


def check_int(name: str, value: object, *, low: int = 0) -> int:
    """Return ``value`` as an int if it is a whole number >= ``low``."""
    try:
        truth = isinstance(value, bool) or getattr(value, "dtype", None) == torch.bool
        # operator.index takes the integers of numpy and torch too, and refuses 2.0, which int() would round.
        found = None if truth else operator.index(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, RuntimeError):  # raised by tensors with several entries or a fractional one
        found = None
    if found is None or found < low:
        argument_error(name, value, f"a whole number >= {low}")
    return found


def check_array(name: str, value: object, dimensions: int, allowed: str, constant: bool = False) -> torch.Tensor:
    """Return ``value`` as a floating-point tensor if it has so many dimensions and consists of finite real numbers.

    Python's numbers become float64, as they are: in float32 a closed form would take 0.1 for 0.10000000149.

    constant: refuse tensors that require a gradient; otherwise only lists of such tensors, through which none would flow.
    """
    if any(isinstance(part, torch.Tensor) and part.requires_grad for part in tree_leaves(value)):
        if constant:
            argument_error(name, "a tensor that requires a gradient", "numbers: no gradient flows through them")
        if not isinstance(value, torch.Tensor):
            argument_error(name, "a list of tensors that require a gradient", "one tensor, made by torch.stack")
    try:
        found = torch.as_tensor(value, dtype=None if hasattr(value, "dtype") else torch.float64)
    except (TypeError, ValueError, RuntimeError):
        argument_error(name, value, allowed)
    if found.ndim != dimensions or not found.numel() or found.is_complex() or not bool(torch.isfinite(found).all()):
        argument_error(name, value, allowed)
    return found if found.is_floating_point() else found.to(torch.float64)


def stated_dtype(value: object) -> torch.dtype:
    """The dtype of a floating-point tensor or array; numbers of Python and integers state none, which means the default."""
    dtype = torch.as_tensor(value).dtype if hasattr(value, "dtype") else torch.get_default_dtype()
    return dtype if dtype.is_floating_point else torch.get_default_dtype()


def check_functions(allowed: str, **functions: object) -> None:
    """Refuse the first of the named arguments that cannot be called."""
    for name, function in functions.items():
        if not callable(function):
            argument_error(name, function, allowed)


def check_function(name: str, function: object, arguments: int, allowed: str) -> None:
    """Refuse anything but a function that can be called with this number of arguments."""
    if not callable(function):
        argument_error(name, function, allowed)
    check_arity(name, function, arguments, allowed)


def check_arity(name: str, function: Callable[..., object], arguments: int, allowed: str) -> None:
    """Refuse a function that cannot be called with this number of arguments; one without a readable signature is accepted."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return
    try:
        signature.bind(*range(arguments))
    except TypeError:
        argument_error(name, f"a function of {signature}", allowed)


def check_bool(name: str, value: object) -> bool:
    """Return ``value`` if it is True or False."""
    if not isinstance(value, bool):
        argument_error(name, value, "True or False")
    return value


def one_line(error: Exception) -> str:
    """The beginning of an error's message, on one line."""
    return " ".join(str(error).split())[:120]


def _short(value: object) -> str:
    if isinstance(value, torch.Tensor):
        dtype = str(value.dtype).removeprefix("torch.")
        return f"a {dtype} tensor of shape {tuple(value.shape)}" if value.numel() != 1 else f"{value.item()}"
    text = " ".join(repr(value).split())
    path = isinstance(value, os.PathLike) or (isinstance(value, str) and os.sep in value)
    limit = 1000 if path else 80  # a path cut in half names no file
    return text if len(text) <= limit else f"{text[: limit - 3]}..."
