"""Code of others draws from global generators: they are seeded for it, and put back after it."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator

import numpy as np
import torch

from odegan.utils.random_streams import reseed

Reseed = Callable[[int], None]


@contextlib.contextmanager
def reseeded_generators() -> Iterator[Reseed]:
    """Within the ``with`` block its value seeds the global generators of torch (on the CPU), numpy and ``random``, as often as
    it is called; after the block they are as they were before.

    Examples:
        >>> def drawn(seed):
        ...     with reseeded_generators() as seed_all:
        ...         seed_all(seed)
        ...         return random.random(), np.random.rand(), float(torch.rand(()))
        >>> drawn(1) == drawn(1) != drawn(2)
        True
    """
    states = torch.default_generator.get_state(), np.random.get_state(), random.getstate()
    try:
        yield _seed_all
    finally:
        torch.default_generator.set_state(states[0])
        np.random.set_state(states[1])
        random.setstate(states[2])


def _seed_all(seed: int) -> None:
    """The CPU's alone of torch's: ``torch.manual_seed`` would move the accelerators' as well."""
    reseed(torch.default_generator, seed)
    np.random.seed([seed & 0xFFFFFFFF, seed >> 32])
    random.seed(seed)
