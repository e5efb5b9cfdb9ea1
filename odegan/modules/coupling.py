"""Decide whether a sample's output depends on the other samples of its batch."""

from __future__ import annotations

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

Forward = Callable[..., torch.Tensor]


def couples(
    module: PureModule, trial: Trial, theta: torch.Tensor, x: torch.Tensor, *label: torch.Tensor
) -> bool | None:
    """True, False, or None if unknown.

    A layer that normalizes with batch statistics couples, whether its class or the functions it calls show it. A probe at
    x (B, ...), with the labels (B,) of a class-conditional module, and at perturbed parameters and inputs, in float64 if the
    module supports it, can only add couplings.
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


def _verdicts(
    module: PureModule, theta: torch.Tensor, inputs: tuple[torch.Tensor, ...], rounding: float
) -> Iterator[bool | None]:
    draw = torch.Generator().manual_seed(0)

    def noise(like: torch.Tensor) -> torch.Tensor:
        return torch.randn(like.shape, generator=draw, dtype=torch.float64).to(like)

    size = theta.square().mean().sqrt() + 1e-3
    for k in range(POINTS):
        point = theta + k * PERTURBATION * size * noise(theta)
        network = module.plain_network(point)
        state = module.state(point)
        one, two = ([_other(x, noise) for x in inputs] for _ in range(2))
        yield _differs(lambda *given: network(state, *given), one, two, rounding)  # noqa: B023


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
def _differs(forward: Forward, a: Sequence[torch.Tensor], b: Sequence[torch.Tensor], rounding: float) -> bool | None:
    """Whether the output on a, or on a[:1], differs from that on [a; b]; None if the output is not finite."""
    try:
        both = forward(*(torch.cat(pair) for pair in zip(a, b, strict=True)))
        if not both.isfinite().all():
            return None
        pairs = [(forward(*part), both[: len(part[0])]) for part in (a, [x[:1] for x in a])]
    except RAISED:
        return True  # it accepts only some batch sizes
    return not all(own.numel() == cut.numel() and close(own.reshape(cut.shape), cut, rounding) for own, cut in pairs)
