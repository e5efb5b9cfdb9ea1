"""How a network's forward pass is executed: in which precision and memory layout, and what is kept for the backward pass."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.func import functional_call
from torch.utils.checkpoint import checkpoint

from odegan.utils.autodiff import needs_transforms, under_vmap
from odegan.utils.checks import fail, flag

_HALVES = (torch.bfloat16, torch.float16)


class Execution(NamedTuple):
    """Switches that leave the mathematics as it is.

    autocast: the precision of the networks' matrix products and convolutions; parameters, losses and the solver's arithmetic
    keep the state's. channels_last: images and filters in that memory layout, which an ensemble's cannot have.
    checkpointing: keep only what goes into about sqrt(n) segments of an ``nn.Sequential`` of n children (else into the
    whole module) and compute the rest again in the backward pass; an ensemble, a compiled step and gradients through a run
    record everything as they do without.
    """

    autocast: torch.dtype | None = None
    channels_last: bool = False
    checkpointing: bool = False

    def check(self) -> Execution:
        """The same, or ``ArgumentError``."""
        if self.autocast is not None and self.autocast not in _HALVES:
            fail("autocast", self.autocast, f"None, {' or '.join(map(str, _HALVES))}")
        for name in ("channels_last", "checkpointing"):
            flag(name, getattr(self, name))
        return self

    def __call__(self, module: nn.Module, state: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
        """The module's output on x with its parameters and buffers from ``state``, in their dtype."""
        if self == _PLAIN:
            return _call(module, state, x)
        if self.channels_last and not under_vmap():
            x, state = _channels_last(x), {name: _channels_last(t) for name, t in state.items()}
        dtype = next(t.dtype for t in state.values() if t.is_floating_point())
        # The casts of weights are not kept: they belong to one state only.
        with torch.autocast(x.device.type, self.autocast, enabled=self.autocast is not None, cache_enabled=False):
            run = _segments if self.checkpointing and not needs_transforms() else _call
            return run(module, state, x).to(dtype)


_PLAIN = Execution()


def _call(module: nn.Module, state: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    return functional_call(module, state, (x,), tie_weights=False)


def _segments(module: nn.Module, state: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """The forward pass in segments, each of which is computed again for its backward pass."""
    if type(module).forward is not nn.Sequential.forward:
        return _recomputed(_call, module, state, x)
    children = list(module.named_children())
    length = max(1, round(math.sqrt(len(children))))  # as much is kept between the segments as within one
    for start in range(0, len(children), length):
        x = _recomputed(_in_turn, children[start : start + length], state, x)
    return x


def _in_turn(children: list[tuple[str, nn.Module]], state: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    for name, child in children:
        own = {key.removeprefix(f"{name}."): t for key, t in state.items() if key.startswith(f"{name}.")}
        x = _call(child, own, x) if own else child(x)
    return x


def _recomputed(run: Callable[..., torch.Tensor], *inputs: Any) -> torch.Tensor:
    result: Any = checkpoint(run, *inputs, use_reentrant=False, preserve_rng_state=False)
    return result


def _channels_last(x: torch.Tensor) -> torch.Tensor:
    return x.to(memory_format=torch.channels_last) if x.ndim == 4 else x
