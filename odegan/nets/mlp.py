"""Fully connected networks, and ODE-GAN's pair for the mixture of 16 Gaussians."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

from torch import nn

from odegan.nets.network import Network
from odegan.utils.checks import argument_error


class MLP(Network):
    """x -> W_L a(... a(W_1 x + b_1) ...) + b_L: linear layers with an activation after all but the last.

    Args:
        sizes: the widths (n_0, ..., n_L), input first.
        activation: makes one activation layer.

    Shapes: (..., n_0) -> (..., n_L). Weights are truncated normal (see ``truncated_normal_``), biases 0.

    Examples:
        >>> import torch
        >>> MLP((32, 25, 25, 2))(torch.zeros(512, 32)).shape
        torch.Size([512, 2])
    """

    def __init__(self, sizes: Sequence[int], activation: Callable[[], nn.Module] = nn.ReLU) -> None:
        allowed = "at least two positive widths, the input's first"
        if not isinstance(sizes, Sequence) or len(sizes) < 2:
            argument_error("sizes", sizes, allowed)
        if not all(isinstance(n, int) and n > 0 for n in sizes):
            argument_error("sizes", tuple(sizes), allowed)
        if not callable(activation) or isinstance(activation, nn.Module):
            argument_error("activation", activation, "a function that makes a layer, such as torch.nn.ReLU")
        layers: list[nn.Module] = []
        for n_in, n_out in pairwise(sizes):
            # A new activation each time, since it may have parameters, as PReLU does.
            layers += [nn.Linear(n_in, n_out), activation()]
        # No activation after the last layer.
        super().__init__(*layers[:-1])


def mog16() -> tuple[MLP, MLP]:
    """ODE-GAN's ReLU networks for the mixture of 16 Gaussians: generator 32-25-25-2, discriminator 2-25-25-1.

    The generator maps latents (B, 32) ~ N(0, I) to points (B, 2), the discriminator points to logits (B, 1).

    Source: Qin et al. 2020 (ODE-GAN), the authors' mixture notebook.

    Examples:
        >>> import torch
        >>> generator, discriminator = mog16()
        >>> discriminator(generator(torch.zeros(5, 32))).shape
        torch.Size([5, 1])
    """
    return MLP((32, 25, 25, 2)), MLP((2, 25, 25, 1))
