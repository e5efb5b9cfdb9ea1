"""Data-parallel processes, each with an equal share of every minibatch: means over ranks, and which rank has which share."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

import torch
import torch.distributed as dist
from torch.utils._pytree import tree_flatten, tree_unflatten

from odegan.utils.checks import ArgumentError

Result = TypeVar("Result")
Tree = TypeVar("Tree")  # of tensors

# After a failed collective, Gloo's threads need Python's lock to release its tensors. A process that begins to exit before
# they have done so is aborted by the C++ runtime, whatever its own exit code.
LETTING_GO = 0.2  # seconds


class LostRankError(RuntimeError):
    """Another process has ended or cannot be reached. The run can be resumed from its last checkpoint.

    Raised by ``odeint_gan`` and ``Stepper`` with ``distributed=True``, in every process that is left.

    Examples:
        >>> def resumed(run):  # run: () -> Solution, with checkpoint=; a launcher such as torchrun starts the processes again
        ...     try:
        ...         return run()
        ...     except LostRankError as error:
        ...         raise SystemExit(f"start again: {error}") from error
    """


class Ranks:
    """The processes of torch.distributed's default group. Use ``ranks()`` to obtain it.

    All processes must call the same methods in the same order. rank: the number of this process; size: their number.
    """

    def __init__(self) -> None:
        self.rank = dist.get_rank()
        self.size = dist.get_world_size()

    def mean(self, tree: Tree) -> Tree:
        """The mean over ranks of a tree of floating-point tensors of one dtype, bitwise equal on every rank."""
        leaves, form = tree_flatten(tree)
        if not leaves:
            return tree
        # One collective for the whole tree: its latency is paid once. Detached, so that none is ever differentiated.
        flat = torch.cat([leaf.detach().reshape(-1) for leaf in leaves])
        self._collective(lambda: dist.all_reduce(flat))
        pieces = (flat / self.size).split([leaf.numel() for leaf in leaves])
        return tree_unflatten([piece.view(leaf.shape) for piece, leaf in zip(pieces, leaves, strict=True)], form)

    def differentiable_mean(self, x: torch.Tensor) -> torch.Tensor:
        """The mean of x over ranks, with derivatives of every order and under every transform of torch.func.

        Each derivative is a mean over ranks too, so that all ranks must differentiate, in the same order. The gradient that a
        rank gets is that of the sum of all ranks' values in its own x.
        """
        mean: torch.Tensor = _Mean.apply(x, self)
        return mean

    def gather(self, x: torch.Tensor, axis: int) -> torch.Tensor:
        """The x of all ranks, concatenated along an axis."""
        # Collectives ignore strides: tensors in channels-last order would arrive permuted.
        parts = [torch.empty_like(x, memory_format=torch.contiguous_format) for _ in range(self.size)]
        self._collective(lambda: dist.all_gather(parts, x.contiguous()))
        return torch.cat(parts, axis)

    def share(self, x: torch.Tensor, axis: int = 0) -> torch.Tensor:
        """This rank's equal share of x along an axis."""
        # The size divides the batch: the options refuse any other one, for means of unequal shares are not the batch's mean.
        each = x.shape[axis] // self.size
        return x.narrow(axis, self.rank * each, each)

    def largest(self, code: int, device: torch.device) -> int:
        """The maximum of ``code`` over the ranks, for decisions that all of them must take together."""
        # On the run's device, since NCCL moves no CPU tensors.
        found = torch.tensor(code, device=device)
        self._collective(lambda: dist.all_reduce(found, dist.ReduceOp.MAX))
        return int(found)

    def from_first(self, value: Result) -> Result:
        """Broadcast rank 0's value, which may be any picklable object."""
        box = [value]
        self._collective(lambda: dist.broadcast_object_list(box, src=0))
        return box[0]

    def gather_values(self, value: Result) -> list[Result]:
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


class _Mean(torch.autograd.Function):
    """``Ranks.differentiable_mean``. torch.func cannot differentiate through torch.distributed.nn's all-reduce, and the
    functional collectives have no derivative.
    """

    @staticmethod
    def forward(x: torch.Tensor, ranks: Ranks) -> torch.Tensor:
        return ranks.mean(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[torch.Tensor, Ranks], output: torch.Tensor) -> None:
        ctx.ranks = inputs[1]

    @staticmethod
    def backward(ctx: Any, cotangent: torch.Tensor) -> tuple[torch.Tensor, None]:
        return ctx.ranks.differentiable_mean(cotangent), None

    @staticmethod
    def jvp(ctx: Any, tangent: torch.Tensor, _: None) -> torch.Tensor:
        mean: torch.Tensor = ctx.ranks.differentiable_mean(tangent)
        return mean

    @staticmethod
    def vmap(info: object, in_dims: tuple[int, None], x: torch.Tensor, ranks: Ranks) -> tuple[torch.Tensor, int]:
        return ranks.differentiable_mean(x), in_dims[0]


def initialized() -> bool:
    """Whether this process belongs to a group of torch.distributed."""
    return dist.is_available() and dist.is_initialized()


class SharesMeans(Protocol):
    """The part of ``Ranks`` that a batch norm needs."""

    def differentiable_mean(self, x: torch.Tensor) -> torch.Tensor: ...


# Not thread-local: a backward pass may run in another thread of the process, which must see the ranks too.
_sharing: list[SharesMeans] = []


@contextmanager
def sharing(ranks: SharesMeans | None) -> Iterator[None]:
    """A context in which a batch is this rank's share, and its statistics are taken over all ranks. None: it is whole."""
    if ranks is None:
        yield
        return
    _sharing.append(ranks)
    try:
        yield
    finally:
        _sharing.pop()


def sharing_ranks() -> SharesMeans | None:
    """The ranks over which statistics of the present batch are taken."""
    return _sharing[-1] if _sharing else None


def ranks() -> Ranks:
    """The ranks of torch.distributed's default group.

    Raises:
        ArgumentError: ``torch.distributed.init_process_group`` has not been called.
    """
    if not initialized():
        raise ArgumentError(
            "distributed: got True without a process group; start with torchrun and call "
            "torch.distributed.init_process_group first"
        )
    return Ranks()
