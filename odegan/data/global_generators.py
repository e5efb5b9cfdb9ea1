"""Seed the global random generators for user code, and restore them afterwards."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator

import numpy as np
import torch

from odegan.utils.random_streams import GLOBAL_GENERATORS, reseed

Reseed = Callable[[int], None]


@contextlib.contextmanager
def reseeded_generators() -> Iterator[Reseed]:
    """Yield a function that seeds the global generators of torch (on the CPU), numpy and ``random``; restore them on exit.

    Examples:
        >>> def drawn(seed):
        ...     with reseeded_generators() as seed_all:
        ...         seed_all(seed)
        ...         return random.random(), np.random.rand(), float(torch.rand(()))
        >>> drawn(1) == drawn(1) != drawn(2)
        True
    """
    with GLOBAL_GENERATORS:
        states = torch.default_generator.get_state(), np.random.get_state(), random.getstate()
        try:
            yield _seed_all
        finally:
            torch.default_generator.set_state(states[0])
            np.random.set_state(states[1])
            random.setstate(states[2])


def _seed_all(seed: int) -> None:
    """Of torch's generators seed only the CPU's; ``torch.manual_seed`` would also seed those of accelerators."""
    reseed(torch.default_generator, seed)
    # numpy's old interface takes seeds of 32 bits, or a list of them.
    np.random.seed([seed & 0xFFFFFFFF, seed >> 32])
    random.seed(seed)
