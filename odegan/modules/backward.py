"""Refuse modules whose gradients torch.func and compilers see otherwise than autograd, because hooks change them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence

import torch
from torch.overrides import TorchFunctionMode
from torch.utils.hooks import RemovableHandle

from odegan.modules.observed import forked
from odegan.modules.pure_module import PureModule
from odegan.modules.sequence import runs_as_torch
from odegan.modules.validate import RAISED, close
from odegan.utils.ambient import transforms_around
from odegan.utils.checks import ArgumentError

FEW = 4  # samples that show what a hook does; a forward pass that does not take so few gets the whole batch
SAME = 1e-3  # of the largest gradient of a tensor: hooks double, clip or reverse it, and low precision rounds
# Roundings of the largest gradient of all: a tensor's own may consist of them, as that of a bias before a norm.
NOISE = 1e3
SCALES = (1e-8, 1.0, 1e8)  # of the output's gradient: a hook may drop small gradients, or clip large ones

Tensors = Sequence[torch.Tensor]
Output = Callable[..., torch.Tensor]


def refuse_hooked(module: PureModule, theta: torch.Tensor, x: torch.Tensor, *label: torch.Tensor) -> None:
    """Refuse a module that changes gradients by hooks on tensors of its own.

    With two gradients inside each other, torch.func calls such a hook at the wrong one, and a compiler not at all, so that a
    run, a spectrum and a compiled run would differ. A hook that only looks at gradients is accepted.

    Args:
        module: a module that was tried.
        theta: (n,), its parameters.
        x: (B, ...), its input.
        label: (B,), for a class-conditional module.

    Raises:
        ArgumentError: gradients with the hooks differ from those without them, or from those by torch.func.
    """
    # torch's own layers put no hooks on tensors, and within torch.func there are no other gradients to compare with.
    if runs_as_torch(module.skeleton) or transforms_around():
        return
    inputs = [part.detach() for part in (x, *label)]
    # In float64 where the module can: rounding is then far from what a hook does.
    for dtype in dict.fromkeys((torch.float64, theta.dtype)):
        wide = [part.to(dtype) if part.is_floating_point() else part for part in inputs]
        for given in ([part[:FEW] for part in wide], wide):
            try:
                changes = _changes(module, theta.detach().to(dtype), *given)
            except RAISED:  # the field itself will say so, where it needs what fails
                continue
            if changes:
                raise ArgumentError(
                    f"{module.role}: its forward pass changes gradients by hooks on tensors, which torch.func and "
                    "compilers call otherwise than autograd; it must use a torch.autograd.Function, with setup_context() "
                    "and generate_vmap_rule = True"
                )
            return


class _Hooks(TorchFunctionMode):
    """A context that sees whether a hook on a tensor is registered (``asked``), and can leave it out."""

    def __init__(self, register: bool) -> None:
        super().__init__()
        self.register = register
        self.asked = False

    def __torch_function__(
        self,
        func: Callable[..., object],
        types: object,
        args: Sequence[object] = (),
        kwargs: dict[str, object] | None = None,
    ) -> object:
        """Make the call of ``func``, unless it registers a hook that is to be left out."""
        hooks = func is torch.Tensor.register_hook
        self.asked = self.asked or hooks
        return func(*args, **(kwargs or {})) if self.register or not hooks else RemovableHandle(OrderedDict())


def _changes(module: PureModule, theta: torch.Tensor, x: torch.Tensor, *label: torch.Tensor) -> bool:
    """Whether autograd's gradients differ from those without hooks on tensors, at some scale, or from those by torch.func."""

    def output(own: torch.Tensor, given: torch.Tensor) -> torch.Tensor:
        return module.plain_network(own)(module.state(own), given, *label)

    def by_autograd(register: bool, scales: Sequence[float]) -> tuple[list[Tensors], bool]:
        with _Hooks(register) as hooks:
            return _by_autograd(output, theta, x, scales), hooks.asked

    with forked(x), torch.enable_grad():
        (known,), asked = by_autograd(True, [1.0])
        if asked:
            with_hooks, without = (by_autograd(register, SCALES)[0] for register in (True, False))
            noise = NOISE * torch.finfo(theta.dtype).eps
            if not all(_close(module, *pair, noise) for pair in zip(with_hooks, without, strict=True)):
                return True
        # Hooks on the nodes of a graph do not show in a mode, but in torch.func. Without a gradient in x nothing is nested.
        by_func = _by_func(output, theta, x) if x.is_floating_point() else known
        # In torch.func's other order even a module in float64 may compute in float32.
        return not _close(module, by_func, known, NOISE * torch.finfo(torch.float32).eps)


def _close(module: PureModule, found: Tensors, known: Tensors, noise: float) -> bool:
    """Whether gradients with respect to the parameters and the input are the same, tensor by tensor.

    noise: of the largest gradient of all, to which a tensor's own gradient may be small.
    """
    largest = max(float(one.abs().max()) for one in known if one.numel())
    parts = ((*gradients[0].split(module.sizes), *gradients[1:]) for gradients in (found, known))
    return all(close(a, b, SAME, min(noise / SAME, 1.0) * largest) for a, b in zip(*parts, strict=True))


def _cotangent(out: torch.Tensor) -> torch.Tensor:
    """A gradient of the output with another number for every entry."""
    return torch.linspace(1.0, 2.0, out.numel(), dtype=torch.float64).reshape(out.shape).to(out)


def _by_autograd(output: Output, theta: torch.Tensor, x: torch.Tensor, scales: Sequence[float]) -> list[Tensors]:
    """Gradients in theta, and in x where it has one, for output gradients of these scales; divided by the scale."""
    points = [t.clone().requires_grad_(t.is_floating_point()) for t in (theta, x)]
    out = output(*points)
    wanted = [t for t in points if t.requires_grad]
    found: list[Tensors] = []
    for scale in scales:
        cotangent = scale * _cotangent(out)
        options = {"retain_graph": True, "allow_unused": True, "materialize_grads": True}
        found.append([gradient / scale for gradient in torch.autograd.grad(out, wanted, cotangent, **options)])
    return found


def _by_func(output: Output, theta: torch.Tensor, x: torch.Tensor) -> Tensors:
    """The gradients by torch.func, that in theta inside of that in x, as where one pass serves both players."""

    def both(given: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        value, pull = torch.func.vjp(lambda own: output(own, given), theta)  # type: ignore[misc]
        return value, pull(_cotangent(value))[0]

    value, pull, of_theta = torch.func.vjp(both, x, has_aux=True)  # type: ignore[misc]
    return of_theta, pull(_cotangent(value))[0]
