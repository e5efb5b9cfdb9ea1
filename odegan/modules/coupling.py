"""Decide whether a sample's output depends on the other samples of its batch."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import torch

from odegan.modules.classes import classes_taken
from odegan.modules.exact import Narrowings
from odegan.modules.forward import Network
from odegan.modules.other_inputs import Noise, Tensors, two_batches
from odegan.modules.per_sample import is_per_sample
from odegan.modules.pure_module import PureModule
from odegan.modules.running_statistics import uses_batch_statistics
from odegan.modules.validate import RAISED, Trial, close
from odegan.utils.distributed import sharing

POINTS = 3  # probed pairs of parameters and inputs
BACKWARD = 1  # the point whose backward passes are tried, which take longer than everything else
PERTURBATION = 0.5  # of the parameters, relative to their size: a gain initialized to zero must not hide a coupling
# What rounding may change, relative to the largest output.
ROUNDING: dict[torch.dtype | None, float] = {torch.float64: 1e-8, torch.float32: 1e-4}
SCALES = (1e-3, 1e3)  # of output gradients, for which a linear backward pass gives proportional results

Forward = Callable[..., torch.Tensor]


def couples(
    module: PureModule, trial: Trial, theta: torch.Tensor, x: torch.Tensor, *label: torch.Tensor
) -> bool | None:
    """Whether a sample's output depends on the other samples of its batch; None if unknown.

    A layer that normalizes with batch statistics couples, whether its class or the functions it calls show it. Linear layers
    and activations in sequence do not couple samples (B, n). For all other modules a probe at x (B, ...), with the labels (B,)
    of a class-conditional module, and at perturbed parameters and inputs and other classes, in float64 if the module supports
    it, can only add couplings. It probes the backward pass too, which hooks and custom functions may change: a backward pass
    that is not linear counts as a coupling, because batches cannot be divided then either.
    """
    if _has_batch_norm(module, trial):
        return True
    if not label and is_per_sample(module.skeleton, x.ndim):
        return False
    return _probed(module, theta, (x, *label), module.plain_network, _couplings)


def couples_beyond_norms(
    module: PureModule, trial: Trial, found: bool | None, theta: torch.Tensor, x: torch.Tensor, *label: torch.Tensor
) -> bool | None:
    """Whether samples are coupled other than by batch norms, so that processes cannot share a batch.

    Compares output and gradients on each half of a batch with those on the whole batch. Batch norms use means over both
    halves, as with processes that share a batch. True also of a norm over anything but the whole batch.

    Args:
        found: the result of ``couples``, which is the answer if there are no batch norms.
    """
    if not _has_batch_norm(module, trial):
        return found
    return _probed(module, theta, (x, *label), module.network, _couplings_beyond_norms)


def _has_batch_norm(module: PureModule, trial: Trial) -> bool:
    return trial.batch_statistics or uses_batch_statistics(module.skeleton)


class Probe(NamedTuple):
    """A network at one point of its parameters, and two batches a and b: it is tried on each and on their union [a; b].

    Attributes:
        at: a point of the parameters -> the network's forward pass there.
        point: the parameters at which it is tried.
        noise: a tensor -> normal noise like it.
        rounding: the largest relative difference that rounding explains.
        number: the number of the point; 0 is the module's own, not a perturbed one.
    """

    at: Callable[[torch.Tensor], Forward]
    point: torch.Tensor
    a: Tensors
    b: Tensors
    noise: Noise
    rounding: float
    number: int


def _couplings(probe: Probe) -> Iterator[bool | None]:
    forward = probe.at(probe.point)
    yield _differs(forward, probe.a, probe.b, probe.rounding)
    # NaN spreads at every point or at none, so one point is enough for it.
    if probe.number == 0:
        yield _spreads(forward, probe.a, probe.b)
    if probe.number == BACKWARD:
        yield _differs_backward(probe)


def _couplings_beyond_norms(probe: Probe) -> Iterator[bool | None]:
    yield _differs_in_halves(probe.at(probe.point), probe.a, probe.b, probe.rounding)
    if probe.number == BACKWARD:
        yield _differs_backward_in_halves(probe)


def _probed(
    module: PureModule,
    theta: torch.Tensor,
    inputs: Tensors,
    network_at: Callable[[torch.Tensor], Network],
    verdicts: Callable[[Probe], Iterator[bool | None]],
) -> bool | None:
    """Whether any verdict at any of the probed points is true; None if all are unknown, or the labels of other classes are."""
    theta = theta.detach()
    inputs = [x.detach() for x in inputs]
    classes = classes_taken(module, theta, *inputs) if len(inputs) > 1 else None
    wide = [_cast(x, torch.float64) for x in inputs]
    precision = _precision(module, theta.double(), *wide)
    if precision is None:
        precision = _precision(module, theta, *inputs)
    else:
        theta = theta.double()
        inputs = wide
    if precision not in ROUNDING:
        return None
    # A generator of its own: probing must not move the global one.
    draw = torch.Generator().manual_seed(0)

    def noise(like: torch.Tensor) -> torch.Tensor:
        return torch.randn(like.shape, generator=draw, dtype=torch.float64).to(like)

    def at(point: torch.Tensor) -> Forward:
        return partial(network_at(point), module.state(point))

    # 1e-3: a module initialized to zeros is perturbed too.
    size = theta.square().mean().sqrt() + 1e-3
    known = False
    for k in range(POINTS):
        # In place, because a copy in float64 is as large as two states of a run.
        point = noise(theta).mul_(k * PERTURBATION * size).add_(theta)
        # The batch's own classes first: among few of them there are equal ones.
        batches = two_batches(inputs, noise, classes if k > 0 else None)
        for verdict in verdicts(Probe(at, point, *batches, noise, ROUNDING[precision], k)):
            if verdict:
                return True
            known |= verdict is not None
    # Of classes that could not be tried nothing is known.
    return False if known and (classes is not None or len(inputs) == 1) else None


def _cast(x: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    return x.to(dtype) if x.is_floating_point() else x


@torch.no_grad()
def _precision(module: PureModule, theta: torch.Tensor, *inputs: torch.Tensor) -> torch.dtype | None:
    """The lowest precision of a forward pass in theta's dtype, which may compute in a lower one; None if there is none."""
    try:
        with Narrowings() as narrowings:
            out = module.plain_network(theta)(module.state(theta), *inputs)
    except RAISED:
        return None
    return narrowings.lowest(theta.dtype) if out.dtype == theta.dtype else None


@torch.no_grad()
def _differs(forward: Forward, a: Tensors, b: Tensors, rounding: float) -> bool | None:
    """Whether the output on a, b, a[:1] or in another order differs from that on [a; b]; None if it is not finite."""
    n = len(a[0])
    try:
        both = forward(*_joined(a, b))
        if not both.isfinite().all():
            return None
        pairs = [(forward(*a), both[:n]), (forward(*b), both[n:]), (forward(*(x[:1] for x in a)), both[:1])]
        pairs += [(forward(*(x.roll(1, 0) for x in _joined(a, b))), both.roll(1, 0))]
    except RAISED:
        return True  # it accepts only some batch sizes
    return not all(own.numel() == cut.numel() and close(own.reshape(cut.shape), cut, rounding) for own, cut in pairs)


@torch.no_grad()
def _spreads(forward: Forward, a: Tensors, b: Tensors) -> bool | None:
    """Whether NaN in one sample, the first or the last of [a; b], makes another sample's output NaN.

    NaN passes through a factor of zero, which hides a coupling from a comparison of values.
    """
    x, *label = _joined(a, b)
    if not x.is_floating_point():
        return None
    try:
        clean = forward(x, *label).isnan()
    except RAISED:
        return None
    # From both ends, since a causal layer passes only earlier samples on to later ones.
    for bad, others in ((0, slice(1, None)), (-1, slice(-1))):
        poisoned = x.clone()
        poisoned[bad] = math.nan
        try:
            found = forward(poisoned, *label)
        except RAISED:  # a module may well refuse NaN
            return None
        if (found[others].isnan() & ~clean[others]).any():
            return True
    return False


def _gradients(
    probe: Probe, inputs: Tensors, scale: float, cotangent: torch.Tensor | None = None
) -> tuple[list[torch.Tensor], torch.Tensor]:
    """(gradients with respect to the parameters and the input, the output's gradient), all divided by the scale."""
    theta, x = (t.detach().requires_grad_(t.is_floating_point()) for t in (probe.point, inputs[0]))
    with torch.enable_grad():
        out = probe.at(theta)(x, *inputs[1:])
    given = probe.noise(out) if cotangent is None else cotangent.reshape(out.shape)
    wanted = [t for t in (theta, x) if t.requires_grad]
    gradients = torch.autograd.grad(out, wanted, scale * given, allow_unused=True, materialize_grads=True)
    return [g / scale for g in gradients], given


def _differs_backward(probe: Probe, statistics: Sequence[torch.Tensor] | None = None) -> bool | None:
    """Whether the gradients on [a; b] differ from those on a and on b together, or are not linear in the output's gradient.

    statistics: the means that batch norms take over all samples; None: they take their own.
    """

    def gradients(
        inputs: Tensors, scale: float, cotangent: torch.Tensor | None = None
    ) -> tuple[list[torch.Tensor], torch.Tensor]:
        with sharing(None if statistics is None else _Rehearsal(statistics)):
            return _gradients(probe, inputs, scale, cotangent)

    try:
        (of_both, *by_sample), given = gradients(_joined(probe.a, probe.b), 1.0)
        first, last = given.reshape(2, -1)
        (of_a, *by_a), _ = gradients(probe.a, SCALES[0], first)
        (of_b, *by_b), _ = gradients(probe.b, SCALES[1], last)
    except RAISED:  # no gradient: the field itself will say so
        return None
    if not of_both.isfinite().all():
        return None
    same = close(of_a.add_(of_b), of_both, probe.rounding)
    del of_a, of_b, of_both
    joined = ((torch.cat(parts), whole) for *parts, whole in zip(by_a, by_b, by_sample, strict=True))
    return not (same and all(close(own, whole, probe.rounding) for own, whole in joined))


def _differs_backward_in_halves(probe: Probe) -> bool | None:
    """``_differs_backward`` with the batch norms' statistics of [a; b] everywhere, as constants."""
    whole = _Rehearsal()
    try:
        with torch.no_grad(), sharing(whole):
            probe.at(probe.point)(*_joined(probe.a, probe.b))
    except RAISED:
        return None
    return _differs_backward(probe, whole.own)


def _joined(a: Tensors, b: Tensors) -> list[torch.Tensor]:
    return [torch.cat(pair) for pair in zip(a, b, strict=True)]


class _Rehearsal:
    """Stands in for ``Ranks`` on one half of a batch: it records the half's own means and returns those of the whole batch."""

    def __init__(self, whole: Sequence[torch.Tensor] | None = None) -> None:
        self.whole = whole
        self.own: list[torch.Tensor] = []

    def differentiable_mean(self, x: torch.Tensor) -> torch.Tensor:
        self.own.append(x)
        return x if self.whole is None else self.whole[len(self.own) - 1]


@torch.no_grad()
def _differs_in_halves(forward: Forward, a: Tensors, b: Tensors, rounding: float) -> bool | None:
    """Whether the outputs on a and on b, with the statistics of [a; b], differ from those on [a; b], or these statistics differ
    from the means of both halves' statistics. None if an output is not finite.
    """
    whole = _Rehearsal()
    try:
        with sharing(whole):
            both = forward(*_joined(a, b))
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
