"""Random numbers as pure functions of (seed, stream, index), and the seeds of an ensemble's members."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from typing import Any

import torch

from odegan.utils.checks import fail, whole

BLOCK = 16  # draws that are made at once: seeding a generator costs as much as a small draw

Seeds = int | list[int]


def stream_seed(seed: int, stream: str, index: int) -> int:
    """A 63-bit seed for the index-th draw of one stream of a run; distinct streams and indices are independent."""
    digest = hashlib.blake2b(f"{seed}/{stream}/{index}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def generator(seed: int, stream: str, index: int, device: Any = "cpu") -> torch.Generator:
    """A generator on ``device``, seeded for the index-th draw of one stream."""
    return torch.Generator(device=device).manual_seed(stream_seed(seed, stream, index))


def of_members(seed: Any, members: int | None) -> Seeds:
    """The seed of a single run (members None), or of each member: seed + e, or the given sequence's.

    Examples:
        >>> of_members(3, None), of_members(3, 2), of_members([5, 7], 2)
        (3, [3, 4], [5, 7])
    """
    if isinstance(seed, Sequence) and not isinstance(seed, str):
        if len(seed) != members:
            fail(
                "seed",
                seed,
                f"a whole number, or a sequence of {members} of them" if members else "a whole number >= 0",
            )
        return [whole("seed", s) for s in seed]
    first = whole("seed", seed)
    return first if members is None else [first + e for e in range(members)]


def uniform(seeds: Seeds, stream: str, index: int, n: int, like: torch.Tensor) -> torch.Tensor:
    """n uniform numbers in [0, 1) on ``like``'s device and in its dtype: (n,), or (E, n) for a list of seeds."""
    if isinstance(seeds, int):
        return _block(seeds, stream, index // BLOCK, n)[index % BLOCK].to(like)
    return torch.stack([_block(seed, stream, index // BLOCK, n)[index % BLOCK] for seed in seeds]).to(like)


@functools.lru_cache(maxsize=512)
def _block(seed: int, stream: str, which: int, n: int) -> torch.Tensor:
    return torch.rand(BLOCK, n, generator=generator(seed, stream, which))
