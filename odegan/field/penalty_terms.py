"""Forms of an extra loss that the field takes apart: with parts held constant, of a mean over the batch, of the gradients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.func import grad_and_value
from torch.utils._pytree import tree_leaves, tree_map

from odegan.games.game import Game

Term = Callable[[torch.Tensor, torch.Tensor, Any, Any], torch.Tensor]


@dataclass(frozen=True)
class Held:
    """A term some parts of which are constants under differentiation, at every order of it.

    ``parts(theta_d, theta_g, batch, t)`` is evaluated at the point, outside the differentiated function, and
    ``value(theta_d, theta_g, batch, t, parts)`` is differentiated. ``detach`` would do for one gradient, but it would
    also cut the field's own derivatives (the spectrum, forward mode), which do see the parts move.
    """

    parts: Callable[[torch.Tensor, torch.Tensor, Any, Any], Any]
    value: Callable[[torch.Tensor, torch.Tensor, Any, Any, Any], torch.Tensor]

    def __call__(self, theta_d: torch.Tensor, theta_g: torch.Tensor, batch: Any, t: Any) -> torch.Tensor:
        """The value alone. To differentiate it, take the parts first."""
        return self.value(theta_d, theta_g, batch, t, self.parts(theta_d, theta_g, batch, t))


@dataclass(frozen=True)
class OfMean:
    """A term F(s), where s is a mean over the batch, as a gradient is: ``function(statistic(theta_d, theta_g, batch, t), t)``.

    A batch in R equal parts has s = mean_r s_r, and the gradient of F(s) is the mean over r of that of <F'(s), s_r> with s
    held: what each part contributes needs no derivative of another's. s is a tree of tensors. ``of_part``, where the
    statistic of one of R parts is another function than that of the whole, makes it from R.
    """

    statistic: Callable[[torch.Tensor, torch.Tensor, Any, Any], Any]
    function: Callable[[Any, Any], torch.Tensor]
    of_part: Callable[[int], Callable[[torch.Tensor, torch.Tensor, Any, Any], Any]] | None = None

    def __call__(self, theta_d: torch.Tensor, theta_g: torch.Tensor, batch: Any, t: Any) -> torch.Tensor:
        """The value on a whole batch."""
        return self.function(self.statistic(theta_d, theta_g, batch, t), t)

    def part(self, parts: int) -> Callable[[torch.Tensor, torch.Tensor, Any, Any], Any]:
        """The statistic of one of so many equal parts."""
        return self.statistic if self.of_part is None else self.of_part(parts)

    def linearised(self, mean: Any, parts: int, t: Any) -> Term:
        """F(s) + <F'(s), s_r - s>, as a term of one part: its mean over the parts is F(s), and its gradient's that of F."""
        statistic = self.part(parts)
        slope, value = grad_and_value(self.function)(mean, t)

        def term(theta_d: torch.Tensor, theta_g: torch.Tensor, batch: Any, t: Any) -> torch.Tensor:
            moved = tree_map(lambda m, s, x: (m * (x - s)).sum(), slope, mean, statistic(theta_d, theta_g, batch, t))
            return value + sum(tree_leaves(moved))

        return term


@dataclass(frozen=True)
class OfGradients(OfMean):
    """A term F of these players' own gradients, g_p = d loss_p / d theta_p over the batch: the field has them anyway, so that
    both can come from one pass. Made by ``of_gradients``.
    """

    players: tuple[str, ...] = ()


def of_gradients(
    game: Game, players: tuple[str, ...], function: Callable[[tuple[torch.Tensor, ...]], torch.Tensor]
) -> OfGradients:
    """The term function((g_p for p in players)), players of "disc" and "gen"."""
    gradients = [{"disc": game.disc_gradient, "gen": game.gen_gradient}[player] for player in players]

    def statistic(theta_d: torch.Tensor, theta_g: torch.Tensor, batch: Any, t: Any) -> tuple[torch.Tensor, ...]:
        return tuple(gradient(theta_d, theta_g, batch) for gradient in gradients)

    return OfGradients(statistic, lambda means, t: function(means), players=players)
