"""What a training field is made of: each player's gradient, its penalties', and the means over the batch that these read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from odegan.field.penalty_terms import Held, OfGradients, OfMean
from odegan.games.game import Game, Players, check_game
from odegan.utils.autodiff import gradient_and_value, pullback
from odegan.utils.checks import fail, number

Rates = tuple[Any, Any]
BOTH = ("disc", "gen")


class Pieces:
    """What a field is made of: the players' gradients, their penalties' and what these are functions of.

    A batch in R equal parts has the field ``finish(mean_r gradients(..., part_r, means, R))`` with
    means = mean_r means(..., part_r, R): both means are taken by the caller, between two calls. players: ("disc",), ("gen",) or
    both.
    """

    def __init__(
        self, game: Game, penalties: Sequence[Any], rates: Rates, clip: float | None, penalise: bool = True
    ) -> None:
        check_game(game)
        self.game, self.clip, self.penalise = game, clip, penalise
        self.extras = dict(zip(BOTH, _extra_losses(game, penalties), strict=True))
        self.rates = dict(zip(BOTH, checked_rates(rates), strict=True))
        if clip is not None:
            number("clip", clip, low=0.0, strict=True)

    def gradients(
        self, players: Sequence[str], t: Any, y: torch.Tensor, batch: Any, means: Any = None, parts: int = 1
    ) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """The players' gradients, penalties included where they act in the field, and their unpenalised losses."""
        theta_d, theta_g = self.game.split(y)
        if len(players) == 2 and means is None and self.penalise and self.shares:
            gradients, losses, pushed = self.together(t, y, batch)
        else:
            if len(players) == 2:
                gradients, losses = self.game.gradients_and_losses(theta_d, theta_g, batch)
            else:
                own = {"disc": self.game.disc_gradient_and_loss, "gen": self.game.gen_gradient_and_loss}[players[0]]
                gradients, losses = ([x] for x in own(theta_d, theta_g, batch))  # type: ignore[assignment]
            pushed = [self._push(p, t, y, batch, means, parts) if self.penalise else None for p in players]
        return [g if p is None else g + p for g, p in zip(gradients, pushed, strict=True)], list(losses)

    @property
    def shares(self) -> bool:
        """Whether a penalty is a function of the gradients that the field computes anyway."""
        return any(isinstance(extra, OfGradients) for player in BOTH for extra in self.extras[player])

    def together(self, t: Any, y: torch.Tensor, batch: Any) -> tuple[Players, Players, list[torch.Tensor | None]]:
        """Both players' unpenalised gradients, their losses, and the gradients of their penalties, from one set of
        first-order gradients.
        """
        theta_d, theta_g = self.game.split(y)
        charged, others = zip(*(_parted(self.extras[player]) for player in BOTH), strict=True)
        pushed, gradients, losses = charged_gradients(self.game, charged, theta_d, theta_g, batch, t)
        rest = (
            gradient_of_sum(others[0], lambda d: (d, theta_g), theta_d, batch, t),
            gradient_of_sum(others[1], lambda g: (theta_d, g), theta_g, batch, t),
        )
        return gradients, losses, [_sum(a, b) for a, b in zip(pushed, rest, strict=True)]

    def pushes(
        self, players: Sequence[str], t: Any, y: torch.Tensor, batch: Any, means: Any = None, parts: int = 1
    ) -> list[torch.Tensor]:
        """The gradients of the penalties alone, zero where a player has none."""
        own = dict(zip(BOTH, self.game.split(y), strict=True))
        pushed = {player: self._push(player, t, y, batch, means, parts) for player in players}
        return [torch.zeros_like(own[player]) if push is None else push for player, push in pushed.items()]

    def means(self, players: Sequence[str], t: Any, y: torch.Tensor, batch: Any, parts: int) -> dict[str, list[Any]]:
        """One part's share of what the penalties are functions of: the statistic of every ``OfMean``."""
        theta_d, theta_g = self.game.split(y)
        return {
            player: [e.part(parts)(theta_d, theta_g, batch, t) for e in self.extras[player] if isinstance(e, OfMean)]
            for player in players
        }

    def have_means(self, players: Sequence[str]) -> bool:
        """Whether a player's penalties are functions of a mean over the whole batch."""
        return any(isinstance(extra, OfMean) for player in players for extra in self.extras[player])

    def finish(
        self, players: Sequence[str], gradients: Sequence[torch.Tensor], clipped: bool = True
    ) -> list[torch.Tensor]:
        """Gradients -> the players' parts of the field: clipped, times minus their rates."""
        clip = self.clip if clipped else None
        return [_scaled(_clipped(g, clip), self.rates[p]) for p, g in zip(players, gradients, strict=True)]

    def _push(self, player: str, t: Any, y: torch.Tensor, batch: Any, means: Any, parts: int) -> torch.Tensor | None:
        theta_d, theta_g = self.game.split(y)
        extras = self.extras[player]
        if means is not None:
            held = iter(means[player])
            extras = [e.linearised(next(held), parts, t) if isinstance(e, OfMean) else e for e in extras]
        if player == "disc":
            return gradient_of_sum(extras, lambda d: (d, theta_g), theta_d, batch, t)
        return gradient_of_sum(extras, lambda g: (theta_d, g), theta_g, batch, t)


def gradient_of_sum(extras: Sequence[Any], place: Any, theta: torch.Tensor, batch: Any, t: Any) -> torch.Tensor | None:
    """Gradient in one player's theta of the sum of its extra losses; None when there is none."""
    if not extras:
        return None
    # What an extra loss holds constant is evaluated here, outside the function that is differentiated.
    fixed = [_with_parts(extra, place(theta), batch, t) for extra in extras]
    return gradient_and_value(lambda own: sum(extra(*place(own), batch, t) for extra in fixed), theta)[0]


def charged_gradients(
    game: Game,
    charged: Sequence[Sequence[OfGradients]],
    theta_d: torch.Tensor,
    theta_g: torch.Tensor,
    batch: Any,
    t: Any,
) -> tuple[list[torch.Tensor | None], Players, Players]:
    """(pushes, gradients, losses), where push_p is the gradient in theta_p of what player p is charged for (g_D, g_G).

    Each charged player's pullback encloses the game's own, which are thereby evaluated once and recorded.
    """

    def charge(player: int, gradients: Players) -> torch.Tensor:
        named = dict(zip(BOTH, gradients, strict=True))
        return sum(e.function(tuple(named[p] for p in e.players), t) for e in charged[player])  # type: ignore[return-value]

    def gen_side(d: torch.Tensor) -> tuple[tuple[torch.Tensor, ...], Players, Players]:
        if not charged[1]:
            return (), *game.gradients_and_losses(d, theta_g, batch)

        def inner(g: torch.Tensor) -> tuple[torch.Tensor, tuple[Players, Players]]:
            gradients, losses = game.gradients_and_losses(d, g, batch)
            return charge(1, gradients), (gradients, losses)

        value, pull, (gradients, losses) = pullback(inner, theta_g, aux_only=True)
        return (pull(torch.ones_like(value)),), gradients, losses

    def disc_side(d: torch.Tensor) -> tuple[torch.Tensor, Any]:
        push, gradients, losses = gen_side(d)
        return charge(0, gradients), (push, gradients, losses)

    if not charged[0]:
        push, gradients, losses = gen_side(theta_d)
        return [None, *(push or (None,))], gradients, losses
    value, pull, (push, gradients, losses) = pullback(disc_side, theta_d)
    return [pull(torch.ones_like(value)), *(push or (None,))], gradients, losses


def _parted(extras: Sequence[Any]) -> tuple[list[OfGradients], list[Any]]:
    """The extra losses that are functions of the players' gradients, and the others."""
    shared = [extra for extra in extras if isinstance(extra, OfGradients)]
    return shared, [extra for extra in extras if not isinstance(extra, OfGradients)]


def _sum(a: torch.Tensor | None, b: torch.Tensor | None) -> torch.Tensor | None:
    return b if a is None else a if b is None else a + b


def _with_parts(extra: Any, point: Players, batch: Any, t: Any) -> Any:
    """The extra loss with the parts that it holds constant, if any, taken at this point."""
    if not isinstance(extra, Held):
        return extra
    parts = extra.parts(*point, batch, t)
    return lambda d, g, batch, t: extra.value(d, g, batch, t, parts)


def checked_rates(rates: Any) -> Rates:
    """The pair of rates, each a finite number or one-element tensor >= 0."""
    if not isinstance(rates, tuple | list) or len(rates) != 2:
        fail("rates", rates, "a pair (discriminator's, generator's)")
    for rate in rates:
        number("rates", rate, low=0.0)
    return rates[0], rates[1]


def _extra_losses(game: Game, penalties: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    if not isinstance(penalties, tuple | list):
        fail("penalties", penalties, "a list of penalties, as odegan.penalties makes them")
    for penalty in penalties:
        if not callable(penalty):
            fail("penalties", penalty, "penalties as odegan.penalties makes them, or functions of a game")
    pairs = [penalty(game) for penalty in penalties]
    for pair in pairs:
        if not isinstance(pair, tuple) or len(pair) != 2:
            fail("penalties", pair, "functions game -> (extra_disc_loss or None, extra_gen_loss or None)")
    return [d for d, _ in pairs if d is not None], [g for _, g in pairs if g is not None]


def _scaled(gradient: torch.Tensor, rate: Any) -> torch.Tensor:
    """-rate * gradient, without a multiplication for the usual rate 1."""
    if isinstance(rate, torch.Tensor):
        return -rate.to(gradient).reshape(()) * gradient
    return -gradient if rate == 1 else -rate * gradient


def _clipped(gradient: torch.Tensor, clip: float | None) -> torch.Tensor:
    if clip is None:
        return gradient
    norm = torch.linalg.vector_norm(gradient)
    return gradient * (clip / norm.clamp(min=clip))
