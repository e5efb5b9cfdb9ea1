"""GAN objectives by name, as pairs of functions of the discriminator's logits.

Each player descends its own loss. With r = D(x) for real and f = D(G(z)) for generated samples (logits of shape
(B,), high on real samples), s(u) = log(1 + e^u) and means over the batch:

| name             | discriminator                       | generator        |
| ---------------- | ----------------------------------- | ---------------- |
| `minimax`        | mean s(-r) + mean s(f)              | -mean s(f)       |
| `non_saturating` | mean s(-r) + mean s(f)              | mean s(-f)       |
| `wasserstein`    | mean f - mean r                     | -mean f          |
| `hinge`          | mean max(0, 1-r) + mean max(0, 1+f) | -mean f          |
| `least_squares`  | 1/2 mean (r-1)^2 + 1/2 mean f^2     | 1/2 mean (f-1)^2 |
| `relativistic`   | mean s(f - r)                       | mean s(r - f)    |
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F

from odegan.utils.checks import argument_error, choose

__all__ = ["Loss", "get", "name_of", "names"]

LogitLoss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


class Loss(NamedTuple):
    """An objective: one scalar function of the logits (real (B,), fake (B,)) for each player.

    The last three attributes describe ``gen``, so that a run can share work between the players. They are tried out before
    every run, except for a built-in objective.

    Attributes:
        disc: the discriminator's loss.
        gen: the generator's loss.
        gen_sees_real: whether ``gen`` depends on the real logits; if not, it is called with the fake logits twice.
        ratio: the derivative of ``gen`` with respect to a fake logit divided by that of ``disc``, a function (B,) -> (B,) of
            the fake logits; None unless it exists everywhere.
        constant_ratio: whether that ratio is the same for all logits.

    Examples:
        >>> mine = Loss(disc=lambda real, fake: (fake - real).mean(), gen=lambda real, fake: -fake.mean())
        >>> mine.disc(torch.tensor([2.0]), torch.tensor([0.5]))
        tensor(-1.5000)
    """

    disc: LogitLoss
    gen: LogitLoss
    gen_sees_real: bool = False
    ratio: Callable[[torch.Tensor], torch.Tensor] | None = None
    constant_ratio: bool = False

    def __odegan_fingerprint__(self) -> str | tuple[object, ...]:
        """The name for a built-in objective, so that a checkpoint survives changes of its code; else the functions."""
        return name_of(self) or tuple(self)


def _cross_entropy(real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
    # softplus, not log(sigmoid): the latter overflows to -inf for logits beyond about -100 in float32.
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def _hinge(real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
    return F.relu(1 - real).mean() + F.relu(1 + fake).mean()


def _least_squares(real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
    return ((real - 1) ** 2).mean() / 2 + (fake**2).mean() / 2


def _opposite(fake: torch.Tensor) -> torch.Tensor:
    return -torch.ones_like(fake)


# What other libraries and papers call a loss.
_ELSEWHERE = {
    **dict.fromkeys(("bce", "vanilla", "logistic", "gan", "standard"), "non_saturating"),
    **dict.fromkeys(("wgan", "wgan_gp", "wgan-gp"), "wasserstein"),
    **dict.fromkeys(("lsgan", "mse", "ls"), "least_squares"),
    **dict.fromkeys(("rsgan", "rpgan", "rgan"), "relativistic"),
    **dict.fromkeys(("saturating", "zero_sum"), "minimax"),
}

_TABLE: dict[str, Loss] = {
    "minimax": Loss(_cross_entropy, lambda real, fake: -F.softplus(fake).mean(), ratio=_opposite, constant_ratio=True),
    "non_saturating": Loss(
        # s_G / s_D = -sigmoid(-f) / sigmoid(f) = -exp(-f), which overflows for very negative f: see
        # ``shared_backward``.
        _cross_entropy,
        lambda real, fake: F.softplus(-fake).mean(),
        ratio=lambda fake: -torch.exp(-fake),
    ),
    "wasserstein": Loss(
        lambda real, fake: fake.mean() - real.mean(),
        lambda real, fake: -fake.mean(),
        ratio=_opposite,
        constant_ratio=True,
    ),
    # No ratio: where the hinge is flat, D's slope is 0 and G's is not.
    "hinge": Loss(_hinge, lambda real, fake: -fake.mean()),
    # No ratio either: (f - 1) / f has a pole at f = 0.
    "least_squares": Loss(_least_squares, lambda real, fake: ((fake - 1) ** 2).mean() / 2),
    "relativistic": Loss(
        lambda real, fake: F.softplus(fake - real).mean(),
        lambda real, fake: F.softplus(real - fake).mean(),
        gen_sees_real=True,
    ),
}


def names() -> list[str]:
    """The names that ``loss=`` accepts.

    Examples:
        >>> names()[:2]
        ['minimax', 'non_saturating']
    """
    return list(_TABLE)


def name_of(loss: Loss) -> str | None:
    """The name of a loss that is a built-in objective; None for any other, as for one of which ``_replace`` changed a function.

    Examples:
        >>> name_of(get("hinge")), name_of(get("hinge")._replace(gen=get("minimax").gen))
        ('hinge', None)
    """
    return next((name for name, known in _TABLE.items() if known == loss), None)


def get(loss: str | tuple[LogitLoss, LogitLoss] | Loss) -> Loss:
    """The objective with that name, or the user's own pair (disc, gen) of functions of (real, fake) logits.

    Args:
        loss: a name of ``names()``, the pair, or a ``Loss``.

    Raises:
        ArgumentError: the name is unknown, or the argument is not a pair of functions.

    Examples:
        >>> get("hinge").disc(torch.tensor([2.0]), torch.tensor([0.5]))
        tensor(1.5000)
    """
    if isinstance(loss, Loss):
        return loss
    if isinstance(loss, str):
        return _TABLE[choose("loss", loss, _TABLE, _ELSEWHERE)]
    if isinstance(loss, tuple | list) and len(loss) == 2 and all(callable(part) for part in loss):
        # Whether a user's generator loss reads the real logits is not known, so it gets them.
        return Loss(loss[0], loss[1], gen_sees_real=True)
    argument_error(
        "loss", loss, f"one of {', '.join(_TABLE)}, or a pair (disc, gen) of functions of (real, fake) logits"
    )


def __dir__() -> list[str]:
    return __all__
