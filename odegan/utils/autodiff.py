"""Pullbacks: torch.func's where something may transform or differentiate the result, plain autograd's where nothing can.

Both compute the same numbers with the same kernels. torch.func composes with vmap, jvp, grad and compile, at two to three
times the cost per small operation; a training step in eager mode under no_grad needs none of that.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import torch
from torch.autograd import forward_ad
from torch.func import vjp

from odegan.utils.checks import ArgumentError

_transform_stack = getattr(torch._C._functorch, "peek_interpreter_stack", None)


class _Depth(threading.local):
    value = 0


_depth = _Depth()


def pullback(func: Callable[..., Any], *points: torch.Tensor, aux_only: bool = False) -> tuple[Any, Any, Any]:
    """(value, pull, aux) of a function (*points) -> (value, aux): pull(cotangent) is the gradient of <cotangent, value> in the
    point, or a tuple of those in each point where there are several.

    value is a tensor; aux anything, and derivatives of an enclosing pullback flow through both. ``aux_only`` says that the
    next enclosing pullback does not differentiate the gradient, so that it need not be recorded unless one further out does.
    """
    one = len(points) == 1
    if needs_transforms():
        value, transpose, aux = vjp(func, *points, has_aux=True)  # type: ignore[misc]
        return value, lambda cotangent: transpose(cotangent)[0] if one else transpose(cotangent), aux
    nested, recorded = _depth.value > 0, _depth.value > aux_only
    _depth.value += 1
    try:
        with torch.enable_grad():
            own = [p.view_as(p) if p.requires_grad else p.detach().requires_grad_() for p in points]
            value, aux = func(*own)
    finally:
        _depth.value -= 1

    def pull(cotangent: torch.Tensor) -> Any:
        if not value.requires_grad:
            gradients: Any = [None] * len(points)
        else:
            gradients = torch.autograd.grad(
                value, own, cotangent, retain_graph=nested or None, create_graph=recorded, allow_unused=True
            )
        filled = [torch.zeros_like(p) if g is None else g for p, g in zip(points, gradients, strict=True)]
        return filled[0] if one else tuple(filled)

    return (value, pull, aux) if nested else (value.detach(), pull, _detached(aux))


def gradient_and_value(func: Callable[[torch.Tensor], torch.Tensor], theta: torch.Tensor) -> tuple[Any, Any]:
    """(gradient, value) of a scalar function of theta."""
    value, pull, _ = pullback(lambda own: (func(own), ()), theta)
    if value.ndim:
        raise ArgumentError(f"loss: got a value of shape {tuple(value.shape)}; it must be a scalar")
    return pull(torch.ones_like(value)), value


def under_vmap() -> bool:
    """Whether ``torch.vmap`` maps what we compute."""
    stack = torch._C._functorch.get_interpreter_stack() or []
    return any(level.key() == torch._C._functorch.TransformType.Vmap for level in stack)


def needs_transforms() -> bool:
    """Whether anything outside may transform or differentiate what we compute."""
    if torch.compiler.is_compiling() or _transform_stack is None or _transform_stack() is not None:
        return True
    differentiable = torch.is_grad_enabled() and _depth.value == 0
    return differentiable or forward_ad._current_level >= 0


def recorded() -> bool:
    """Whether an enclosing pullback differentiates what we compute."""
    return _depth.value > 0


def _detached(aux: Any) -> Any:
    return torch.utils._pytree.tree_map(lambda x: x.detach() if isinstance(x, torch.Tensor) else x, aux)


def depth() -> int:
    """How many pullbacks enclose what we compute."""
    return _depth.value
