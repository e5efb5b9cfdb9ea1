"""Normalisation: layers exact at every order, which statistics a module uses, and where the running ones come from."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from odegan.utils.autodiff import needs_transforms


def use_batch_statistics(module: nn.Module) -> nn.Module:
    """Make every normalisation of ``module`` use batch statistics, in train and eval mode; returns it."""
    for norm in _instances(module, _NormBase):
        norm.track_running_stats = False
        norm.running_mean = norm.running_var = norm.num_batches_tracked = None
    return module


class _LayerNorm(nn.LayerNorm):
    """The same layer, in elementary operations where more than the second derivative may be taken."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not needs_transforms():
            return super().forward(x)
        out = _normalised(x, tuple(range(-len(self.normalized_shape), 0)), self.eps)
        out = out if self.weight is None else out * self.weight
        return out if self.bias is None else out + self.bias


def _on_batch_statistics(base: Any, axes: Any) -> Any:
    class Exact(base):
        """The same layer, on the statistics of what it sees; see ``_LayerNorm``."""

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if not needs_transforms():
                return super().forward(x)
            self._check_input_dim(x)
            out = _normalised(x, axes(x), self.eps)
            if self.weight is None:
                return out
            shape = (-1, *([1] * (x.ndim - 2)))
            return out * self.weight.view(shape) + self.bias.view(shape)

    return Exact


def _normalised(x: torch.Tensor, axes: tuple[int, ...], eps: float) -> torch.Tensor:
    x = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x  # as under autocast
    centred = x - x.mean(axes, keepdim=True)
    return centred * torch.rsqrt((centred**2).mean(axes, keepdim=True) + eps)


_BATCH, _INSTANCE = (
    (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d),
    (nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d),
)
_EXACT: dict[type, type] = {nn.LayerNorm: _LayerNorm}
_EXACT |= {kind: _on_batch_statistics(kind, lambda x: (0, *range(2, x.ndim))) for kind in _BATCH}
_EXACT |= {kind: _on_batch_statistics(kind, lambda x: tuple(range(2, x.ndim))) for kind in _INSTANCE}


def use_exact_norms(module: nn.Module) -> nn.Module:
    """Make layer, batch and instance normalisations right at every order, where they use batch statistics; returns the module.

    torch differentiates its fused ones wrongly from the third derivative on, and from the second through an inner vmap,
    silently: the saved mean and deviation count as constants (pytorch issues 175754 and 186256).
    """
    for part in module.modules():
        part.__class__ = _EXACT.get(type(part), type(part))
    return module


def has_running_statistics(module: nn.Module) -> bool:
    """Whether some normalisation of ``module`` keeps running statistics."""
    return any(norm.running_mean is not None for norm in _instances(module, _NormBase))


@torch.no_grad()
def estimate_statistics(module: nn.Module, inputs: list[torch.Tensor], keep: bool = False) -> list[torch.Tensor]:
    """Set running statistics to the plain average over the inputs; returns the outputs, under batch statistics, if they are to
    be kept.
    """
    norms = [part for part in module.modules() if getattr(part, "running_mean", None) is not None]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()  # type: ignore[operator]
        norm.momentum = None  # type: ignore[assignment]
        norm.train()
    outputs = []
    for x in inputs:
        out = module(x)
        if keep:
            outputs.append(out)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    return outputs


def estimate_both(
    generator: nn.Module, discriminator: nn.Module, batches: list[tuple[torch.Tensor, torch.Tensor]]
) -> None:
    """Running statistics over (real, latent): the discriminator's are of the real and of the generated samples."""
    modes = {part: part.training for part in chain(generator.modules(), discriminator.modules())}
    judged = has_running_statistics(discriminator)
    fakes = estimate_statistics(generator, [latent for _, latent in batches], keep=judged)
    if judged:
        seen = [x for (real, _), fake in zip(batches, fakes, strict=True) for x in (real, fake)]
        estimate_statistics(discriminator, seen)
    for part, mode in modes.items():
        part.training = mode


def _instances(module: nn.Module, kind: Any) -> Iterator[Any]:
    return (part for part in module.modules() if isinstance(part, kind))
