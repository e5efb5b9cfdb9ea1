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

from odegan.checks import ArgumentError

_transform_stack = getattr(torch._C._functorch, "peek_interpreter_stack", None)


class _Depth(threading.local):
    value = 0


_depth = _Depth()


def pullback(
    func: Callable[[torch.Tensor], Any], theta: torch.Tensor, *, aux_only: bool = False
) -> tuple[Any, Any, Any]:
    """(value, pull, aux) of a function theta -> (value, aux): pull(cotangent) is the gradient of <cotangent, value>.

    value is a tensor; aux anything, and derivatives of an enclosing pullback flow through both. ``aux_only`` says that the
    next enclosing pullback does not differentiate the gradient, so that it need not be recorded unless one further out does.
    """
    if needs_transforms():
        value, transpose, aux = vjp(func, theta, has_aux=True)  # type: ignore[misc]
        return value, lambda cotangent: transpose(cotangent)[0], aux
    nested, recorded = _depth.value > 0, _depth.value > aux_only
    _depth.value += 1
    try:
        with torch.enable_grad():
            own = theta.view_as(theta) if theta.requires_grad else theta.detach().requires_grad_()
            value, aux = func(own)
    finally:
        _depth.value -= 1

    def pull(cotangent: torch.Tensor) -> torch.Tensor:
        if not value.requires_grad:
            return torch.zeros_like(theta)
        (gradient,) = torch.autograd.grad(
            value, own, cotangent, retain_graph=nested or None, create_graph=recorded, allow_unused=True
        )
        return torch.zeros_like(theta) if gradient is None else gradient

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


def _detached(aux: Any) -> Any:
    return torch.utils._pytree.tree_map(lambda x: x.detach() if isinstance(x, torch.Tensor) else x, aux)
