"""Refuse modules whose gradients torch.func and compilers see otherwise than autograd, because hooks change them."""

from __future__ import annotations

import torch

from odegan.modules.observed import forked
from odegan.modules.pure_module import PureModule
from odegan.modules.sequence import runs_as_torch
from odegan.modules.validate import RAISED, close
from odegan.utils.ambient import transforms_around
from odegan.utils.checks import ArgumentError

SAME = 1e-3  # of the largest gradient: hooks double, clip or reverse it, and low precision rounds


def refuse_hooked(module: PureModule, theta: torch.Tensor, x: torch.Tensor, *label: torch.Tensor) -> None:
    """Refuse a module whose gradients by autograd and by torch.func, for both players at once, differ.

    A hook that a forward pass puts on a tensor of its own is such a case: with two gradients inside each other, torch.func
    calls it at the wrong one, and a compiler not at all, so that a run, a spectrum and a compiled run would differ.

    Args:
        module: a module that was tried.
        theta: (n,), its parameters.
        x: (B, ...), its input.
        label: (B,), for a class-conditional module.

    Raises:
        ArgumentError: the gradients differ.
    """
    # torch's own layers put no hooks on tensors, and within torch.func there are no other gradients to compare with.
    if runs_as_torch(module.skeleton) or transforms_around() or not x.is_floating_point():
        return
    theta = theta.detach()
    x = x.detach()

    def output(own: torch.Tensor, given: torch.Tensor) -> torch.Tensor:
        return module.plain_network(own)(module.state(own), given, *label)

    try:
        with forked(x), torch.enable_grad():
            points = theta.clone().requires_grad_(), x.clone().requires_grad_()
            out = output(*points)
            cotangent = torch.linspace(1.0, 2.0, out.numel(), dtype=torch.float64).reshape(out.shape).to(out)
            known = torch.autograd.grad(out, points, cotangent, allow_unused=True, materialize_grads=True)

            def both(given: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
                value, pull = torch.func.vjp(lambda own: output(own, given), theta)  # type: ignore[misc]
                return value, pull(cotangent)[0]

            _, pull, of_theta = torch.func.vjp(both, x, has_aux=True)  # type: ignore[misc]
            found = of_theta, pull(cotangent)[0]
    except RAISED:  # the field itself will say so, where it needs what fails
        return
    if not all(close(a, b, SAME) for a, b in zip(found, known, strict=True)):
        raise ArgumentError(
            f"{module.role}: its forward pass changes gradients by hooks on tensors, which torch.func and compilers call "
            "otherwise than autograd; it must use a torch.autograd.Function, with setup_context() and generate_vmap_rule = True"
        )
