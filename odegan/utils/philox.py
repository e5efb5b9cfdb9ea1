"""Philox4x32-10: random numbers as a pure function of a key and a counter, so that each can be made without the others.

Source: Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011. Each
64-bit key gives a bijection of the 128-bit counters. The integer tensor operations here treat all counters and keys at once,
run on any device, and compile. 32-bit numbers are held in int64 tensors, whose products keep 64 bits; torch has no unsigned
shift, so a mask follows each shift.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from einops import rearrange
from torch import Tensor

from odegan.utils.checks import one_line
from odegan.utils.warn import warn

ROUNDS = 10
MASK = 0xFFFFFFFF
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_KEY_INCREMENTS = (0x9E3779B9, 0xBB67AE85)

Counter = tuple[Tensor, Tensor, Tensor, Tensor]


def philox(counter: Counter, key: tuple[Tensor, Tensor]) -> Counter:
    """Four random numbers in [0, 2^32), int64, for each counter and key; all arguments broadcast."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(ROUNDS):
        product0 = c0 * _MULTIPLIERS[0]
        product2 = c2 * _MULTIPLIERS[1]
        c0 = ((product2 >> 32) & MASK) ^ c1 ^ k0
        c2 = ((product0 >> 32) & MASK) ^ c3 ^ k1
        c1 = product2 & MASK
        c3 = product0 & MASK
        # The last round's increment is not used; a special case would cost more than it saves.
        k0 = (k0 + _KEY_INCREMENTS[0]) & MASK
        k1 = (k1 + _KEY_INCREMENTS[1]) & MASK
    return c0, c1, c2, c3


def random_numbers(seeds: Tensor, stream: Tensor, start: int, n: int, count: int) -> Tensor:
    """``count`` numbers for each of the draws start, ..., start + n - 1 of a stream, for each seed.

    The key is the seed; the counter consists of the index of the block of four within the draw (word 0), of the draw (word 1)
    and of the stream (words 2 and 3).

    Args:
        seeds: (E,) int64; the numbers are made on their device.
        stream: a scalar int64 tensor on the same device, which avoids a copy from the host.
        start: the first draw; start + n is below 2^32.
        n: number of draws.
        count: numbers per draw.

    Returns:
        (n, E, count) int64 in [0, 2^32).

    Examples:
        >>> stream = torch.tensor(1)
        >>> both = random_numbers(torch.tensor([3, 4]), stream, start=5, n=2, count=6)
        >>> torch.equal(both[1, 1], random_numbers(torch.tensor([4]), stream, start=6, n=1, count=6)[0, 0])
        True
    """
    # Rounded up: a counter gives four numbers, and those beyond ``count`` are dropped.
    blocks = torch.arange(-(-count // 4), device=seeds.device)
    draws = torch.arange(start, start + n, device=seeds.device)
    return _compiled_on_cuda(seeds.device.type)(seeds, stream, draws, blocks)[..., :count]


def _numbers(seeds: Tensor, stream: Tensor, draws: Tensor, blocks: Tensor) -> Tensor:
    """The numbers (n, E, 4 blocks), four for each counter."""
    counter = blocks, draws[:, None, None], stream & MASK, stream >> 32
    key = seeds[:, None] & MASK, seeds[:, None] >> 32
    words = torch.stack(torch.broadcast_tensors(*philox(counter, key)))
    return rearrange(words, "word draw member block -> draw member (block word)")


@functools.cache
def _compiled_on_cuda(device: str) -> Callable[..., Tensor]:
    """Compiled on CUDA: one fused kernel instead of about a hundred, each of which would be limited by memory bandwidth.

    Triton needs a C compiler. Without one the same numbers are computed eagerly, which takes longer.
    """
    if device != "cuda":
        return _numbers
    versions = [torch.compile(_numbers, dynamic=True), _numbers]

    def numbers(*inputs: Tensor) -> Tensor:
        if len(versions) > 1:
            try:
                return versions[0](*inputs)
            except Exception as error:  # dynamo's, inductor's, Triton's: they share no class
                warn(f"random numbers: not compiled, and slow ({one_line(error)})", RuntimeWarning)
                del versions[0]
        return versions[0](*inputs)

    return numbers
