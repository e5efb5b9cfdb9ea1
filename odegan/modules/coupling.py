"""Decide whether a sample's output depends on the other samples of its batch."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import torch

from odegan.modules.pure_module import PureModule
from odegan.modules.running_statistics import uses_batch_statistics
from odegan.modules.validate import RAISED, Trial, close

POINTS = 3  # probed pairs of parameters and inputs
PERTURBATION = (
    0.5  # of the parameters, relative to their size, so that a gain initialized to zero does not hide a coupling
)
# What rounding may change, relative to the largest output.
ROUNDING = {torch.float64: 1e-8, torch.float32: 1e-4}
SCALES = (1e-3, 1e3)  # of output gradients, for which a linear backward pass gives proportional results

Tensors = Sequence[torch.Tensor]
Forward = Callable[..., torch.Tensor]


def couples(
    module: PureModule, trial: Trial, theta: torch.Tensor, x: torch.Tensor, *label: torch.Tensor
) -> bool | None:
    """True, False, or None if unknown.

    A layer that normalizes with batch statistics couples, whether its class or the functions it calls show it. A probe at
    x (B, ...), with the labels (B,) of a class-conditional module, and at perturbed parameters and inputs, in float64 if the
    module supports it, can only add couplings. It probes the backward pass too, which hooks and custom functions may change:
    a backward pass that is not linear counts as a coupling, because batches cannot be divided then either.
    """
    if trial.batch_statistics or uses_batch_statistics(module.skeleton):
        return True
    theta = theta.detach()
    x = x.detach()
    dtype = torch.float64 if _runs(module, theta.double(), _cast(x, torch.float64), *label) else theta.dtype
    if dtype not in ROUNDING:
        return None
    verdicts = list(_verdicts(module, theta.to(dtype), (_cast(x, dtype), *label), ROUNDING[dtype]))
    known = [verdict for verdict in verdicts if verdict is not None]
    return any(known) if known else None


def _verdicts(module: PureModule, theta: torch.Tensor, inputs: Tensors, rounding: float) -> Iterator[bool | None]:
    draw = torch.Generator().manual_seed(0)

    def noise(like: torch.Tensor) -> torch.Tensor:
        return torch.randn(like.shape, generator=draw, dtype=torch.float64).to(like)

    def at(point: torch.Tensor) -> Forward:
        state = module.state(point)
        return lambda *given: module.plain_network(point)(state, *given)

    size = theta.square().mean().sqrt() + 1e-3
    for k in range(POINTS):
        point = theta + k * PERTURBATION * size * noise(theta)
        one, two = ([_other(x, noise) for x in inputs] for _ in range(2))
        yield _differs(at(point), one, two, rounding)
        if k == 0:
            yield _spreads(at(point), one, two)
        else:
            yield _differs_backward(at, point, one, two, noise, rounding)


def _other(x: torch.Tensor, noise: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
    """Other inputs with x's mean and spread; integers are only permuted."""
    return x + (x.std(correction=0) + 0.1) * noise(x) if x.is_floating_point() else x.roll(1, 0)


def _cast(x: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    return x.to(dtype) if x.is_floating_point() else x


@torch.no_grad()
def _runs(module: PureModule, theta: torch.Tensor, *inputs: torch.Tensor) -> bool:
    try:
        return bool(module.plain_network(theta)(module.state(theta), *inputs).dtype == theta.dtype)
    except RAISED:
        return False


@torch.no_grad()
def _differs(forward: Forward, a: Tensors, b: Tensors, rounding: float) -> bool | None:
    """Whether the output on a, b or a[:1] differs from that on [a; b]; None if the output is not finite."""
    n = len(a[0])
    try:
        both = forward(*_joined(a, b))
        if not both.isfinite().all():
            return None
        pairs = [(forward(*a), both[:n]), (forward(*b), both[n:]), (forward(*(x[:1] for x in a)), both[:1])]
    except RAISED:
        return True  # it accepts only some batch sizes
    return not all(own.numel() == cut.numel() and close(own.reshape(cut.shape), cut, rounding) for own, cut in pairs)


@torch.no_grad()
def _spreads(forward: Forward, a: Tensors, b: Tensors) -> bool | None:
    """Whether NaN in one sample, the first or the last of [a; b], makes another sample's output NaN, even through a factor of
    zero.
    """
    x, *label = _joined(a, b)
    if not x.is_floating_point():
        return None
    for bad, others in ((0, slice(1, None)), (-1, slice(-1))):
        poisoned = x.clone()
        poisoned[bad] = math.nan
        try:
            clean, found = forward(x, *label), forward(poisoned, *label)
        except RAISED:  # a module may well refuse NaN
            return None
        if (found[others].isnan() & ~clean[others].isnan()).any():
            return True
    return False


def _differs_backward(
    at: Callable[[torch.Tensor], Forward],
    point: torch.Tensor,
    a: Tensors,
    b: Tensors,
    noise: Callable[[torch.Tensor], torch.Tensor],
    rounding: float,
) -> bool | None:
    """Whether the gradients on [a; b] are not made of those on a and on b, or not linear in the output's gradient."""

    def pulled(inputs: Tensors, scale: float, cotangent: torch.Tensor | None = None) -> tuple[Tensors, torch.Tensor]:
        """(gradients in the parameters and the input, the output's gradient), all divided by the scale."""
        theta, x = (t.detach().requires_grad_(t.is_floating_point()) for t in (point, inputs[0]))
        with torch.enable_grad():
            out = at(theta)(x, *inputs[1:])
        given = noise(out) if cotangent is None else cotangent.reshape(out.shape)
        wanted = [t for t in (theta, x) if t.requires_grad]
        gradients = torch.autograd.grad(out, wanted, scale * given, allow_unused=True, materialize_grads=True)
        return [g / scale for g in gradients], given

    try:
        (of_both, *by_sample), given = pulled(_joined(a, b), 1.0)
        first, last = given.reshape(2, -1)
        (of_a, *by_a), _ = pulled(a, SCALES[0], first)
        (of_b, *by_b), _ = pulled(b, SCALES[1], last)
    except RAISED:  # no gradient: the field itself will say so
        return None
    if not of_both.isfinite().all():
        return None
    pairs = [
        (of_a + of_b, of_both),
        *((torch.cat(parts), whole) for *parts, whole in zip(by_a, by_b, by_sample, strict=True)),
    ]
    return not all(close(own, whole, rounding) for own, whole in pairs)


def _joined(a: Tensors, b: Tensors) -> list[torch.Tensor]:
    return [torch.cat(pair) for pair in zip(a, b, strict=True)]
