"""Fresh initialization of a module: each layer's own, then the user's, also through parametrizations and pruning."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator

import torch
from torch import nn
from torch.nn.utils import parametrize
from torch.nn.utils.prune import BasePruningMethod

from odegan.utils.checks import ArgumentError, one_line

Initialize = Callable[[nn.Module], None]


def redraw(module: nn.Module, role: str, init: Initialize | None) -> None:
    """Draw the trainable parameters of ``module`` anew from torch's global generator, which the caller forks.

    A weight that is computed from others cannot be written, so layers are drawn as if they had no parametrization or pruning,
    and the drawn weight is then assigned through these.

    Raises:
        ArgumentError: neither a ``reset_parameters()`` nor ``init`` draws some parameter.
    """
    plain = without_parametrizations(copy.deepcopy(module))
    # Its own ``apply`` first, then ``init``: a user's function overrides the layer's default.
    for parameter in plain.parameters():
        if parameter.requires_grad and parameter.is_floating_point():
            parameter.detach().fill_(math.nan)  # marks what is not drawn
    plain.apply(_reset)
    if init is not None:
        plain.apply(init)
    for name, parameter in plain.named_parameters():
        if parameter.requires_grad and parameter.isnan().any():
            owner = type(plain.get_submodule(name.rpartition(".")[0])).__name__
            raise ArgumentError(
                f"init: the {role}'s parameter {name!r} is drawn by no reset_parameters() of its {owner}; give it one, "
                "give gan(init=...), or pass y0 yourself"
            )
    _take_over(module, plain, role)


def _reset(part: object) -> None:
    reset = getattr(part, "reset_parameters", None) or getattr(part, "_reset_parameters", None)
    try:
        if reset is not None:
            reset()
    except AttributeError:
        pass  # a weight computed by a hook; whatever stays undrawn is reported later


def computed_weights(part: nn.Module) -> Iterator[str]:
    """The names of the weights of ``part`` that parametrizations or pruning compute from other parameters."""
    if parametrize.is_parametrized(part):
        yield from part.parametrizations  # type: ignore[misc]
    for hook in part._forward_pre_hooks.values():
        if isinstance(hook, BasePruningMethod):
            yield hook._tensor_name


def without_parametrizations(module: nn.Module) -> nn.Module:
    """A copy with parametrized and pruned weights turned into ordinary parameters.

    torch's remove_parametrizations would also delete the attribute from the class, which the copy shares with the user's
    module.
    """
    for part in list(module.modules()):
        weights = {name: _plain_weight(part, name) for name in computed_weights(part)}
        if parametrize.is_parametrized(part):
            del part.parametrizations
            # Parametrizing a module replaced its class by a subclass with properties in the place of the weights.
            part.__class__ = type(part).__bases__[0]
        for name, weight in weights.items():
            part._parameters.pop(f"{name}_orig", None)
            vars(part).pop(name, None)
            part.register_parameter(name, weight)
    return module


def _plain_weight(part: nn.Module, name: str) -> nn.Parameter:
    sources = part.get_submodule(f"parametrizations.{name}") if parametrize.is_parametrized(part, name) else part
    own = dict(sources.named_parameters(recurse=False))
    trained = own[f"{name}_orig"].requires_grad if f"{name}_orig" in own else any(p.requires_grad for p in own.values())
    return nn.Parameter(getattr(part, name).detach().clone(), trained)


@torch.no_grad()
def _take_over(module: nn.Module, plain: nn.Module, role: str) -> None:
    """Assign the values of the plain copy to ``module``, through its parametrizations."""
    drawn = dict(plain.named_parameters(remove_duplicate=False))
    for path, part in module.named_modules():
        if isinstance(part, parametrize.ParametrizationList):
            continue
        prefix = f"{path}." if path else ""
        computed = set(computed_weights(part))
        for name in computed:
            _assign(part, name, drawn[prefix + name].detach(), role, path)
        for name, parameter in part.named_parameters(recurse=False):
            if prefix + name in drawn and name.removesuffix("_orig") not in computed:
                parameter.copy_(drawn[prefix + name])


def _assign(part: nn.Module, name: str, value: torch.Tensor, role: str, path: str) -> None:
    if not parametrize.is_parametrized(part, name):
        getattr(part, f"{name}_orig").copy_(value)
        return
    where = f"init: the {role} holds a {type(part).__name__} at {path!r} whose parametrization"
    # torch's orthogonal, for one, stores the assigned weight in its buffer ``base``: theta would not contain it.
    parametrizations = part.get_submodule("parametrizations")
    buffers = {n: b.clone() for n, b in parametrizations.named_buffers()}
    try:
        setattr(part, name, value)
    except (NotImplementedError, RuntimeError, ValueError, TypeError) as error:
        raise ArgumentError(f"{where} has no right_inverse ({one_line(error)}); pass y0 yourself") from error
    if any(not torch.equal(b, buffers[n]) for n, b in parametrizations.named_buffers()):
        raise ArgumentError(f"{where} keeps its value in a buffer, not in its parameters; pass y0 yourself")
