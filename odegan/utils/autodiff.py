"""Vector-Jacobian products: by torch.func if something may transform or differentiate the result, else by autograd.

Both compute the same numbers with the same kernels. torch.func composes with vmap, jvp, grad and compile, but costs two to
three times as much per small operation, and a training step in eager mode under no_grad needs none of these.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch.autograd import forward_ad
from torch.utils._pytree import tree_map_only

from odegan.utils.checks import ArgumentError

Aux = TypeVar("Aux")  # a tree of tensors

# A private name: where a release lacks it, ``needs_transforms`` always answers yes, which is slower but right.
_transform_stack = getattr(torch._C._functorch, "peek_interpreter_stack", None)


# Per thread: a run in another thread must not be recorded because this one is inside a vjp.
class _Depth(threading.local):
    value = 0
    missing = False  # whether something that was to be differentiated had no graph


_depth = _Depth()


def vjp(
    func: Callable[..., tuple[torch.Tensor, Aux]], *points: torch.Tensor, aux_only: bool = False
) -> tuple[torch.Tensor, Callable[[torch.Tensor], Any], Aux]:
    """(value, vjp_fn, aux) of a function (*points) -> (value, aux), as ``torch.func.vjp`` returns them.

    vjp_fn(cotangent) is the gradient of <cotangent, value> with respect to the point, or the tuple of gradients if there are
    several points. Derivatives of an enclosing ``vjp`` flow through value and aux.

    Args:
        func: its value is a tensor, its aux any tree of tensors.
        points: the tensors with respect to which it is differentiated.
        aux_only: the next enclosing ``vjp`` does not differentiate this gradient, so that it need not be recorded unless one
            further out does.
    """
    one = len(points) == 1
    if needs_transforms():
        value, transpose, aux = torch.func.vjp(func, *points, has_aux=True)  # type: ignore[misc]
        return value, (lambda cotangent: transpose(cotangent)[0]) if one else transpose, aux
    nested = _depth.value > 0
    # Without an enclosing vjp nothing reads the graph of this gradient, and building it would double the memory.
    recorded = _depth.value > aux_only
    _depth.value += 1
    try:
        with torch.enable_grad():
            # A view where the point has a graph, else a leaf of a graph of its own.
            own = []
            for point in points:
                own.append(point.view_as(point) if point.requires_grad else point.detach().requires_grad_())
            value, aux = func(*own)
    finally:
        # Also after an error in func, or every later call would take itself for a nested one.
        _depth.value -= 1

    def vjp_fn(cotangent: torch.Tensor) -> Any:
        if not value.requires_grad:
            # Constant in the points, or detached by mistake: zero is right for the first, and ``missing_graph`` reports both.
            _depth.missing = True
            gradients = tuple(torch.zeros_like(point) for point in points)
        else:
            gradients = torch.autograd.grad(
                value, own, cotangent, retain_graph=nested or None, create_graph=recorded, materialize_grads=True
            )
        return gradients[0] if one else gradients

    if nested:
        return value, vjp_fn, aux
    # The caller asked for numbers: a result with a graph would keep the whole forward pass in memory.
    return value.detach(), vjp_fn, tree_map_only(torch.Tensor, torch.Tensor.detach, aux)


def gradient_and_value(
    func: Callable[[torch.Tensor], torch.Tensor], theta: torch.Tensor, name: str = "loss"
) -> tuple[torch.Tensor, torch.Tensor]:
    """(gradient, value) of a scalar function of theta, which an error calls ``name``."""

    def scalar(own: torch.Tensor) -> tuple[torch.Tensor, tuple[()]]:
        value = func(own)
        if not isinstance(value, torch.Tensor) or value.ndim:
            got = f"a value of shape {tuple(value.shape)}" if isinstance(value, torch.Tensor) else repr(value)
            raise ArgumentError(f"{name}: got {got}; it must be a scalar tensor")
        return value, ()

    value, vjp_fn, _ = vjp(scalar, theta)
    return vjp_fn(torch.ones_like(value)), value


def root(x: torch.Tensor) -> torch.Tensor:
    """The square root of x >= 0, with all derivatives 0 at 0."""
    # For a dead unit x is 0, and the root's infinite slope times x's zero slope would be NaN, even in an unselected branch of
    # where.
    at_zero = x == 0
    return torch.where(at_zero, 0.0, torch.where(at_zero, 1.0, x).sqrt())


def under_vmap() -> bool:
    """Whether the present computation runs under ``torch.vmap``."""
    stack = torch._C._functorch.get_interpreter_stack() or []
    return any(level.key() == torch._C._functorch.TransformType.Vmap for level in stack)


# A compiler enters vmap too while it traces, but cannot trace this. It is all that torch.compiler.assume_constant_result does,
# which imports torch's compiler, as long again as torch itself.
under_vmap._dynamo_marked_constant = True  # type: ignore[attr-defined]


def needs_transforms() -> bool:
    """Whether an outer transform, or an outer gradient, may see the present computation."""
    # A compiler traces torch.func's transforms, but not autograd.grad.
    if torch.compiler.is_compiling() or _transform_stack is None or _transform_stack() is not None:
        return True
    # Within a vjp grad mode is on because ``vjp`` itself set it, which says nothing about the caller.
    differentiable = torch.is_grad_enabled() and _depth.value == 0
    return differentiable or forward_ad._current_level >= 0


def missing_graph(reset: bool = False) -> bool:
    """Whether a value without a graph was differentiated since the last reset: its gradient was taken to be zero."""
    missing = _depth.missing
    if reset:
        _depth.missing = False
    return missing


def depth() -> int:
    """The number of enclosing calls of ``vjp``."""
    return _depth.value


def recorded() -> bool:
    """Whether an enclosing ``vjp`` differentiates the present computation."""
    return _depth.value > 0
