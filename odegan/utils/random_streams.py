"""Random numbers as pure functions of (seed, stream, index), and the seeds of an ensemble's members.

The index-th draw of a stream does not depend on earlier draws, and all members are drawn at once. So a member draws the same
numbers alone as within an ensemble, and a run can resume at any index. Draws are in float32 whatever the run's dtype, so that
a run in float64 sees the same numbers. The CPU uses torch's own generator, seeded for several draws at a time, which is twice
as fast there as a counter-based one; other devices use Philox, for all members and indices at once.
"""

from __future__ import annotations

import functools
import hashlib
import math
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeGuard

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from odegan.utils.checks import argument_error, check_int
from odegan.utils.philox import random_numbers

GLOBAL_GENERATORS = threading.RLock()  # held while they are seeded and put back, since all threads share them


def _free_after_fork() -> None:
    """Free the lock in a forked process if another thread held it: that thread is not there to release it."""
    if GLOBAL_GENERATORS.acquire(blocking=False):
        GLOBAL_GENERATORS.release()
    else:
        GLOBAL_GENERATORS._at_fork_reinit()  # type: ignore[attr-defined]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_free_after_fork)

Seeds = int | list[int]
Shape = tuple[int, ...]

LARGEST_SEED = 2**63 - 1
_AHEAD = 2**18  # most numbers drawn per seeding of a CPU generator; seeding takes as long as drawing 5,000
_TWISTER = slice(24, 24 + 8 * 624)  # the bytes of a CPU generator's state that hold the Mersenne Twister's 624 words


def member_seeds(seed: int | Sequence[int], members: int | None) -> Seeds:
    """The seed of a single run (members None), or one per member: seed + e, or those of the given sequence.

    Examples:
        >>> member_seeds(3, None), member_seeds(3, 2), member_seeds([5, 7], 2)
        (3, [3, 4], [5, 7])
    """
    if are_seeds(seed):
        if len(seed) != members:
            argument_error(
                "seed",
                seed,
                f"a whole number, or a sequence of {members} of them" if members else "a whole number >= 0",
            )
        return [check_seed(s) for s in seed]
    first = check_seed(seed)
    if members is None:
        return first
    check_seed(first + members - 1)  # the largest one decides
    return [first + e for e in range(members)]


def are_seeds(seed: object) -> TypeGuard[Sequence[int]]:
    """Whether this is one seed for each member: a sequence, an array or a tensor (E,)."""
    return (isinstance(seed, Sequence) and not isinstance(seed, str)) or getattr(seed, "ndim", 0) == 1


def check_seed(value: object) -> int:
    """Return the seed if it is a whole number in [0, 2^63)."""
    seed = check_int("seed", value)
    if seed > LARGEST_SEED:
        argument_error("seed", value, "a whole number below 2**63")
    return seed


@dataclass(frozen=True)
class Kind:
    """A distribution, drawn from a CPU generator (n draws of a shape at once) or from numbers (n, E, count) in [0, 2^32).

    Streams are pickled for worker processes, so both are module-level functions.
    """

    generated: Callable[[torch.Generator, int, Shape], Tensor]
    transformed: Callable[[Tensor, Shape], Tensor]
    count: Callable[[Shape], int] = math.prod
    kept: bool = False  # a draw serves several indices, so that devices keep it too


def _normal(numbers: Tensor, shape: Shape) -> Tensor:
    """By the inverse error function at odd multiples of 2^-24, so that no argument is +-1 and every draw is finite."""
    levels = ((numbers >> 8) - 2**23).float().add_(0.5).mul_(2.0**-23)
    return levels.erfinv_().mul_(math.sqrt(2)).reshape(*numbers.shape[:2], *shape)


def _uniform(numbers: Tensor, shape: Shape) -> Tensor:
    return (numbers >> 8).float().mul_(2.0**-24).reshape(*numbers.shape[:2], *shape)


def _permutation(numbers: Tensor, shape: Shape) -> Tensor:
    """The order of random keys. Each key's low bits hold its position, so that one sort of the keys yields the permutation."""
    bits = max(shape[0] - 1, 1).bit_length()
    high, low = rearrange(numbers, "n member (half position) -> half n member position", half=2)
    # 63 bits, not 64: a set sign bit would sort as negative. Equal keys, which would favor one order, are then very rare.
    keys = ((high << 31 | low >> 1) >> bits << bits) | torch.arange(shape[0], device=numbers.device)
    return keys.sort().values & (1 << bits) - 1


def _randn(source: torch.Generator, n: int, shape: Shape) -> Tensor:
    # Told the dtype and the device, since user code may change torch's defaults in mid-run.
    return torch.randn(n, *shape, generator=source, dtype=torch.float32, device=source.device)


def _rand(source: torch.Generator, n: int, shape: Shape) -> Tensor:
    return torch.rand(n, *shape, generator=source, dtype=torch.float32, device=source.device)


def _randperm(source: torch.Generator, n: int, shape: Shape) -> Tensor:
    return torch.stack([torch.randperm(shape[0], generator=source, device=source.device) for _ in range(n)])


def _two_each(shape: Shape) -> int:
    return 2 * shape[0]


NORMAL = Kind(_randn, _normal)
UNIFORM = Kind(_rand, _uniform)
PERMUTATION = Kind(_randperm, _permutation, count=_two_each, kept=True)


class Stream:
    """Draws of one shape for a run or for all members of an ensemble: ``stream.block(start, n)``.

    Args:
        kind: NORMAL, standard normal; UNIFORM in [0, 1), multiples of 2^-24; PERMUTATION of 0, ..., shape[0] - 1.
        seeds: one seed, or a list with one per member.
        name: streams with different names are independent.
        shape: shape of one draw.
        device: where draws are made.
        ahead: most draws that a CPU makes per seeding; fewer if they are large.

    Examples:
        >>> cpu = torch.device("cpu")
        >>> pair = Stream(NORMAL, [3, 4], "latent", (5,), cpu).block(10, 2)
        >>> pair.shape, torch.equal(pair[1, 1], Stream(NORMAL, 4, "latent", (5,), cpu).block(11, 1)[0])
        (torch.Size([2, 2, 5]), True)
    """

    def __init__(
        self, kind: Kind, seeds: Seeds, name: str, shape: Shape, device: torch.device, ahead: int = 16
    ) -> None:
        self.kind = kind
        self.name = name
        self.shape = shape
        self.device = device
        self.seeds = seeds
        self._members = [seeds] if isinstance(seeds, int) else seeds
        # Units begin at multiples of this number, wherever a block begins, so that a draw is the same in every block.
        self._draws = min(max(_AHEAD // max(kind.count(shape), 1), 1), ahead)
        self._kept: tuple[int, Tensor] | None = None  # the last unit: the next block may begin within it

    def block(self, start: int, n: int) -> Tensor:
        """Draws start, ..., start + n - 1: (n, *shape), or (n, E, *shape) for a list of seeds."""
        if self.device.type == "cpu" or self.kind.kept:
            first = start // self._draws
            last = (start + n - 1) // self._draws
            units = [self._unit(which) for which in range(first, last + 1)]
            joined = units[0] if len(units) == 1 else torch.cat(units)
            drawn = joined.narrow(0, start - first * self._draws, n)
        else:
            drawn = self._counted(start, n)
        return drawn[:, 0] if isinstance(self.seeds, int) else drawn

    def _unit(self, which: int) -> Tensor:
        """The draws (U, E, *shape) of several indices."""
        if self._kept is None or self._kept[0] != which:
            make = self._generated if self.device.type == "cpu" else self._counted
            self._kept = which, make(which * self._draws, self._draws)
        return self._kept[1]

    def _generated(self, start: int, n: int) -> Tensor:
        sources = (generator(seed, self.name, start) for seed in self._members)
        parts = (self.kind.generated(source, n, self.shape) for source in sources)
        first = next(parts)[:, None]
        if len(self._members) == 1:
            return first
        # Filled in place: stacking the parts would hold an ensemble's draws twice.
        drawn = first.new_empty(n, len(self._members), *self.shape)
        drawn[:, :1] = first
        for member, part in enumerate(parts, 1):
            drawn[:, member] = part
        return drawn

    @functools.cached_property
    def _key(self) -> tuple[Tensor, Tensor]:
        """The members' seeds (E,) and the stream's number, on the device."""
        members = torch.tensor(self._members)
        stream = torch.tensor(_stream_key(self.name))
        return members.to(self.device, non_blocking=True), stream.to(self.device, non_blocking=True)

    def _counted(self, start: int, n: int) -> Tensor:
        numbers = random_numbers(*self._key, start, n, self.kind.count(self.shape))
        return self.kind.transformed(numbers, self.shape)


def _stream_key(stream: str) -> int:
    # blake2b, not hash(), which differs between processes. 63 bits fit the sign of an int64 tensor.
    return int.from_bytes(hashlib.blake2b(stream.encode(), digest_size=8).digest(), "little") >> 1


# Seeds and generators for user code.
def stream_seed(seed: int, stream: str, index: int) -> int:
    """A 63-bit seed for the index-th draw of one stream of a run; distinct streams and indices are independent."""
    return _stream_key(f"{seed}/{stream}/{index}")


def generator(seed: int, stream: str, index: int, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator on ``device``, seeded for the index-th draw of one stream."""
    return reseed(torch.Generator(device=device), stream_seed(seed, stream, index))


def reseed(source: torch.Generator, seed: int) -> torch.Generator:
    """``source.manual_seed(seed)`` that uses all 63 bits of the seed, on the CPU too.

    torch's CPU generator reads only the low 32 bits, so that among a hundred thousand random seeds two would collide. For seeds
    from 2^32 on, numpy's seeding fills the 624 words of the state; smaller seeds give torch's own state.
    """
    if seed < 2**32 or source.device.type != "cpu":
        return source.manual_seed(seed)
    # 312 numbers of 64 bits are 624 words of 32, each of which the state keeps in 8 bytes.
    words = np.random.PCG64(seed).random_raw(312).view(np.uint32)
    state = _fresh_state().copy()
    state[:8] = np.array([seed], dtype=np.uint64).view(np.uint8)  # read by initial_seed()
    state[_TWISTER] = words.astype(np.uint64).view(np.uint8)
    with torch._C._DisableFuncTorch():  # within torch.func.grad a new tensor has no storage that a generator could read
        return source.set_state(torch.from_numpy(state))


@functools.cache
def _fresh_state() -> np.ndarray:
    """The state (5 kB) of a CPU generator before its first draw."""
    with torch._C._DisableFuncTorch():
        return torch.Generator().manual_seed(0).get_state().numpy()
