"""Decide whether a sample's output depends on the other samples of its batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch

from odegan.modules.coupling_probes import differs_backward, spreads_nan
from odegan.modules.forward import Network
from odegan.modules.pure_module import PureModule
from odegan.modules.running_statistics import uses_batch_statistics
from odegan.modules.validate import RAISED, Trial, close
from odegan.utils.distributed import sharing

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
    module supports it, can only add couplings. It probes the backward pass too, which hooks and custom functions may change:
    a backward pass that is not linear counts as a coupling, because batches cannot be divided then either.
    """
    if trial.batch_statistics or uses_batch_statistics(module.skeleton):
        return True
    found = _probed(module, theta, (x, *label), module.plain_network, _differs)
    for differs in () if found is not False else (spreads_nan, differs_backward):
        found = found or bool(_probed(module, theta, (x, *label), module.plain_network, differs))
    return found


def couples_beyond_norms(module: PureModule, theta: torch.Tensor, x: torch.Tensor, *label: torch.Tensor) -> bool | None:
    """Whether a half of a batch has another output than within the whole, although its batch norms use means over both halves,
    as those of processes that share a batch do. True also of a norm over anything but the whole batch.
    """
    return _probed(module, theta, (x, *label), module.network, _differs_in_halves)


def _probed(
    module: PureModule,
    theta: torch.Tensor,
    inputs: tuple[torch.Tensor, ...],
    network_at: Callable[[torch.Tensor], Network],
    differs: Callable[[Forward, Sequence[torch.Tensor], Sequence[torch.Tensor], float], bool | None],
) -> bool | None:
    """The verdict of ``differs`` on two batches of other inputs, at several points."""
    theta = theta.detach()
    inputs = tuple(x.detach() for x in inputs)
    wide = [_cast(x, torch.float64) for x in inputs]
    dtype = torch.float64 if _runs(module, theta.double(), *wide) else theta.dtype
    if dtype not in ROUNDING:
        return None
    draw = torch.Generator().manual_seed(0)

    def noise(like: torch.Tensor) -> torch.Tensor:
        return torch.randn(like.shape, generator=draw, dtype=torch.float64).to(like)

    size = theta.square().mean().sqrt() + 1e-3
    verdicts = []
    for k in range(POINTS):
        point = theta.to(dtype) + k * PERTURBATION * size * noise(theta.to(dtype))
        forward = partial(network_at(point), module.state(point))
        one, two = ([_other(_cast(x, dtype), noise) for x in inputs] for _ in range(2))
        verdicts.append(differs(forward, one, two, ROUNDING[dtype]))
    known = [verdict for verdict in verdicts if verdict is not None]
    return any(known) if known else None


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
    """Whether the output on a, b or a[:1] differs from that on [a; b]; None if the output is not finite."""
    n = len(a[0])
    try:
        both = forward(*(torch.cat(pair) for pair in zip(a, b, strict=True)))
        if not both.isfinite().all():
            return None
        pairs = [(forward(*a), both[:n]), (forward(*b), both[n:]), (forward(*(x[:1] for x in a)), both[:1])]
    except RAISED:
        return True  # it accepts only some batch sizes
    return not all(own.numel() == cut.numel() and close(own.reshape(cut.shape), cut, rounding) for own, cut in pairs)


class _Rehearsal:
    """In the place of ``Ranks``, one of two halves of a batch: its own means are kept, and those of the whole are returned."""

    def __init__(self, whole: Sequence[torch.Tensor] | None = None) -> None:
        self.whole = whole
        self.own: list[torch.Tensor] = []

    def differentiable_mean(self, x: torch.Tensor) -> torch.Tensor:
        self.own.append(x)
        return x if self.whole is None else self.whole[len(self.own) - 1]


@torch.no_grad()
def _differs_in_halves(
    forward: Forward, a: Sequence[torch.Tensor], b: Sequence[torch.Tensor], rounding: float
) -> bool | None:
    """Whether the outputs on a and on b differ from those on [a; b] with the statistics of the latter, or these statistics from
    the means of both halves'; None if an output is not finite.
    """
    whole = _Rehearsal()
    try:
        with sharing(whole):
            both = forward(*(torch.cat(pair) for pair in zip(a, b, strict=True)))
        if not both.isfinite().all():
            return None
        halves = _Rehearsal(whole.own), _Rehearsal(whole.own)
        found = []
        for half, given in zip(halves, (a, b), strict=True):
            with sharing(half):
                found.append(forward(*given))
        means = [(one + two) / 2 for one, two in zip(*(half.own for half in halves), strict=True)]
        same = all(close(mean, of_whole, rounding) for mean, of_whole in zip(means, whole.own, strict=True))
    except RAISED:
        return True
    return not (same and close(torch.cat(found), both, rounding))
