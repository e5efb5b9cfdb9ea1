"""Check that a function is pure: equal arguments give equal values, and no global generator is used."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import numpy as np
import torch
from torch.utils._pytree import tree_leaves

from odegan.utils.checks import ArgumentError
from odegan.utils.random_streams import GLOBAL_GENERATORS

P = ParamSpec("P")
R = TypeVar("R")

# Two runs of one CUDA kernel may differ in the last bits; random draws differ in the first.
_TOLERANCE = {"cpu": 1e-6}
_ON_DEVICES = 3e-2  # under autocast these are bf16's

_REMEDY = "draw in data or latent functions, which are seeded, or outside the run"


def check_pure(name: str, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Evaluate the function twice and return its value.

    name: the function's name in messages.

    Raises:
        ArgumentError: it drew from a global generator (of torch, numpy or Python), wrote to an argument, or its two values
            differ.
    """
    given = _tensors((args, kwargs))
    before = [tensor.clone() for tensor in given]
    # States first: two equal values do not prove purity if the function seeds the global generator itself.
    first, moved = _observed(function, *args, **kwargs)
    if moved:
        # All threads share the generators, and another run may have seeded them meanwhile: once more while it waits.
        with GLOBAL_GENERATORS:
            first, moved = _observed(function, *args, **kwargs)
    if moved:
        raise ArgumentError(
            f"{name}: got one that draws from {moved[0]}'s global generator; it must be pure: {_REMEDY}"
        )
    if not all(map(equal, given, before)):
        for tensor, value in zip(given, before, strict=True):
            tensor.copy_(value)
        raise ArgumentError(
            f"{name}: got one that writes to the parameters or the batch that it is given; it must be pure: change a .clone()"
        )
    second = function(*args, **kwargs)
    for a, b in zip(tree_leaves(first), tree_leaves(second), strict=True):
        if isinstance(a, torch.Tensor) and a.is_floating_point() and not _close(a.detach(), b.detach()):
            raise ArgumentError(f"{name}: got one with two values at one point; it must be pure: {_REMEDY}")
    return first


def _tensors(tree: object) -> list[torch.Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor)]


def equal(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Whether all numbers are equal, or both nan."""
    return bool(((a == b) | ((a != a) & (b != b))).all())


def _observed(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> tuple[R, list[str]]:
    """The function's value, and the libraries whose global generators changed meanwhile."""
    before = generator_states()
    value = function(*args, **kwargs)
    return value, [kind for kind, state in generator_states().items() if state != before[kind]]


def generator_states() -> dict[str, object]:
    """The states of the global generators, of torch, numpy and Python."""
    with torch._C._DisableFuncTorch():  # within torch.func.grad a new tensor has no storage that numpy could read
        found: dict[str, object] = {"torch": torch.get_rng_state().numpy().tobytes()}
        # Reading the state of a device that is not in use would create a context on it.
        if torch.cuda.is_available() and torch.cuda.is_initialized():
            found["torch.cuda"] = torch.cuda.get_rng_state().numpy().tobytes()
    numpy_state: dict[str, Any] = np.random.get_state(legacy=False)["state"]
    found["numpy"] = numpy_state["key"].tobytes(), numpy_state["pos"]
    return found | {"random": random.getstate()}


def _close(a: torch.Tensor, b: torch.Tensor) -> bool:
    if not torch.isfinite(a).all():
        return True  # the run itself reports non-finite values, with the time
    scale = _TOLERANCE.get(a.device.type, _ON_DEVICES)
    if a.dtype in (torch.float16, torch.bfloat16):
        # Two units in the last place of bfloat16, which keeps 8 bits.
        scale = max(scale, 2.0**-6)
    return bool((a - b).abs().amax() <= scale * a.abs().amax()) if a.numel() else True
