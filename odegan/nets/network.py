"""The base class of the networks: layers in sequence, with an initialization that can be repeated."""

from __future__ import annotations

from typing import ClassVar, Protocol

from torch import nn

from odegan.nets.init import truncated_normal_


class Initializer(Protocol):
    """A function that draws all parameters of a module in place, from torch's global generator, and returns the module."""

    def __call__(self, module: nn.Module, /) -> nn.Module: ...


class Network(nn.Sequential):
    """Layers in sequence. ``initialize`` draws their parameters: at construction, and again in ``reset_parameters``.

    It is ODE-GAN's ``truncated_normal_`` unless a subclass sets another ``Initializer``.

    Args:
        layers: modules, called one after the other.

    Examples:
        >>> import torch
        >>> Network(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 2))(torch.zeros(5, 8)).shape
        torch.Size([5, 2])
    """

    # A static method: as a plain attribute the function would be bound, and get the module twice.
    initialize: ClassVar[Initializer] = staticmethod(truncated_normal_)

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__(*layers)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all parameters again from torch's global generator."""
        self.initialize(self)
