"""Several processes of one program, started by torchrun."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from datetime import timedelta

import torch
import torch.distributed as dist

PATIENCE = timedelta(hours=2)  # the others wait while the first process scores and saves


@contextlib.contextmanager
def group() -> Iterator[int]:
    """Join torch.distributed's default group if torchrun started this process; yield the rank, 0 without torchrun.

    CPU tensors use gloo and GPU tensors NCCL; "cuda" then means the GPU of this process.
    """
    if "RANK" not in os.environ:
        yield 0
        return
    gpus = torch.cuda.is_available()
    if gpus:
        # More processes than GPUs share them, which tests do.
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)) % torch.cuda.device_count())
    dist.init_process_group("cpu:gloo,cuda:nccl" if gpus else "gloo", timeout=PATIENCE)
    try:
        yield dist.get_rank()
    finally:
        dist.destroy_process_group()


def several() -> bool:
    """Whether this process belongs to a group."""
    return dist.is_available() and dist.is_initialized()
