"""Two probes for couplings that outputs at one point do not show: NaN in one sample, and the backward pass."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch

from odegan.modules.validate import RAISED, close

SCALES = (1e-3, 1e3)  # of output gradients, for which a linear backward pass gives proportional results

Tensors = Sequence[torch.Tensor]
Forward = Callable[..., torch.Tensor]


@torch.no_grad()
def spreads_nan(forward: Forward, a: Tensors, b: Tensors, rounding: float) -> bool | None:
    """Whether NaN in one sample, the first or the last of [a; b], makes another sample's output NaN, even through a factor of
    zero; None if it cannot be told.
    """
    x, *label = _joined(a, b)
    if not x.is_floating_point():
        return None
    for bad, others in ((0, slice(1, None)), (-1, slice(-1))):
        poisoned = x.clone()
        poisoned[bad] = math.nan
        try:
            clean = forward(x, *label)
            found = forward(poisoned, *label)
        except RAISED:  # a module may well refuse NaN
            return None
        if (found[others].isnan() & ~clean[others].isnan()).any():
            return True
    return False


def differs_backward(forward: Forward, a: Tensors, b: Tensors, rounding: float) -> bool | None:
    """Whether the gradients in the input on [a; b] are not those on a and on b, or not linear in the output's gradient."""
    draw = torch.Generator().manual_seed(1)

    def pulled(inputs: Tensors, scale: float, cotangent: torch.Tensor) -> torch.Tensor:
        """The gradient in the input for ``scale`` times an output gradient, divided by the scale."""
        x = inputs[0].detach().requires_grad_()
        with torch.enable_grad():
            out = forward(x, *inputs[1:])
        given = scale * cotangent.reshape(out.shape)
        return torch.autograd.grad(out, x, given, allow_unused=True, materialize_grads=True)[0] / scale

    if not a[0].is_floating_point():
        return None
    try:
        with torch.no_grad():
            out = forward(*a)
        cotangents = torch.randn(2, *out.shape, generator=draw, dtype=torch.float64).to(out)
        whole = pulled(_joined(a, b), 1.0, torch.cat([*cotangents]) if out.ndim else cotangents)
        parts = [pulled(part, scale, c) for part, scale, c in zip((a, b), SCALES, cotangents, strict=True)]
    except RAISED:  # no gradient: the field itself will say so
        return None
    return bool(whole.isfinite().all()) and not close(torch.cat(parts), whole, rounding)


def _joined(a: Tensors, b: Tensors) -> list[torch.Tensor]:
    return [torch.cat(pair) for pair in zip(a, b, strict=True)]
