"""What a penalty is: extra losses for one player or both, made from a game."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from odegan.checks import fail, number
from odegan.game import Game

Weight = float | torch.Tensor | Callable[[Any], Any]
Term = Callable[[torch.Tensor, torch.Tensor, Any], torch.Tensor]
ExtraLoss = Callable[[torch.Tensor, torch.Tensor, Any, Any], torch.Tensor]


@dataclass(frozen=True)
class Penalty:
    """A named penalty: calling it with a game gives (extra_disc_loss, extra_gen_loss), either of which may be None.

    Each extra loss is a function (theta_d, theta_g, batch, t) -> scalar and is differentiated with respect to its own
    player's parameters only. ``terms`` makes the unweighted pair from a game; ``weight`` is a number, a tensor
    (differentiable) or a function of time.
    """

    name: str
    weight: Weight
    terms: Callable[[Game], tuple[Term | None, Term | None]]

    def __call__(self, game: Game) -> tuple[ExtraLoss | None, ExtraLoss | None]:
        """The weighted extra losses for this game."""
        disc, gen = self.terms(game)
        return self._weighted(disc), self._weighted(gen)

    def _weighted(self, term: Term | None) -> ExtraLoss | None:
        if term is None:
            return None

        def extra(theta_d: torch.Tensor, theta_g: torch.Tensor, batch: Any, t: Any) -> torch.Tensor:
            weight = self.weight(t) if callable(self.weight) else self.weight
            return weight * term(theta_d, theta_g, batch)

        return extra

    def __repr__(self) -> str:
        """``name(weight)``, which is also what a checkpoint compares."""
        weight: Any = float(self.weight.detach()) if isinstance(self.weight, torch.Tensor) else self.weight
        return f"{self.name}({getattr(weight, '__qualname__', weight)})"


def checked_weight(weight: Weight) -> Weight:
    """The weight, refused unless it is a finite number >= 0, a one-element tensor, or a function of time."""
    if isinstance(weight, torch.Tensor) and weight.numel() != 1:
        fail("weight", weight, "a number, a one-element tensor or a function of time")
    if not callable(weight):
        number("weight", weight, low=0.0)
    return weight
