"""Copies of a module with other tensors: hollow ones on the meta device, filled ones with given values."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn
from torch.utils._pytree import tree_leaves

from odegan.utils.checks import ArgumentError, one_line

_OWN = frozenset(vars(nn.Module()))  # attributes of every module: parameters, buffers, hooks, mode


def attributes(module: nn.Module) -> Iterator[tuple[str, nn.Module, str, object]]:
    """(path, submodule, name, value) of every attribute that is not a parameter, a buffer or torch's own."""
    for path, part in module.named_modules():
        for name, value in list(vars(part).items()):
            weights = isinstance(part, nn.RNNBase) and name.startswith("_flat_weight")  # aliases of its parameters
            if name not in _OWN and not weights:
                yield path, part, name, value


def named_tensors(module: nn.Module) -> dict[str, torch.Tensor]:
    """Parameters and buffers, tied ones under each of their names; those of a module with several paths under its first."""
    found: dict[str, torch.Tensor] = {}
    for path, part in module.named_modules():
        own = {n: t for n, t in [*part._parameters.items(), *part._buffers.items()] if t is not None}
        found |= {f"{path}.{n}".lstrip("."): t for n, t in own.items()}
    return found


def held_tensors(module: nn.Module) -> list[torch.Tensor]:
    """Tensors held as attributes, or in lists, tuples and dicts held as attributes, that are not parameters or buffers."""
    named = {id(t) for t in [*module.parameters(), *module.buffers()]}
    leaves = (leaf for *_, value in attributes(module) for leaf in tree_leaves(value))
    return [leaf for leaf in leaves if isinstance(leaf, torch.Tensor) and id(leaf) not in named]


def hollow(module: nn.Module, role: str) -> nn.Module:
    """A deep copy with parameters and buffers on the meta device; tied ones stay tied.

    Tensors held as attributes keep their values, but lose the graph that a forward pass may have left.

    Raises:
        ArgumentError: an attribute cannot be copied.
    """
    # copy.deepcopy refuses tensors that are not leaves of a graph.
    # Still trainable ones, so that a forward pass that uses them shows that it depends on more than its parameters.
    held = (t for t in held_tensors(module) if not t.is_leaf)
    memo: dict[int, Any] = {id(t): t.detach().clone().requires_grad_(t.requires_grad) for t in held}
    for tensor in [*module.parameters(), *module.buffers()]:
        # Placed in deepcopy's memo, the empty tensor is used in each place where the original is: ties survive.
        empty: torch.Tensor = torch.empty_like(tensor, device="meta")
        memo[id(tensor)] = nn.Parameter(empty, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else empty
    try:
        return copy.deepcopy(module, memo)
    except Exception as error:  # the module's attributes may raise anything when copied
        raise ArgumentError(
            f"{role}: got a module that copy.deepcopy cannot copy{_uncopied(module)} ({one_line(error)}); its attributes must "
            "be copyable: hold such an object outside of the module"
        ) from error


def _uncopied(module: nn.Module) -> str:
    """The first attribute that cannot be copied alone."""
    for path, _, name, value in attributes(module):
        try:
            copy.deepcopy(value)
        except Exception:
            return f", because of the attribute {name!r} of {path or 'the top'!r}"
    return ""


def filled(template: nn.Module, values: dict[str, torch.Tensor]) -> nn.Module:
    """A deep copy of a hollow module, with copies of ``values`` as parameters and buffers."""
    memo: dict[int, Any] = {}
    named = [*template.named_parameters(remove_duplicate=False), *template.named_buffers(remove_duplicate=False)]
    for name, empty in named:
        if id(empty) not in memo:
            value = values[name].detach().clone()
            memo[id(empty)] = nn.Parameter(value, empty.requires_grad) if isinstance(empty, nn.Parameter) else value
    return copy.deepcopy(template, memo)


def holding(module: nn.Module, convert: Callable[[torch.Tensor], torch.Tensor]) -> nn.Module:
    """A deep copy with converted attribute tensors, sharing the original's parameters and buffers."""
    memo: dict[int, Any] = {id(t): t for t in [*module.parameters(), *module.buffers()]}
    memo |= {id(t): convert(t.detach()) for t in held_tensors(module) if not t.requires_grad}
    return copy.deepcopy(module, memo)
