"""Functions of time for step sizes and penalty weights."""

from __future__ import annotations

import bisect
from collections.abc import Callable, Sequence
from typing import Any

from odegan.checks import fail, number


def piecewise(values: Sequence[float], boundaries: Sequence[float]) -> Callable[[Any], float]:
    """The function of time that is values[i] from boundaries[i - 1] on, up to boundaries[i].

    ODE-GAN's schedule on CIFAR-10, 0.01 for 500 steps and 0.04 from then on, ends its first piece at t = 500 x 0.01:

    Examples:
        >>> step_size = piecewise([0.01, 0.04], [5.0])
        >>> step_size(0.0), step_size(5.0)
        (0.01, 0.04)
    """
    if len(values) != len(boundaries) + 1:
        fail("values", list(values), f"one more than the {len(boundaries)} boundaries")
    for value in values:
        number("values", value)
    edges = [number("boundaries", b) for b in boundaries]
    if sorted(edges) != edges:
        fail("boundaries", edges, "increasing")

    def at(t: Any) -> float:
        now = float(t)
        return values[bisect.bisect_right(edges, now + 1e-9 * max(1.0, abs(now)))]

    at.__qualname__ = f"piecewise({list(values)}, {edges})"
    return at
