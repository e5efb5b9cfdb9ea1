"""Modules refused because of their class, each with a remedy. ``validate`` refuses those that misbehave in a trial run."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.parameter import is_lazy
from torch.nn.utils.parametrizations import _SpectralNorm

from odegan.utils.checks import ArgumentError, argument_error

_OLD_NORMS = {"SpectralNorm", "WeightNorm"}
_WRAPPERS = (nn.DataParallel, nn.parallel.DistributedDataParallel)


def _old_norm(name: str, part: nn.Module) -> bool:
    return bool({type(hook).__name__ for hook in part._forward_pre_hooks.values()} & _OLD_NORMS)


def _compiled(name: str, part: object) -> bool:
    return hasattr(part, "_orig_mod") or getattr(part, "_compiled_call_impl", None) is not None


def _noisy(name: str, part: object) -> bool:
    return isinstance(part, _DropoutNd) and part.p > 0 and part.training


def _recurrent_noise(name: str, part: object) -> bool:
    return isinstance(part, nn.RNNBase) and part.dropout > 0 and part.training


def _complex(name: str, part: nn.Module) -> bool:
    return any(p.is_complex() for p in part.parameters(recurse=False))


def _gradient_hooks(name: str, part: nn.Module) -> bool:
    own = part.parameters(recurse=False)
    return any(p._backward_hooks or getattr(p, "_post_accumulate_grad_hooks", None) for p in own)


# What is refused, and the end of the sentence "ROLE: got CLASS at PATH; ...".
REFUSED: list[tuple[Callable[[str, nn.Module], bool], str]] = [
    (lambda name, part: isinstance(part, torch.jit.ScriptModule), "it must be the module from before torch.jit"),
    (lambda name, part: isinstance(part, _WRAPPERS), "it must be the module inside it, its .module"),
    (_compiled, "it must be the module from before torch.compile; compile runs by odeint_gan(compile=True)"),
    (_old_norm, "it must use torch.nn.utils.parametrizations, not the old hook-based norm"),
    (_noisy, "it must not draw random numbers inside the field; set p=0, call .eval() on it, or remove it"),
    (_recurrent_noise, "it must not draw random numbers inside the field; set dropout=0, or call .eval() on it"),
    (
        lambda name, part: any(is_lazy(p) for p in part.parameters(recurse=False)),
        "it must be initialized: run one forward pass first",
    ),
    (_complex, "its parameters must be real: hold real and imaginary parts, and join them by torch.complex"),
    (
        _gradient_hooks,
        "its parameters must have no gradient hooks, which the field would not call: scale by rates=, clip by clip=",
    ),
    (
        lambda name, part: isinstance(part, _SpectralNorm) and not name.endswith(".0"),
        "spectral norm must be the first parametrization of its weight",
    ),
]


def refuse(module: object, role: str) -> None:
    """Refuse a module that cannot be a pure function of its parameters; the message gives the path and a remedy."""
    if not isinstance(module, nn.Module):
        argument_error(role, module, "a torch.nn.Module")
    for name, part in module.named_modules():
        for found, remedy in REFUSED:
            if found(name, part):
                raise ArgumentError(f"{role}: got {type(part).__name__} at {name or 'the top'!r}; {remedy}")
