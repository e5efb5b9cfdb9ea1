"""The forms that an extra loss may have. All share two methods: what is held constant, and the value given that.

================== ============================================= =======================================================
form               extra loss                                    why the field takes it apart
================== ============================================= =======================================================
``Term``           any function of the parameters and the batch   a mean over the batch: micro-batches average it
``WithConstants``  parts of it are constants, at every order      the parts are taken at the point, outside the derivative
``BatchMeanTerm``  F(s) of a mean s over the batch                micro-batches average s first, then <F'(s), s_r>
``GradientTerm``   F(g_D, g_G) of the players' own gradients      the field computes these anyway: one pass serves both
================== ============================================= =======================================================
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch.func import grad_and_value
from torch.utils._pytree import tree_leaves, tree_map

from odegan.field.ensemble import Time
from odegan.games.batch import Batch
from odegan.games.game import Game, Player

Weight = float | torch.Tensor | Callable[[Any], Any]
Function = Callable[[torch.Tensor, torch.Tensor, Batch | None, Time], torch.Tensor]
Statistic = Callable[[torch.Tensor, torch.Tensor, Batch | None, Time], Any]


@dataclass(frozen=True)
class Term:
    """weight(t) * function(theta_d, theta_g, batch, t), a scalar; a mean over the samples of the batch.

    weight: None: 1; a number, a tensor (differentiable) or a function of time.
    """

    function: Callable[..., torch.Tensor]
    weight: Weight | None = None

    players: ClassVar[tuple[Player, ...]] = ()  # whose gradients the term is a function of

    def held(
        self, theta_d: torch.Tensor, theta_g: torch.Tensor, batch: Batch | None, t: Time, parts: int | None = None
    ) -> Any:
        """What is constant while ``value`` is differentiated, taken at this point: a tree of tensors, empty where nothing is.

        parts: the batch is one of so many equal parts, and the mean of this over the parts is what ``value`` will be given;
        None: it is whole.
        """
        return ()

    def value(
        self,
        theta_d: torch.Tensor,
        theta_g: torch.Tensor,
        batch: Batch | None,
        t: Time,
        held: Any = (),
        parts: int | None = None,
    ) -> torch.Tensor:
        """The weighted term as a function of the parameters, given what is held."""
        return self.weighted(self.function(theta_d, theta_g, batch, t), t)

    def weighted(self, value: torch.Tensor, t: Time) -> torch.Tensor:
        """weight(t) * value."""
        if self.weight is None:
            return value
        return (self.weight(t) if callable(self.weight) else self.weight) * value

    def __call__(
        self, theta_d: torch.Tensor, theta_g: torch.Tensor, batch: Batch | None = None, t: Time = 0.0
    ) -> torch.Tensor:
        """The weighted term on a whole batch."""
        return self.value(theta_d, theta_g, batch, t, self.held(theta_d, theta_g, batch, t))


@dataclass(frozen=True)
class WithConstants(Term):
    """A term some parts of which are constants under differentiation, at every order of it.

    ``constants(theta_d, theta_g, batch, t)`` is evaluated at the point, outside the differentiated function, and
    ``function(theta_d, theta_g, batch, t, constants)`` is differentiated. ``detach`` would do for one gradient, but it would
    also cut the field's own derivatives (the spectrum, forward mode), which do see the constants move with the point.
    """

    constants: Statistic | None = None

    def held(
        self, theta_d: torch.Tensor, theta_g: torch.Tensor, batch: Batch | None, t: Time, parts: int | None = None
    ) -> Any:
        """The constants at this point."""
        assert self.constants is not None
        return self.constants(theta_d, theta_g, batch, t)

    def value(
        self,
        theta_d: torch.Tensor,
        theta_g: torch.Tensor,
        batch: Batch | None,
        t: Time,
        held: Any = (),
        parts: int | None = None,
    ) -> torch.Tensor:
        """The weighted term with these constants."""
        return self.weighted(self.function(theta_d, theta_g, batch, t, held), t)


@dataclass(frozen=True)
class BatchMeanTerm(Term):
    """weight(t) * F(s, t), where s is a mean over the batch, as a gradient is: a tree of tensors.

    A batch in R equal parts has s = mean_r s_r, and the gradient of F(s) is the mean over r of that of <F'(s), s_r> with s
    held: what each part contributes needs no derivative of another's.

    function: F(s, t). statistic: (theta_d, theta_g, batch, t) -> s. of_part: where the statistic of one of R parts is
    another function than that of the whole, R -> that function.
    """

    statistic: Statistic | None = None
    of_part: Callable[[int], Statistic] | None = None

    def held(
        self, theta_d: torch.Tensor, theta_g: torch.Tensor, batch: Batch | None, t: Time, parts: int | None = None
    ) -> Any:
        """One part's share s_r of the mean; nothing for a whole batch, whose s is differentiated."""
        return () if parts is None else self._statistic(parts)(theta_d, theta_g, batch, t)

    def value(
        self,
        theta_d: torch.Tensor,
        theta_g: torch.Tensor,
        batch: Batch | None,
        t: Time,
        held: Any = (),
        parts: int | None = None,
    ) -> torch.Tensor:
        """weight F(s) on a whole batch; on a part weight (F(s) + <F'(s), s_r - s>), whose mean over the parts is that."""
        own = self._statistic(parts or 1)(theta_d, theta_g, batch, t)
        if parts is None:
            return self.weighted(self.function(own, t), t)
        slope, value = grad_and_value(self.function)(held, t)
        moved = tree_leaves(tree_map(lambda f, s, s_r: (f * (s_r - s)).sum(), slope, held, own))
        return self.weighted(value + sum(moved), t)

    def _statistic(self, parts: int) -> Statistic:
        assert self.statistic is not None
        return self.statistic if self.of_part is None else self.of_part(parts)


@dataclass(frozen=True)
class GradientTerm(BatchMeanTerm):
    """weight(t) * F((g_p for p in players), t), g_p = d loss_p / d theta_p over the batch. Made by ``gradient_term``."""

    players: tuple[Player, ...] = ()  # type: ignore[misc]


def gradient_term(
    game: Game, players: tuple[Player, ...], function: Callable[[tuple[torch.Tensor, ...]], torch.Tensor]
) -> GradientTerm:
    """The term function((g_p for p in players)) of these players' own gradients."""

    def statistic(
        theta_d: torch.Tensor, theta_g: torch.Tensor, batch: Batch | None, t: Time
    ) -> tuple[torch.Tensor, ...]:
        return tuple(game.player_gradient(player, theta_d, theta_g, batch) for player in players)

    return GradientTerm(lambda gradients, t: function(gradients), statistic=statistic, players=players)


def as_term(extra: Term | Function) -> Term:
    """An extra loss in one of the forms above; a plain function becomes a ``Term`` of weight 1."""
    return extra if isinstance(extra, Term) else Term(extra)
