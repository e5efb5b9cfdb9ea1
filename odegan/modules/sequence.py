"""Recognize an ``nn.Sequential`` whose call does nothing but call its layers in turn."""

from __future__ import annotations

from types import FunctionType

import torch
from torch import nn
from torch.nn.modules.module import _has_any_global_hook

# What a call of an nn.Sequential runs.
_CALLED = ("__call__", "_call_impl", "forward", "__iter__")


def only_calls_layers(module: nn.Module) -> bool:
    """Whether a module is an ``nn.Sequential``, or of a class that leaves its calls as they are, without hooks.

    Examples:
        >>> module = nn.Sequential(nn.Linear(2, 1))
        >>> only_calls_layers(module)
        True
        >>> handle = module.register_forward_pre_hook(lambda module, inputs: (2 * inputs[0],))
        >>> only_calls_layers(module)
        False
    """
    kind = type(module)
    same = all(getattr(kind, name, None) is getattr(nn.Sequential, name) for name in _CALLED)
    return same and not changed(module) and not _has_any_global_hook()


def changed(module: nn.Module) -> bool:
    """Whether a call of this module does something else than its class says.

    It does with hooks, with methods set on the module itself, and with parameters that are more than numbers.
    """
    hooks = (module._forward_hooks, module._forward_pre_hooks, module._backward_hooks, module._backward_pre_hooks)
    own = any(callable(value) and callable(getattr(type(module), name, None)) for name, value in vars(module).items())
    tensors = any(isinstance(value, torch.Tensor) for value in vars(module).values())
    plain = all(type(p) is nn.Parameter for p in module._parameters.values() if p is not None)
    return any(hooks) or own or tensors or not plain


def runs_as_torch(module: nn.Module) -> bool:
    """Whether all parts of a module are torch's own layers, or sequences of them, without hooks.

    Examples:
        >>> runs_as_torch(nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)))
        True
        >>> runs_as_torch(type("Own", (nn.Linear,), {"forward": lambda self, x: x})(2, 2))
        False
    """
    return not _has_any_global_hook() and all(
        only_calls_layers(part) or (_is_torchs(type(part)) and not changed(part)) for part in module.modules()
    )


def _is_torchs(kind: type[nn.Module]) -> bool:
    """Whether a class is torch's own, and so are all its methods: nobody has replaced one."""
    methods = (value for value in vars(kind).values() if isinstance(value, FunctionType))
    return kind.__module__.startswith("torch.nn.modules.") and all(m.__module__.startswith("torch.") for m in methods)
