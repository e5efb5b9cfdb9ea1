"""Parameters and buffers of the user's own module, read as one flat tensor and written in place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from odegan.modules.pure_module import PureModule
from odegan.utils.checks import ArgumentError


def read(pure: PureModule, module: nn.Module) -> torch.Tensor:
    """theta (n,): the present values of the parameters that ``pure``, which was made from ``module``, trains."""
    return torch.cat([parameter.detach().reshape(-1) for parameter in _trained(pure, module)])


def read_buffers(pure: PureModule, module: nn.Module) -> dict[str, torch.Tensor]:
    """The module's present u and v of spectral norm, by their keys in a batch's buffers."""
    buffers = dict(module.named_buffers())
    return {key: buffers[name].detach().clone() for name, key in pure.moving.items()}


@torch.no_grad()
def write(pure: PureModule, module: nn.Module, theta: torch.Tensor, buffers: Mapping[str, torch.Tensor]) -> None:
    """Copy theta (n,) and the u and v of spectral norm into the module's own tensors."""
    for parameter, value in zip(_trained(pure, module), theta.split(pure.sizes), strict=True):
        parameter.copy_(value.view_as(parameter))
    own = dict(module.named_buffers())
    for name, key in pure.moving.items():
        own[name].copy_(buffers[key])


@contextmanager
def only_tracking(module: nn.Module, norms: list[_NormBase]) -> Iterator[None]:
    """A context in which these norms are in train mode and all other parts in eval mode, where a pass changes nothing."""
    modes = {part: part.training for part in module.modules()}
    module.eval()
    for norm in norms:
        norm.training = True
    try:
        with torch.no_grad():
            yield
    finally:
        for part, mode in modes.items():
            part.training = mode


def _trained(pure: PureModule, module: nn.Module) -> list[nn.Parameter]:
    own = dict(module.named_parameters(remove_duplicate=False))
    found = [own.get(name) for name in pure.names]
    for name, shape, parameter in zip(pure.names, pure.shapes, found, strict=True):
        if parameter is None or parameter.shape != shape:
            got = "none" if parameter is None else tuple(parameter.shape)
            raise ArgumentError(
                f"{pure.role}: got {got} for its parameter {name!r}; it must be {tuple(shape)}, as it was given"
            )
    return [parameter for parameter in found if parameter is not None]
