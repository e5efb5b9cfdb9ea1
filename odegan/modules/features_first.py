"""Layers in sequence on inputs with features in rows and samples in columns, where compiled steps on a CPU are faster so."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

# Each acts on every number alone, and so on a transposed input as well.
_ELEMENTWISE: frozenset[type[nn.Module]] = frozenset(
    {nn.ELU, nn.GELU, nn.Identity, nn.LeakyReLU, nn.ReLU, nn.SELU, nn.Sigmoid, nn.SiLU, nn.Softplus, nn.Tanh}
)

# For wider layers W X^T was not measured; MKL's rate of X W^T rises with the width.
WIDEST = 64


def applies(module: nn.Module) -> bool:
    """Whether ``run`` computes this module: thin linear layers and elementwise activations of torch's own, in sequence."""
    if type(module).forward is not nn.Sequential.forward:
        return False
    layers = list(module.children())
    linear = [layer for layer in layers if type(layer) is nn.Linear]
    others = [layer for layer in layers if type(layer) is not nn.Linear]
    thin = all(max(layer.in_features, layer.out_features) <= WIDEST for layer in linear)
    # One that comes several times is a child once.
    plain = len(layers) == len(module._modules) and not any(map(_changed, [module, *layers]))
    return bool(linear) and thin and plain and all(map(_is_elementwise, others))


def _is_elementwise(layer: nn.Module) -> bool:
    return type(layer) in _ELEMENTWISE and not getattr(layer, "inplace", False)


def _changed(layer: nn.Module) -> bool:
    """Whether a call of this layer does something else than its class says."""
    hooks = (layer._forward_hooks, layer._forward_pre_hooks, layer._backward_hooks, layer._backward_pre_hooks)
    return any(hooks) or "forward" in vars(layer)


def pays(x: torch.Tensor) -> bool:
    """Whether an input (B, n) of a compiled step is on a device where this is faster."""
    return x.device.type == "cpu" and x.ndim == 2


def run(module: nn.Module, state: Mapping[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """The output (B, m) on an input (B, n), with the parameters in ``state``: z = W x^T + b for every linear layer.

    W (25 x 25) times x^T (25 x 512) takes two thirds of the time of x W^T. All layers have to follow one another in this
    form: a transposition between two of them costs more than the product gains.
    """
    x = x.T
    for name, layer in module.named_children():
        if type(layer) is nn.Linear:
            bias = state.get(f"{name}.bias")
            x = state[f"{name}.weight"] @ x
            x = x if bias is None else x + bias[:, None]
        else:
            x = layer(x)
    return x.T
