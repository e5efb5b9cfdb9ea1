"""CLC-GAN's negative feedback: penalize the discriminator's outputs on current and past samples."""

from __future__ import annotations

from collections.abc import Callable

import torch

from odegan.field.ensemble import Time
from odegan.field.penalty_terms import Function
from odegan.games.batch import Batch
from odegan.games.game import Game
from odegan.games.labels import labels_of
from odegan.penalties.base import Penalty, Weight, checked_weight, need
from odegan.utils.checks import ArgumentError, check_int, choose
from odegan.utils.keywords import keywords

Seen = tuple[torch.Tensor, torch.Tensor, torch.Tensor | None, torch.Tensor | None]  # real, fake, and their labels
Kind = Callable[[Game, torch.Tensor, torch.Tensor], torch.Tensor]

_KINDS: dict[str, Kind] = {
    "square": lambda game, real, fake: (real**2).mean() + (fake**2).mean(),
    "abs": lambda game, real, fake: real.abs().mean() + fake.abs().mean(),
    "loss": lambda game, real, fake: game.loss.disc(real, fake),  # type: ignore[union-attr]
    "one_sided": lambda game, real, fake: torch.relu(real).mean() + torch.relu(-fake).mean(),
}


@keywords()
def closed_loop(weight: Weight, kind: str = "square", buffer: int = 100) -> Penalty:
    """Penalize D by weight times a function of D(x_r) and D(x_f), where x_r and x_f come from two replay buffers.

    | kind          | term (means over one batch)                                         |
    | ------------- | ------------------------------------------------------------------- |
    | `"square"`    | `mean D(x_r)^2 + mean D(x_f)^2`                                     |
    | `"abs"`       | `mean |D(x_r)| + mean |D(x_f)|`                                     |
    | `"loss"`      | the discriminator's own loss on `(D(x_r), D(x_f))`                  |
    | `"one_sided"` | `mean relu(D(x_r)) + mean relu(-D(x_f))`, with D high on real samples |

    The buffers hold earlier real and generated samples, which the current D evaluates. They are filled and drawn from once per
    refresh interval, between steps (see ``odegan.data.replay.Replay``); the field only reads ``batch.replay``. If D has
    BatchNorm, it uses the statistics of the replayed batch.

    Args:
        weight: a number, a tensor (differentiable) or a function of time; the paper's lambda: 10 with "square" on CIFAR-10,
            0.01 with "abs" on mixtures.
        kind: see the table.
        buffer: capacity of each buffer in batches; 0: use the current batch only.

    Source: Xu et al. 2020 (CLC-GAN, "Understanding and Stabilizing GANs' Training Dynamics Using Control Theory"), with the
    reference code's buffers and kinds.

    Examples:
        >>> import torch
        >>> from odegan.games import dirac
        >>> disc, gen = closed_loop(10.0, buffer=0)(dirac("wasserstein", c=1.0))  # D(x) = phi x
        >>> disc(torch.tensor([2.0]), torch.tensor([0.5]), None, 0.0), gen  # 10 (D(1)^2 + D(1/2)^2) at phi = 2
        (tensor(50.), None)
    """
    measure = _KINDS[choose("kind", kind, _KINDS)]
    # None, not 0: a run makes a pair of buffers for every capacity that a penalty states.
    replay = check_int("buffer", buffer) or None

    def terms(game: Game) -> tuple[Function, None]:
        need(game, "closed_loop", "critic", "fake", *(["loss"] if kind == "loss" else []))

        def term(theta_d: torch.Tensor, theta_g: torch.Tensor, batch: Batch | None, t: Time) -> torch.Tensor:
            critic = game.critic_fn(theta_d, batch)
            # Without buffers the fakes depend on theta_g, but only D's part of the gradient is taken, so none flows to G.
            seen = _current(game, theta_g, batch) if replay is None else _stored(batch, replay, game.conditional)
            real, fake, label, fake_label = seen
            return measure(game, critic(real, label), critic(fake, fake_label))

        return term, None

    settings = {"kind": kind, "buffer": buffer}
    return Penalty("closed_loop", checked_weight(weight), terms, settings, replay=replay)


def _current(game: Game, theta_g: torch.Tensor, batch: Batch | None) -> Seen:
    return game.real(batch), game.fake(theta_g, batch), *labels_of(batch)


def _stored(batch: Batch | None, capacity: int, conditional: bool) -> Seen:
    kept = batch.replay if isinstance(batch, Batch) else None
    if kept is None or f"samples {capacity}" not in kept:
        raise ArgumentError(
            "batch.replay: got None; closed_loop reads its stored samples there, which odeint_gan and Stepper provide: use "
            "them, or buffer=0"
        )
    # Stored samples bring their own labels; those of the present batch belong to other samples.
    real, fake, *labels = kept[f"samples {capacity}"]
    if conditional and len(labels) != 2:
        raise ArgumentError(
            "batch.replay: got samples alone; it must have (real, fake, label, fake_label) in this game"
        )
    return (real, fake, labels[0], labels[1]) if conditional else (real, fake, None, None)
