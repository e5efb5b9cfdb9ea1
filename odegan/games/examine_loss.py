"""Checks of a loss before a run: whether it is a function of logits, and a mean over samples."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode

from odegan.games.losses import LogitLoss, Loss, name_of
from odegan.modules.observed import forked, random_states
from odegan.modules.validate import RAISED, close
from odegan.utils.checks import ArgumentError, one_line

FEW = 8  # logits that are also tried individually
SCALES = (0.3, 3.0, 30.0, 300.0)  # of the logits, so that thresholds lie within them
ROUNDING = 1e-5  # relative

OF_LOGITS = frozenset(
    {F.softplus, F.logsigmoid, F.binary_cross_entropy_with_logits, F.soft_margin_loss, torch.sigmoid}
) | {
    torch.Tensor.sigmoid,
    F.sigmoid,
}

Logits = tuple[torch.Tensor, torch.Tensor]


class LossFailsError(ArgumentError):
    """A loss that fails on logits of some size."""


def divides(loss: Loss, like: torch.Tensor, n: int) -> bool:
    """Whether both losses are means over samples: on n logits they equal the means over parts, in value and gradient.

    Raises:
        ArgumentError: a loss is not a scalar, fails on n logits, draws random numbers, has two values at one point, or is not
            what its fields state.
    """
    # Those of the table are means by their formulas. Trying them out would take longer than the rest of making a small game.
    if name_of(loss):
        return True
    draw = torch.Generator().manual_seed(0)
    functions = {"disc": loss.disc, "gen": loss.gen}
    divided = True
    for scale in SCALES:
        for name, function in functions.items():
            real, fake = _drawn(n, scale, draw, like.device)
            whole = _checked(name, function, (real if loss.gen_sees_real or name == "disc" else fake, fake))
            few = _drawn(FEW, scale, draw, like.device)
            try:
                divided = divided and (n == 1 or _agrees(function, whole, [n // 2, n - n // 2]))
                for sizes in ([FEW // 2] * 2, [1] * FEW):
                    divided = divided and _agrees(function, few, sizes)
            except RAISED:  # it takes some numbers of logits only
                divided = False
    # Within 20, beyond which torch's softplus is linear.
    _check_fields(loss, _drawn(n, SCALES[1], draw, like.device))
    return divided


def _check_fields(loss: Loss, logits: Logits) -> None:
    """Refuse a loss whose fields do not describe its functions, as after ``_replace``; the gradients would be wrong."""
    real, fake = logits
    if not (loss.gen_sees_real or close(loss.gen(real, fake), loss.gen(fake, fake), ROUNDING)):
        raise ArgumentError(
            "loss: its gen function depends on the real logits; it must be given with gen_sees_real=True"
        )
    if (loss.ratio or loss.constant_ratio) and not _has_its_ratio(loss, logits):
        raise ArgumentError(
            "loss: its ratio is not that of the derivatives of gen and disc with respect to the fake logits; leave it "
            "out"
        )


def _has_its_ratio(loss: Loss, logits: Logits) -> bool:
    # Without the real logits, because a shared backward pass has no slopes of the generator's loss in them.
    if loss.ratio is None or loss.gen_sees_real:
        return False
    ratio = loss.ratio(logits[1])
    of_disc, of_gen = (_with_gradients(function, logits)[2] for function in (loss.disc, loss.gen))
    steady = not loss.constant_ratio or close(ratio, ratio[:1].expand_as(ratio))
    return steady and close(ratio * of_disc, of_gen, ROUNDING)


def takes_logits(loss: Loss, like: torch.Tensor) -> bool:
    """Whether a loss applies a sigmoid, or the logarithm of one, to what the discriminator returns."""
    # In (0, 1), where a loss of probabilities does not fail either.
    logits = torch.linspace(0.1, 0.9, FEW, dtype=torch.float64, device=like.device)
    with torch.no_grad(), forked(logits), _Calls() as calls:
        for function in (loss.disc, loss.gen):
            with contextlib.suppress(*RAISED):
                function(logits, logits.clone())
    return bool(calls.functions & OF_LOGITS)


class _Calls(TorchFunctionMode):
    """A context that records the functions that are called."""

    def __init__(self) -> None:
        super().__init__()
        self.functions: set[Callable[..., object]] = set()

    def __torch_function__(
        self,
        func: Callable[..., object],
        types: object,
        args: Sequence[object] = (),
        kwargs: dict[str, object] | None = None,
    ) -> object:
        """Record the call of ``func`` and make it."""
        self.functions.add(func)
        return func(*args, **(kwargs or {}))


def _drawn(n: int, scale: float, draw: torch.Generator, device: torch.device) -> Logits:
    """Logits whose mean differs between the parts of a batch."""
    # Without the trend, a loss of the batch's mean could pass for a mean of losses by chance.
    noise = torch.randn(2, n, generator=draw, dtype=torch.float64) + torch.linspace(-1, 1, n, dtype=torch.float64)
    real, fake = (scale * noise).to(device)
    return real, fake.flip(0)


def _checked(name: str, function: LogitLoss, logits: Logits) -> Logits:
    """The logits, after a check that the loss is a function of them; see ``divides``."""
    given = tuple(x.clone() for x in logits)
    with torch.no_grad(), forked(logits[0]):
        before = random_states(logits[0])
        try:
            value = function(*given)
            again = function(*(x.clone() for x in logits))
        except RAISED as error:
            shape = tuple(logits[0].shape)
            raise LossFailsError(
                f"loss: its {name} function fails on logits of shape {shape} ({one_line(error)})"
            ) from error
        if not _same_states(before, random_states(logits[0])):
            raise ArgumentError(f"loss: its {name} function draws random numbers; it must be a function of the logits")
    if not isinstance(value, torch.Tensor) or value.ndim:
        got = tuple(value.shape) if isinstance(value, torch.Tensor) else type(value).__name__
        raise ArgumentError(f"loss: its {name} function returns {got}; it must return a scalar: end it in .mean()")
    if not close(again, value, ROUNDING):
        raise ArgumentError(
            f"loss: its {name} function has two values at the same logits; it must be a function of them alone, without a "
            "state or random numbers of its own"
        )
    return logits


def _agrees(function: LogitLoss, logits: Logits, sizes: Sequence[int]) -> bool:
    """Whether value and gradients are the means of those of consecutive parts; True where they are not finite."""
    count = len(logits[0])
    whole = _with_gradients(function, logits)
    if not all(bool(x.isfinite().all()) for x in whole):
        return True

    def mean_of_parts(*leaves: torch.Tensor) -> torch.Tensor:
        parts = zip(*(x.split(list(sizes)) for x in leaves), strict=True)
        return torch.stack([function(*part) * (len(part[0]) / count) for part in parts]).sum()

    joined = _with_gradients(mean_of_parts, logits)
    return all(close(own, other, ROUNDING) for own, other in zip(joined, whole, strict=True))


def _with_gradients(function: LogitLoss, logits: Logits) -> list[torch.Tensor]:
    """The value, and the gradients with respect to both logits; zero if the value does not depend on them."""
    leaves = [x.detach().clone().requires_grad_() for x in logits]
    with torch.enable_grad():
        value = function(*(x.view_as(x) for x in leaves))
        if not value.requires_grad:
            return [value, *map(torch.zeros_like, leaves)]
        gradients = torch.autograd.grad(value, leaves, allow_unused=True, materialize_grads=True)
    return [value.detach(), *gradients]


def _same_states(a: tuple[object, ...], b: tuple[object, ...]) -> bool:
    return all(torch.equal(x, y) if isinstance(x, torch.Tensor) else x == y for x, y in zip(a, b, strict=True))  # type: ignore[arg-type]
