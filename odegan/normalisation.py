"""Batch normalisation: which statistics a module uses, and where the running ones come from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase


def use_batch_statistics(module: nn.Module) -> nn.Module:
    """Make every normalisation of ``module`` use batch statistics, in train and eval mode; returns it."""
    for norm in _instances(module, _NormBase):
        norm.track_running_stats = False
        norm.running_mean = norm.running_var = norm.num_batches_tracked = None
    return module


def has_running_statistics(module: nn.Module) -> bool:
    """Whether some normalisation of ``module`` keeps running statistics."""
    return any(norm.running_mean is not None for norm in _instances(module, _NormBase))


@torch.no_grad()
def estimate_statistics(module: nn.Module, inputs: list[torch.Tensor], keep: bool = False) -> list[torch.Tensor]:
    """Set running statistics to the plain average over the inputs; returns the outputs, under batch statistics, if they are to
    be kept.
    """
    norms = [part for part in module.modules() if getattr(part, "running_mean", None) is not None]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()  # type: ignore[operator]
        norm.momentum = None  # type: ignore[assignment]
        norm.train()
    outputs = []
    for x in inputs:
        out = module(x)
        if keep:
            outputs.append(out)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    return outputs


def _instances(module: nn.Module, kind: Any) -> Iterator[Any]:
    return (part for part in module.modules() if isinstance(part, kind))
