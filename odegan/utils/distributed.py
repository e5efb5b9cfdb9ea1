"""Several processes that train together, each on its part of every minibatch: means over ranks, and who has which part."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch.utils._pytree import tree_flatten, tree_unflatten

from odegan.utils.checks import ArgumentError

Result = TypeVar("Result")

# Gloo's threads give back the tensors of a failed call under Python's lock. A process that begins to exit before they have
# it is aborted by the C++ runtime, whatever its own exit code.
LETTING_GO = 0.2  # seconds


class LostRankError(RuntimeError):
    """Another process has ended or cannot be reached; the run resumes from its last checkpoint."""


class Ranks:
    """The processes of torch.distributed's default group; ``ranks()`` makes it.

    All of them call the same methods in the same order. rank: this process's number; size: how many there are.
    """

    def __init__(self) -> None:
        self.rank, self.size = dist.get_rank(), dist.get_world_size()

    def mean(self, tree: Any) -> Any:
        """The mean over ranks of a tree of floating-point tensors of one dtype; the same bits on every rank."""
        leaves, form = tree_flatten(tree)
        if not leaves:
            return tree
        flat = torch.cat([leaf.detach().reshape(-1) for leaf in leaves])
        self._collective(lambda: dist.all_reduce(flat))
        pieces = (flat / self.size).split([leaf.numel() for leaf in leaves])
        return tree_unflatten([piece.view(leaf.shape) for piece, leaf in zip(pieces, leaves, strict=True)], form)

    def gather(self, x: torch.Tensor, axis: int) -> torch.Tensor:
        """Every rank's x, one after the other along an axis."""
        parts = [torch.empty_like(x, memory_format=torch.contiguous_format) for _ in range(self.size)]
        self._collective(lambda: dist.all_gather(parts, x.contiguous()))
        return torch.cat(parts, axis)

    def share(self, x: torch.Tensor, axis: int = 0) -> torch.Tensor:
        """This rank's equal part of x along an axis."""
        each = x.shape[axis] // self.size
        return x.narrow(axis, self.rank * each, each)

    def largest(self, code: int, device: torch.device) -> int:
        """The largest of the ranks' numbers, for decisions that all must take together."""
        found = torch.tensor(code, device=device)
        self._collective(lambda: dist.all_reduce(found, dist.ReduceOp.MAX))
        return int(found)

    def from_first(self, value: Any) -> Any:
        """Rank 0's value of any plain kind, on every rank."""
        box = [value]
        self._collective(lambda: dist.broadcast_object_list(box, src=0))
        return box[0]

    def gather_values(self, value: Any) -> list[Any]:
        """Every rank's value of any plain kind, in their order."""
        found: list[Any] = [None] * self.size
        self._collective(lambda: dist.all_gather_object(found, value))
        return found

    def wait(self) -> None:
        """Until every rank is here."""
        self.from_first(None)

    def _collective(self, call: Callable[[], Result]) -> Result:
        try:
            return call()
        except RuntimeError as error:
            time.sleep(LETTING_GO)
            reason = re.sub(r"\[\S+:\d+\] ", "", str(error).strip().splitlines()[0]).partition(". This")[0]
            raise LostRankError(
                f"distributed: rank {self.rank} of {self.size} has lost another rank ({reason}); the run resumes "
                "from its last checkpoint"
            ) from error


def ranks() -> Ranks:
    """The ranks of this process's group; refused where torch.distributed has none.

    Raises:
        ArgumentError: ``torch.distributed.init_process_group`` has not been called.
    """
    if not (dist.is_available() and dist.is_initialized()):
        raise ArgumentError(
            "distributed: got True without a process group; start with torchrun and call "
            "torch.distributed.init_process_group first"
        )
    return Ranks()
