"""The forms that an extra loss may have.

All have two methods: ``held`` gives the quantities that are held constant, and ``value`` the loss, given these.

| form            | extra loss                                   | why it has a form of its own                              |
| --------------- | -------------------------------------------- | --------------------------------------------------------- |
| `Term`          | any function of the parameters and the batch | it is a mean over the batch: micro-batches average it     |
| `WithConstants` | parts of it are constants, at every order    | these are evaluated outside the differentiated function   |
| `BatchMeanTerm` | F(s) of a mean s over the batch              | micro-batches average s first, then `<F'(s), s_r>`        |
| `GradientTerm`  | F(g_D, g_G) of the players' own gradients    | the field computes these gradients anyway                 |
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any, ClassVar, NamedTuple

import torch
from torch.func import grad_and_value
from torch.utils._pytree import tree_leaves, tree_map

from odegan.field.ensemble import Time
from odegan.field.schedules import at_step, at_time
from odegan.games.batch import Batch
from odegan.games.game import Game
from odegan.games.players import Player
from odegan.utils.checks import argument_error

# The parameter is Any, since a function of time may be written for floats or for tensors.
Weight = float | torch.Tensor | Callable[[Any], float | torch.Tensor]
Function = Callable[[torch.Tensor, torch.Tensor, Batch | None, Time], torch.Tensor]
Statistic = Callable[[torch.Tensor, torch.Tensor, Batch | None, Time], Any]


class Point(NamedTuple):
    """Where an extra loss is evaluated: ``*point`` are the arguments of a ``Function``."""

    theta_d: torch.Tensor
    theta_g: torch.Tensor
    batch: Batch | None
    t: Time


@dataclass(frozen=True)
class Term:
    """weight(t) * function(theta_d, theta_g, batch, t), a scalar; a mean over the samples of the batch.

    weight: None: 1; a number, a tensor (differentiable) or a function of time.
    """

    function: Callable[..., torch.Tensor]
    weight: Weight | None = None

    players: ClassVar[tuple[Player, ...]] = ()  # the term is a function of these players' gradients

    def held(self, point: Point, parts: int | None = None) -> object:
        """The quantities held constant while ``value`` is differentiated: a tree of tensors, empty if there are none.

        parts: the number of equal parts of which the batch is one; ``value`` will be given the mean of this over the parts.
        None: the batch is whole.
        """
        return ()

    def value(self, point: Point, held: object = (), parts: int | None = None) -> torch.Tensor:
        """The weighted term as a function of the parameters, given the quantities held constant."""
        return self.weighted(self.function(*point), point.t)

    def at_step(self, number: Time) -> Term:
        """The term with the weight of this step, if the weight is a schedule in steps."""
        return replace(self, weight=at_step(self.weight, number))

    def weighted(self, value: torch.Tensor, t: Time) -> torch.Tensor:
        """The value, a scalar, times the weight at time t."""
        # Anything else would be summed by the vjp, which gives as many times the gradient of the mean that was meant.
        if not isinstance(value, torch.Tensor) or value.numel() != 1:
            got = f"a term of shape {tuple(value.shape)}" if isinstance(value, torch.Tensor) else type(value).__name__
            argument_error("penalties", got, "one whose terms are scalars: end them in .mean()")
        if self.weight is None:
            return value
        weight = at_time(self.weight, t)
        if not (isinstance(weight, torch.Tensor) and weight.numel() == 1) and not isinstance(weight, Real):
            argument_error("weight", weight, f"a function of time whose values are numbers; this is one at t = {t:g}")
        return weight * value

    def __call__(
        self, theta_d: torch.Tensor, theta_g: torch.Tensor, batch: Batch | None = None, t: Time = 0.0
    ) -> torch.Tensor:
        """The weighted term on a whole batch."""
        point = Point(theta_d, theta_g, batch, t)
        return self.value(point, self.held(point))


@dataclass(frozen=True)
class WithConstants(Term):
    """A term with parts that are constant under differentiation of every order.

    ``constants(theta_d, theta_g, batch, t)`` is evaluated at the point, outside the differentiated function, and
    ``function(theta_d, theta_g, batch, t, constants)`` is differentiated. ``detach`` would give the right gradient, but also
    cut the field's own derivatives (spectrum, forward mode), for which the constants do move with the point.
    """

    constants: Statistic | None = None

    def held(self, point: Point, parts: int | None = None) -> object:
        """The constants at this point."""
        # A dataclass field after one with a default needs a default itself.
        assert self.constants is not None
        return self.constants(*point)

    def value(self, point: Point, held: object = (), parts: int | None = None) -> torch.Tensor:
        """The weighted term with these constants."""
        return self.weighted(self.function(*point, held), point.t)


@dataclass(frozen=True)
class BatchMeanTerm(Term):
    """weight(t) * F(s, t), where s is a mean over the batch, as a gradient is: a tree of tensors.

    For a batch of R equal parts s = mean_r s_r, and the gradient of F(s) is the mean over r of the gradients of
    ``<F'(s), s_r>`` with s held constant, so that no part needs a derivative of another.

    Args:
        function: F, a function (s, t) -> scalar.
        weight: None: 1; a number, a tensor (differentiable) or a function of time.
        statistic: function (theta_d, theta_g, batch, t) -> s, a tree of tensors.
        of_part: function R -> the statistic of one of R parts, if that differs from ``statistic``.

    Examples:
        >>> from odegan.games.batch import Batch
        >>> def mean(theta_d, theta_g, batch, t):
        ...     return (theta_d * batch.real).mean()
        >>> term = BatchMeanTerm(lambda s, t: s**2, 0.5, mean)  # 0.5 (mean of theta x)^2
        >>> batch = Batch(torch.tensor([[1.0], [3.0]]), torch.zeros(2, 1))
        >>> term(torch.tensor([2.0]), torch.zeros(1), batch, 0.0)
        tensor(8.)
    """

    statistic: Statistic | None = None
    of_part: Callable[[int], Statistic] | None = None

    def held(self, point: Point, parts: int | None = None) -> object:
        """One part's s_r; empty for a whole batch, for which s is differentiated."""
        return () if parts is None else self._statistic(parts)(*point)

    def value(self, point: Point, held: object = (), parts: int | None = None) -> torch.Tensor:
        """weight F(s) on a whole batch; on a part weight (F(s) + <F'(s), s_r - s>), whose mean over parts is weight F(s)."""
        own = self._statistic(parts or 1)(*point)
        if parts is None:
            return self.weighted(self.function(own, point.t), point.t)
        # s is held, so that <F'(s), s_r> is linear in this part's s_r, and no part waits for another.
        slope, value = grad_and_value(self.function)(held, point.t)
        # Minus s: the value on each part then averages to F(s), not only its gradient to F's.
        moved = tree_leaves(tree_map(lambda f, s, s_r: (f * (s_r - s)).sum(), slope, held, own))
        return self.weighted(value + sum(moved), point.t)

    def _statistic(self, parts: int) -> Statistic:
        assert self.statistic is not None
        return self.statistic if self.of_part is None else self.of_part(parts)


@dataclass(frozen=True)
class GradientTerm(BatchMeanTerm):
    """weight(t) * F((g_p for p in players), t), where g_p = d loss_p / d theta_p. Made by ``gradient_term``."""

    # A field in the place of the class variable, because each term reads the gradients of other players.
    players: tuple[Player, ...] = ()  # type: ignore[misc]


def gradient_term(
    game: Game, players: tuple[Player, ...], function: Callable[[tuple[torch.Tensor, ...]], torch.Tensor]
) -> GradientTerm:
    """The term function((g_p for p in players)), where g_p is player p's own gradient."""

    def statistic(
        theta_d: torch.Tensor, theta_g: torch.Tensor, batch: Batch | None, t: Time
    ) -> tuple[torch.Tensor, ...]:
        return tuple(game.player_gradient(player, theta_d, theta_g, batch) for player in players)

    return GradientTerm(lambda gradients, t: function(gradients), statistic=statistic, players=players)


def pair_of_terms(made: object) -> tuple[Term | Function | None, Term | Function | None]:
    """What a penalty makes of a game, refused unless it is a pair of terms or functions, either of which may be None."""
    terms: Sequence[Any] = made if isinstance(made, tuple | list) and len(made) == 2 else (made,)
    if len(terms) != 2 or not all(one is None or callable(one) for one in terms):
        argument_error("penalties", made, "functions game -> (extra_disc_loss or None, extra_gen_loss or None)")
    return terms[0], terms[1]


def as_term(extra: Term | Function) -> Term:
    """An extra loss in one of the forms above; a function becomes a ``Term`` of weight 1."""
    return extra if isinstance(extra, Term) else Term(extra)
