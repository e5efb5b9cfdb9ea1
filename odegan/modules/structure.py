"""Copies of a module whose tensors are somewhere else: hollow ones on the meta device, filled ones with given values."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn
from torch.utils._pytree import tree_leaves

from odegan.utils.checks import ArgumentError, one_line

_OWN = frozenset(vars(nn.Module()))  # what every module has: parameters, buffers, hooks, mode


def attributes(module: nn.Module) -> Iterator[tuple[str, nn.Module, str, Any]]:
    """(path of a submodule, it, name, value) of every plain attribute that its class or its forward pass gave it."""
    for path, part in module.named_modules():
        for name, value in list(vars(part).items()):
            weights = isinstance(part, nn.RNNBase) and name.startswith("_flat_weight")  # its parameters again
            if name not in _OWN and not weights:
                yield path, part, name, value


def held_tensors(module: nn.Module) -> list[torch.Tensor]:
    """Tensors that are neither parameters nor buffers but attributes, or in lists, tuples and dicts that are."""
    named = {id(t) for t in [*module.parameters(), *module.buffers()]}
    leaves = (leaf for *_, value in attributes(module) for leaf in tree_leaves(value))
    return [leaf for leaf in leaves if isinstance(leaf, torch.Tensor) and id(leaf) not in named]


def hollow(module: nn.Module, role: str) -> nn.Module:
    """A deep copy whose parameters and buffers are on the meta device; ties between them survive.

    Tensors held as attributes keep their values, without the graph that a forward pass may have left on them.
    """
    memo: dict[int, Any] = {id(t): t.detach().clone() for t in held_tensors(module) if not t.is_leaf}
    for tensor in [*module.parameters(), *module.buffers()]:
        empty: torch.Tensor = torch.empty_like(tensor, device="meta")
        memo[id(tensor)] = nn.Parameter(empty, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else empty
    try:
        return copy.deepcopy(module, memo)
    except Exception as error:  # of whatever the module's attributes do when they are copied
        raise ArgumentError(f"{role}: got a module that copy.deepcopy cannot copy ({one_line(error)})") from error


def filled(template: nn.Module, values: dict[str, torch.Tensor]) -> nn.Module:
    """A deep copy of a hollow module whose parameters and buffers hold copies of ``values``."""
    memo: dict[int, Any] = {}
    named = [*template.named_parameters(remove_duplicate=False), *template.named_buffers(remove_duplicate=False)]
    for name, empty in named:
        if id(empty) not in memo:
            value = values[name].detach().clone()
            memo[id(empty)] = nn.Parameter(value, empty.requires_grad) if isinstance(empty, nn.Parameter) else value
    return copy.deepcopy(template, memo)


def holding(module: nn.Module, convert: Callable[[torch.Tensor], torch.Tensor]) -> nn.Module:
    """A deep copy whose tensors held as attributes are converted; its parameters and buffers are the same ones."""
    memo: dict[int, Any] = {id(t): t for t in [*module.parameters(), *module.buffers()]}
    memo |= {id(t): convert(t.detach()) for t in held_tensors(module) if not t.requires_grad}
    return copy.deepcopy(module, memo)
