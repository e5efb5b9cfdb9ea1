"""Normalization in elementary operations, with exact derivatives of every order under every transform.

torch's fused layer, group, batch and instance norms silently give wrong third derivatives, and wrong second ones through an
inner vmap, because the saved mean and deviation count as constants (pytorch issues 175754 and 186256). Each function here has
the signature of torch's function of the same name.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn.utils.parametrizations import _WeightNorm

from odegan.utils.distributed import SharesMeans, sharing_ranks

Tensor = torch.Tensor
_HALVES = (torch.float16, torch.bfloat16)


def layer_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    cudnn_enable: bool = True,
) -> Tensor:
    """(x - mean) / sqrt(var + eps) over the last dimensions, given by ``normalized_shape``, then weight and bias."""
    # The result returns to the input's dtype, as torch's kernels do under autocast.
    axes = tuple(range(-len(normalized_shape), 0))
    return _affine(_standardized(input, axes, eps), weight, bias).to(input.dtype)


def rms_norm(
    input: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None, eps: float | None = None
) -> Tensor:
    """x / sqrt(mean x^2 + eps) over the last dimensions, times the weight."""
    wide = _wide(input)
    # The eps of the input's own dtype, as in torch, although the mean is taken in float32.
    square = (wide**2).mean(tuple(range(-len(normalized_shape), 0)), keepdim=True)
    scale = torch.rsqrt(square + (torch.finfo(input.dtype).eps if eps is None else eps))
    return _affine(wide * scale, weight, None).to(input.dtype)


def group_norm(
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    cudnn_enabled: bool = True,
) -> Tensor:
    """Normalize x (B, C, ...) over each group's channels and all positions; weight and bias are (C,)."""
    grouped = input.reshape(input.shape[0], num_groups, -1)
    out = _standardized(grouped, (-1,), eps).reshape(input.shape)
    return _affine(out, *_by_channel(input, weight, bias)).to(input.dtype)


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Normalize x (B, C, ...) with batch statistics if ``training``, else with the running ones, which are never updated.

    Where x is one rank's share of a batch, the statistics are those of the whole batch.
    """
    # A norm without running statistics uses the batch's in eval mode too.
    if training or running_mean is None or running_var is None:
        out = _standardized(input, (0, *range(2, input.ndim)), eps, sharing_ranks())
    else:
        out = _with_statistics(input, running_mean, running_var, eps)
    return _affine(out, *_by_channel(input, weight, bias)).to(input.dtype)


def instance_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Normalize x (B, C, ...) over each sample's positions, or with the running statistics, which are never updated."""
    if use_input_stats or running_mean is None or running_var is None:
        out = _standardized(input, tuple(range(2, input.ndim)), eps)
    else:
        out = _with_statistics(input, running_mean, running_var, eps)
    return _affine(out, *_by_channel(input, weight, bias)).to(input.dtype)


def native_layer_norm(
    input: Tensor, normalized_shape: Sequence[int], weight: Tensor | None, bias: Tensor | None, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """(layer_norm(x), the mean, 1 / sqrt(var + eps))."""
    axes = tuple(range(-len(normalized_shape), 0))
    return layer_norm(input, normalized_shape, weight, bias, eps), *_mean_and_scale(input, axes, eps, True)


def native_batch_norm(
    input: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """(batch_norm(x), the mean, 1 / sqrt(var + eps)), the last two empty with running statistics."""
    out = batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)
    if not training:
        return out, input.new_empty(0), input.new_empty(0)
    return out, *_mean_and_scale(input, (0, *range(2, input.ndim)), eps, False)


def native_group_norm(
    input: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    n: int,
    channels: int,
    positions: int,
    num_groups: int,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """(group_norm(x), the mean (n, num_groups), 1 / sqrt(var + eps))."""
    grouped = input.reshape(n, num_groups, -1)
    return group_norm(input, num_groups, weight, bias, eps), *_mean_and_scale(grouped, (-1,), eps, False)


def weight_norm(v: Tensor, g: Tensor, dim: int = 0) -> Tensor:
    """g v / |v|, with the norm over every dimension but ``dim`` (-1: over all).

    The second derivatives of torch's kernel are wrong, because it counts |v| as a constant.
    """
    rows = v.reshape(1, -1) if dim == -1 else v.movedim(dim, 0).reshape(v.shape[dim], -1)
    return v * (g / torch.linalg.vector_norm(rows, dim=1).reshape(g.shape))


class _SeenWeightNorm(_WeightNorm):
    """torch's, by the operator instead of ``torch._weight_norm``, which torch.compile does not pass on to modes."""

    def forward(self, weight_g: Tensor, weight_v: Tensor) -> Tensor:
        """g v / |v|, shaped as v."""
        return torch.ops.aten._weight_norm(weight_v, weight_g, self.dim)


def seen_by_compilers(module: nn.Module) -> nn.Module:
    """Let every weight norm of ``module`` call the operator; return the module."""
    for part in module.modules():
        if type(part) is _WeightNorm:
            part.__class__ = _SeenWeightNorm
    return module


def _mean_and_scale(x: Tensor, axes: tuple[int, ...], eps: float, keepdim: bool) -> tuple[Tensor, Tensor]:
    wide = _wide(x)
    return wide.mean(axes, keepdim), torch.rsqrt(wide.var(axes, correction=0, keepdim=keepdim) + eps)


def _standardized(x: Tensor, axes: tuple[int, ...], eps: float, ranks: SharesMeans | None = None) -> Tensor:
    wide = _wide(x)
    # Two passes: E x^2 - (E x)^2 cancels where the mean is large.
    centered = wide - _mean(wide, axes, ranks)
    return centered * torch.rsqrt(_mean(centered**2, axes, ranks) + eps)


def _mean(x: Tensor, axes: tuple[int, ...], ranks: SharesMeans | None) -> Tensor:
    mean = x.mean(axes, keepdim=True)
    return mean if ranks is None else ranks.differentiable_mean(mean)


def _with_statistics(x: Tensor, mean: Tensor, var: Tensor, eps: float) -> Tensor:
    shape = _channels(x)
    return (_wide(x) - mean.view(shape)) * torch.rsqrt(var.view(shape) + eps)


def _by_channel(x: Tensor, *parameters: Tensor | None) -> tuple[Tensor | None, ...]:
    return tuple(None if p is None else p.view(_channels(x)) for p in parameters)


def _channels(x: Tensor) -> tuple[int, ...]:
    return (-1, *(1,) * (x.ndim - 2))


def _affine(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    out = x if weight is None else x * weight
    return out if bias is None else out + bias


def _wide(x: Tensor) -> Tensor:
    """x in float32 at least, the precision in which torch's kernels accumulate."""
    return x.float() if x.dtype in _HALVES else x
