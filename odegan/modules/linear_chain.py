"""Recognize modules whose structure alone tells what they compute: linear layers and elementwise activations in sequence."""

from __future__ import annotations

from torch import nn

from odegan.modules.sequence import changed, only_calls_layers

# Each acts on every number alone.
ELEMENTWISE: frozenset[type[nn.Module]] = frozenset(
    {nn.ELU, nn.GELU, nn.Identity, nn.LeakyReLU, nn.ReLU, nn.SELU, nn.Sigmoid, nn.SiLU, nn.Softplus, nn.Tanh}
)


def is_linear_chain(module: nn.Module) -> bool:
    """Whether a module is an ``nn.Sequential`` of torch's own linear layers and activations, and nothing changes its calls.

    Examples:
        >>> is_linear_chain(nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 1)))
        True
        >>> is_linear_chain(nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.Linear(8, 1)))
        False
    """
    if not only_calls_layers(module):
        return False
    layers = list(module.children())
    # A layer that comes several times is a child once.
    plain = len(layers) == len(module._modules) and not any(map(changed, layers))
    return plain and any(map(_is_linear, layers)) and all(_is_linear(x) or _is_elementwise(x) for x in layers)


def _is_linear(layer: nn.Module) -> bool:
    # The exact class: a parametrized layer has a class of its own, and so has a user's variant.
    return type(layer) is nn.Linear


def _is_elementwise(layer: nn.Module) -> bool:
    return type(layer) in ELEMENTWISE and not getattr(layer, "inplace", False)
