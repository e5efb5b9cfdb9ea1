"""Functions of time for step sizes and penalty weights."""

from __future__ import annotations

import bisect
from collections.abc import Callable, Sequence
from typing import Any

import torch

from odegan.utils.checks import argument_error, check_number


def piecewise(values: Sequence[float], boundaries: Sequence[float]) -> Callable[[Any], Any]:
    """The function of time that is values[i] from boundaries[i - 1] on, up to boundaries[i].

    ODE-GAN's schedule on CIFAR-10, 0.01 for 500 steps and 0.04 from then on, ends its first piece at t = 500 x 0.01:

    Examples:
        >>> step_size = piecewise([0.01, 0.04], [5.0])
        >>> step_size(0.0), step_size(5.0)
        (0.01, 0.04)
    """
    for name, given in {"values": values, "boundaries": boundaries}.items():
        if not isinstance(given, Sequence) or isinstance(given, str):
            argument_error(name, given, "a list of numbers")
    if len(values) != len(boundaries) + 1:
        argument_error("values", list(values), f"one more than the {len(boundaries)} boundaries")
    plain = [check_number("values", value) for value in values]
    edges = [check_number("boundaries", b) for b in boundaries]
    if sorted(edges) != edges:
        argument_error("boundaries", edges, "increasing")

    def at(t: Any) -> Any:
        if isinstance(t, torch.Tensor):  # no Python branch on a tensor: torch.compile and vmap go through
            now = t.detach().to(torch.float64)
            now = now + 1e-9 * now.abs().clamp(min=1.0)
            value = torch.full_like(now, plain[0])
            for edge, after in zip(edges, plain[1:], strict=True):
                value = torch.where(now >= edge, after, value)
            return value
        return values[bisect.bisect_right(edges, t + 1e-9 * max(1.0, abs(t)))]

    at.__qualname__ = f"piecewise({list(values)}, {edges})"
    return at
