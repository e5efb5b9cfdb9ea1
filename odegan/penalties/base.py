"""What a penalty is: extra losses for one player or both, made from a game."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from odegan.data.replay import Replay
from odegan.field.penalty_terms import Held, OfMean, Term
from odegan.games.game import Game
from odegan.utils.checks import ArgumentError, fail, number

Weight = float | torch.Tensor | Callable[[Any], Any]
ExtraLoss = Callable[[torch.Tensor, torch.Tensor, Any, Any], torch.Tensor]


@dataclass(frozen=True)
class Penalty:
    """A named penalty: calling it with a game gives (extra_disc_loss, extra_gen_loss), either of which may be None.

    Each extra loss is a function (theta_d, theta_g, batch, t) -> scalar and is differentiated with respect to its own
    player's parameters only. ``terms`` makes the unweighted pair from a game; ``weight`` is a number, a tensor
    (differentiable) or a function of time. ``settings`` are the other arguments, for messages and checkpoints;
    ``replay`` the buffers that a run keeps for it between steps; ``noise`` says that it reads uniform numbers (B,) from
    ``batch.noise``; ``divisible`` that each term is a mean over the batch or an ``OfMean``, so that the batch may come in
    parts.
    """

    name: str
    weight: Weight
    terms: Callable[[Game], tuple[Term | None, Term | None]]
    settings: Mapping[str, Any] = field(default_factory=dict)
    replay: Replay | None = None
    noise: bool = False
    divisible: bool = True

    def __call__(self, game: Game) -> tuple[ExtraLoss | None, ExtraLoss | None]:
        """The weighted extra losses for this game."""
        disc, gen = self.terms(game)
        return self._weighted(disc), self._weighted(gen)

    def _weighted(self, term: Term | None) -> ExtraLoss | None:
        if term is None:
            return None
        if isinstance(term, OfMean):
            return replace(term, function=lambda mean, t: self._at(t) * term.function(mean, t))
        if isinstance(term, Held):
            return Held(term.parts, lambda d, g, batch, t, parts: self._at(t) * term.value(d, g, batch, t, parts))
        return lambda theta_d, theta_g, batch, t: self._at(t) * term(theta_d, theta_g, batch, t)

    def _at(self, t: Any) -> Any:
        return at_time(self.weight, t)

    def __repr__(self) -> str:
        """``name(weight, ...)``."""
        given = [_plain(self.weight), *(f"{name}={_plain(value)!r}" for name, value in self.settings.items())]
        return f"{self.name}({', '.join(str(part) for part in given)})"


def at_time(value: Any, t: Any) -> Any:
    """A number or tensor as it is, a function of time at t."""
    return value(t) if callable(value) else value


def checked_weight(weight: Weight, name: str = "weight", *, strict: bool = False) -> Weight:
    """The weight, refused unless it is a finite number >= 0 (> 0), a one-element tensor, or a function of time."""
    if isinstance(weight, torch.Tensor) and weight.numel() != 1:
        fail(name, weight, "a number, a one-element tensor or a function of time")
    if not callable(weight):
        number(name, weight, low=0.0, strict=strict)
    return weight


_NEEDS: dict[str, tuple[Callable[[Game], Any], str]] = {
    "critic": (lambda game: game.critic is not None, "a critic D(x)"),
    "fake": (lambda game: game.makes_fakes, "generated samples"),
    "loss": (lambda game: hasattr(getattr(game, "loss", None), "disc"), "a loss of logits"),
}


def need(game: Game, penalty: str, *parts: str) -> None:
    """Refuse a game that lacks what a penalty reads: its critic, its generated samples, its loss of logits."""
    for part in parts:
        has, words = _NEEDS[part]
        if not has(game):
            raise ArgumentError(f"penalties: {penalty} needs {words}, which the game {game.name!r} does not have")


def _plain(value: Any) -> Any:
    value = float(value.detach()) if isinstance(value, torch.Tensor) else value
    return getattr(value, "__qualname__", value)
