"""How a network's forward pass is executed: precision, memory layout, and activation checkpointing."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.func import functional_call
from torch.nn.modules.conv import _ConvNd
from torch.utils.checkpoint import checkpoint

from odegan.modules import features_first
from odegan.modules.exact import Exact, order_of_derivatives
from odegan.modules.sequence import only_calls_layers
from odegan.utils.autodiff import needs_transforms, under_vmap
from odegan.utils.checks import argument_error, check_bool
from odegan.utils.distributed import sharing_ranks

State = dict[str, torch.Tensor]
Forward = Callable[..., torch.Tensor]
_HALVES = (torch.bfloat16, torch.float16)


@dataclass(frozen=True)
class Written:
    """An attribute that the forward pass writes before it reads it, and the value that is restored afterwards."""

    part: nn.Module
    name: str
    value: Any


@dataclass(frozen=True)
class Network:
    """The executable form of a module: a skeleton on the meta device, and the attributes that its forward pass writes.

    ``exact``: whether to replace functions in ``exact.REPLACED`` when their derivatives are needed. ``thin``: whether compiled
    steps run it by ``features_first``. ``unseen``: whether it calls a function in ``exact.UNSEEN``.
    """

    module: nn.Module
    exact: bool = False
    written: tuple[Written, ...] = ()
    thin: bool = False
    unseen: bool = False

    def __call__(self, state: State, *inputs: torch.Tensor) -> torch.Tensor:
        """The output, with parameters and buffers from ``state``."""
        return _call(self, self.order(), self.module, state, *inputs)

    def order(self) -> int:
        """How many derivatives may be taken of the output; 0 if nothing is replaced anyway."""
        return order_of_derivatives() if self.exact else 0


class Execution(NamedTuple):
    """Execution options that do not change the mathematics.

    Attributes:
        autocast: the dtype of matrix products and convolutions; parameters, losses and the solver's arithmetic keep the
            state's. None: the state's throughout.
        channels_last: use this memory layout for images and filters; ensembles ignore it.
        checkpointing: store only the inputs of about sqrt(n) segments of an ``nn.Sequential`` with n children (otherwise of the
            whole module) and recompute the rest in the backward pass. Ensembles, compiled steps and gradients through a run
            ignore it.

    Examples:
        >>> Execution(autocast=torch.bfloat16).check()
        Execution(autocast=torch.bfloat16, channels_last=False, checkpointing=False)
    """

    autocast: torch.dtype | None = None
    channels_last: bool = False
    checkpointing: bool = False

    def check(self) -> Execution:
        """Return self, or raise ``ArgumentError``."""
        if self.autocast is not None and self.autocast not in _HALVES:
            argument_error("autocast", self.autocast, f"None, {' or '.join(map(str, _HALVES))}")
        for name in ("channels_last", "checkpointing"):
            check_bool(name, getattr(self, name))
        return self

    def bind(self, network: Network, state: State) -> Forward:
        """The network as a function of its inputs, with parameters and buffers from ``state``, in their dtype."""
        if self == _PLAIN:
            if network.exact or network.written or not state:
                return lambda *inputs: network(state, *inputs)
            if network.thin and torch.compiler.is_compiling():
                return functools.partial(_thin, network.module, state)
            # Without ``_call`` around it: the shortest path, for the most common networks.
            return lambda *inputs: functional_call(network.module, state, inputs, tie_weights=False)
        # vmap adds an axis in front, for which torch has no such layout.
        layout = self.channels_last and not under_vmap()
        dtype = next(t.dtype for t in state.values() if t.is_floating_point())
        if layout:
            state = {name: _channels_last(t) for name, t in state.items()}
        if self.autocast is not None and dtype != torch.float64:  # autocast leaves float64 as it is
            # Cast once per evaluation instead of at each use.
            state = state | {name: state[name].to(self.autocast) for name in _products(network.module)}

        def forward(*inputs: torch.Tensor) -> torch.Tensor:
            laid = tuple(_channels_last(x) for x in inputs) if layout else inputs
            halved = self.autocast is not None
            with torch.autocast(laid[0].device.type, self.autocast) if halved else nullcontext():
                if self.checkpointing and not needs_transforms():
                    return _segments(network, state, *laid).to(dtype)
                return network(state, *laid).to(dtype)

        return forward


_PLAIN = Execution()


def _thin(module: nn.Module, state: State, *inputs: torch.Tensor) -> torch.Tensor:
    """The output of thin linear layers in sequence."""
    if len(inputs) == 1 and features_first.pays(*inputs):
        return features_first.run(module, state, *inputs)
    return functional_call(module, state, inputs, tie_weights=False)


def _call(network: Network, order: int, module: nn.Module, state: State, *inputs: torch.Tensor) -> torch.Tensor:
    """The output of ``module``, which is the network or one of its children."""
    if network.unseen and torch.compiler.is_compiling():
        torch._dynamo.graph_break(msg="torch._weight_norm is inexact when compiled")
    exact = order > 0 or (network.exact and sharing_ranks() is not None)
    with Exact(order, torch.is_autocast_enabled(inputs[0].device.type)) if exact else nullcontext():
        # The state has every name of a tied parameter already, so torch need not look for them at each call.
        out = functional_call(module, state, inputs, tie_weights=False) if state else module(*inputs)
    for attribute in network.written:
        setattr(attribute.part, attribute.name, attribute.value)
    return out


def _segments(network: Network, state: State, *inputs: torch.Tensor) -> torch.Tensor:
    """The forward pass in segments, each of which is recomputed in its backward pass.

    The order of derivatives is fixed now: within the backward pass it would differ, but the recomputation must not.
    """
    order = network.order()
    if not only_calls_layers(network.module):
        return _recomputed(_call, network, order, network.module, state, *inputs)
    (x,) = inputs
    children = list(network.module._modules.values())  # one that comes several times is applied several times
    # Balances the memory between segments against the memory within one.
    length = max(1, round(math.sqrt(len(children))))
    for start in range(0, len(children), length):
        x = _recomputed(_in_turn, network, order, children[start : start + length], state, x)
    return x


def _in_turn(network: Network, order: int, children: list[nn.Module], state: State, x: torch.Tensor) -> torch.Tensor:
    paths = {part: path for path, part in network.module.named_modules()}
    for child in children:
        names = {
            f"{path}.{n}".lstrip("."): f"{paths[part]}.{n}"
            for path, part in child.named_modules()
            for n in (*part._parameters, *part._buffers)
        }
        x = _call(network, order, child, {n: state[full] for n, full in names.items() if full in state}, x)
    return x


def _recomputed(run: Callable[..., torch.Tensor], *inputs: object) -> torch.Tensor:
    # Random state is not preserved: modules draw nothing, and reading CUDA's state would wait for the device.
    result: Any = checkpoint(run, *inputs, use_reentrant=False, preserve_rng_state=False)
    return result


def _products(module: nn.Module) -> Iterator[str]:
    """The parameters that autocast would cast at each use: those of torch's own linear and convolution layers."""
    for path, part in module.named_modules():
        # The class whose forward runs: a subclass with its own may use its weights otherwise than in a product.
        kinds = [kind for kind in type(part).__mro__ if "forward" in vars(kind)]
        if (
            kinds
            and (kinds[0] is nn.Linear or issubclass(kinds[0], _ConvNd))
            and kinds[0].__module__.startswith("torch.")
        ):
            yield from (f"{path}.{name}".lstrip(".") for name, _ in part.named_parameters(recurse=False))


def _channels_last(x: torch.Tensor) -> torch.Tensor:
    return x.to(memory_format=torch.channels_last) if x.ndim == 4 else x
