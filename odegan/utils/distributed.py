"""Data-parallel processes, each with an equal share of every minibatch: means over ranks, and which rank has which share."""

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

# After a failed collective, Gloo's threads need Python's lock to release its tensors. A process that begins to exit before
# they have done so is aborted by the C++ runtime, whatever its own exit code.
LETTING_GO = 0.2  # seconds


class LostRankError(RuntimeError):
    """Another process has ended or cannot be reached. The run can be resumed from its last checkpoint."""


class Ranks:
    """The processes of torch.distributed's default group. Use ``ranks()`` to obtain it.

    All processes must call the same methods in the same order. rank: the number of this process; size: their number.
    """

    def __init__(self) -> None:
        self.rank = dist.get_rank()
        self.size = dist.get_world_size()

    def mean(self, tree: object) -> Any:
        """The mean over ranks of a tree of floating-point tensors of one dtype, bitwise equal on every rank."""
        leaves, form = tree_flatten(tree)
        if not leaves:
            return tree
        flat = torch.cat([leaf.detach().reshape(-1) for leaf in leaves])
        self._collective(lambda: dist.all_reduce(flat))
        pieces = (flat / self.size).split([leaf.numel() for leaf in leaves])
        return tree_unflatten([piece.view(leaf.shape) for piece, leaf in zip(pieces, leaves, strict=True)], form)

    def gather(self, x: torch.Tensor, axis: int) -> torch.Tensor:
        """The x of all ranks, concatenated along an axis."""
        parts = [torch.empty_like(x, memory_format=torch.contiguous_format) for _ in range(self.size)]
        self._collective(lambda: dist.all_gather(parts, x.contiguous()))
        return torch.cat(parts, axis)

    def share(self, x: torch.Tensor, axis: int = 0) -> torch.Tensor:
        """This rank's equal share of x along an axis."""
        each = x.shape[axis] // self.size
        return x.narrow(axis, self.rank * each, each)

    def largest(self, code: int, device: torch.device) -> int:
        """The maximum of ``code`` over the ranks, for decisions that all of them must take together."""
        found = torch.tensor(code, device=device)
        self._collective(lambda: dist.all_reduce(found, dist.ReduceOp.MAX))
        return int(found)

    def from_first(self, value: object) -> Any:
        """Broadcast rank 0's value, which may be any picklable object."""
        box = [value]
        self._collective(lambda: dist.broadcast_object_list(box, src=0))
        return box[0]

    def gather_values(self, value: object) -> list[Any]:
        """The values of all ranks, in rank order; any picklable objects."""
        found: list[Any] = [None] * self.size
        self._collective(lambda: dist.all_gather_object(found, value))
        return found

    def wait(self) -> None:
        """Block until every rank has called this."""
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
    """The ranks of torch.distributed's default group.

    Raises:
        ArgumentError: ``torch.distributed.init_process_group`` has not been called.
    """
    if not (dist.is_available() and dist.is_initialized()):
        raise ArgumentError(
            "distributed: got True without a process group; start with torchrun and call "
            "torch.distributed.init_process_group first"
        )
    return Ranks()
