"""``TrainingField``: the right-hand side of the ODE for one state or an ensemble, from a game and its penalties."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Sequence
from typing import Protocol

import torch

from odegan.field.ensemble import Time, over_members
from odegan.field.penalty_gradients import PlayersTerms, Share, penalty_gradient, with_penalties
from odegan.field.penalty_terms import Function, Point, Term, as_term, pair_of_terms
from odegan.field.schedules import at_step, in_steps
from odegan.games.batch import Batch
from odegan.games.game import Game, check_game
from odegan.games.players import BOTH, Player, Players
from odegan.solvers.rates import Rates, check_rates, times
from odegan.utils.checks import argument_error, check_arity, check_number

Penalty = Callable[[Game], tuple[Term | Function | None, Term | Function | None]]


class Field(Protocol):
    """The interface of ``TrainingField`` and ``MicrobatchedField``. y is (P,), or (E, P) with E in front of all outputs."""

    @property
    def counts_steps(self) -> bool:
        """Whether it has schedules in steps."""

    def at_step(self, number: Time) -> Field:
        """The field in the step of this number."""

    def __call__(self, t: Time, y: torch.Tensor, batch: Batch | None) -> Players:
        """(dy (P,), unpenalized losses (2,)) of both players."""

    def player(self, player: Player, t: Time, y: torch.Tensor, batch: Batch | None) -> Players:
        """(dy_p (n_p,), unpenalized loss (1,)) of one player."""

    def penalty(self, t: Time, y: torch.Tensor, batch: Batch | None) -> torch.Tensor:
        """The penalties' contribution to dy (P,), never clipped."""

    def field_and_penalty(
        self, t: Time, y: torch.Tensor, batch: Batch | None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """(unpenalized dy (P,), losses (2,), the penalties' contribution (P,)) from one set of first-order gradients."""


class TrainingField:
    """f = -[r_D clip(d(loss_D + extra_D)/d theta_D), r_G clip(d(loss_G + extra_G)/d theta_G)], as a ``Field``.

    The extra losses come from the penalties and depend on the *unpenalized* losses; r_D and r_G are the players' rates; clip(g)
    is g min(1, c / |g|), applied to each player. Every method is pure and composes with torch.func and torch.compile.

    Args:
        game: the game.
        penalties: functions game -> (extra_disc_loss, extra_gen_loss), each a ``Term``, a function (theta_d, theta_g, batch, t)
            -> scalar, or None.
        rates: (r_D, r_G), finite numbers or one-element tensors >= 0, or functions of time.
        clip: c > 0; None: unlimited.
        penalized: whether calling the field includes the penalties; if not, they act only through ``penalty``.
    """

    def __init__(
        self,
        game: Game,
        penalties: Sequence[Penalty] = (),
        rates: Rates = (1.0, 1.0),
        clip: float | None = None,
        penalized: bool = True,
    ) -> None:
        check_game(game)
        self.game = game
        self.clip = clip
        self.rates = dict(zip(BOTH, check_rates(rates), strict=True))
        if clip is not None:
            check_number("clip", clip, low=0.0, strict=True)
        self.terms = PlayersTerms.of(penalty_terms(game, penalties))
        self.penalized = penalized and any(self.terms.all.values())

    @property
    def counts_steps(self) -> bool:
        """Whether a rate or a weight is a schedule in steps, so that the field is a function of (t, y) only ``at_step``."""
        weights = [term.weight for p in BOTH for term in self.terms.all[p]]
        return any(in_steps(value) for value in [*self.rates.values(), *weights])

    def at_step(self, number: Time) -> TrainingField:
        """The field with rates and weights as they are in the step of this number."""
        # A shallow copy: the game and its modules are shared, the weights are this step's.
        own = copy.copy(self)
        own.rates = {p: at_step(rate, number) for p, rate in self.rates.items()}
        own.terms = self.terms.at_step(number)
        return own

    def __call__(self, t: Time, y: torch.Tensor, batch: Batch | None) -> Players:
        """(dy, losses) of both players; see ``Field``."""
        if y.ndim != 1:
            return over_members(self, t, y, batch)
        if self.penalized:
            gradients, losses, extra = with_penalties(self.game, self.terms, t, y, batch)
            summed = [g if e is None else g + e for g, e in zip(gradients, extra, strict=True)]
            return self.scaled(BOTH, summed, t), torch.stack(losses)
        gradients, losses = self.game.gradients(*self.game.split(y), batch, with_losses=True)
        return self.scaled(BOTH, gradients, t), torch.stack(losses)

    def player(self, player: Player, t: Time, y: torch.Tensor, batch: Batch | None) -> Players:
        """(dy_p, loss_p) of one player; see ``Field``."""
        if y.ndim != 1:
            return over_members(lambda *state: self.player(player, *state), t, y, batch)
        # Not from both players' gradients: a step in turn needs one, at half the cost.
        (gradient,), losses = self.gradients((player,), t, y, batch)
        return self.scaled((player,), (gradient,), t), torch.stack(losses)

    def penalty(self, t: Time, y: torch.Tensor, batch: Batch | None) -> torch.Tensor:
        """The penalties' contribution to dy; see ``Field``."""
        if y.ndim != 1:
            return over_members(self.penalty, t, y, batch)
        return self.scaled(BOTH, self.penalty_gradients(BOTH, t, y, batch), t, clipped=False)

    def field_and_penalty(
        self, t: Time, y: torch.Tensor, batch: Batch | None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """(unpenalized dy, losses, the penalties' contribution); see ``Field``."""
        if y.ndim != 1:
            return over_members(self.field_and_penalty, t, y, batch)
        gradients, losses, extra = with_penalties(self.game, self.terms, t, y, batch)
        # Zeros, not None: vmap returns tensors only.
        added = [torch.zeros_like(g) if e is None else e for g, e in zip(gradients, extra, strict=True)]
        return self.scaled(BOTH, gradients, t), torch.stack(losses), self.scaled(BOTH, added, t, clipped=False)

    # The parts from which the micro-batched field is computed.
    def gradients(
        self, players: Sequence[Player], t: Time, y: torch.Tensor, batch: Batch | None, share: Share | None = None
    ) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """The gradients of these players, with penalties if the field is penalized, and their unpenalized losses.

        share: given if the batch is one of several parts.
        """
        own, losses = self.own_gradients(players, t, y, batch)
        if not self.penalized:
            return own, losses
        extra = self._penalty_gradients(players, t, y, batch, share)
        return [g if e is None else g + e for g, e in zip(own, extra, strict=True)], losses

    def own_gradients(
        self, players: Sequence[Player], t: Time, y: torch.Tensor, batch: Batch | None, share: Share | None = None
    ) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """The unpenalized gradients and losses of these players.

        t and share are unused: they are arguments because every function of a part has them.
        """
        at = self.game.split(y)
        if len(players) == 2:
            gradients, losses = self.game.gradients(*at, batch, with_losses=True)
            return list(gradients), list(losses)
        gradient, loss = self.game.player_gradient(players[0], *at, batch, with_loss=True)
        return [gradient], [loss]

    def penalty_gradients(
        self, players: Sequence[Player], t: Time, y: torch.Tensor, batch: Batch | None, share: Share | None = None
    ) -> list[torch.Tensor]:
        """The gradients of the penalties alone, zero for a player without one."""
        own = dict(zip(BOTH, self.game.split(y), strict=True))
        found = self._penalty_gradients(players, t, y, batch, share)
        return [torch.zeros_like(own[p]) if g is None else g for p, g in zip(players, found, strict=True)]

    def held_parts(
        self, players: Sequence[Player], t: Time, y: torch.Tensor, batch: Batch | None, share: Share
    ) -> dict[Player, list[object]]:
        """The quantities that each penalty term holds constant, computed from one part of the batch."""
        at = Point(*self.game.split(y), batch, t)
        return {p: [term.held(at, share.parts) for term in self.terms.all[p]] for p in players}

    def scaled(
        self, players: Sequence[Player], gradients: Sequence[torch.Tensor], t: Time, clipped: bool = True
    ) -> torch.Tensor:
        """Gradients -> the players' parts of dy, one after the other: clipped, times minus their rates at t."""
        parts = []
        for player, gradient in zip(players, gradients, strict=True):
            if clipped and self.clip is not None:
                # In float64: in float32 squares overflow, and g * c / inf would be a step of zero.
                norm = torch.linalg.vector_norm(gradient, dtype=torch.float64)
                gradient = gradient * (self.clip / norm.clamp(min=self.clip)).to(gradient.dtype)
            rate = self.rates[player]
            # An eager step of a small network is limited by such calls, so the usual rate needs none.
            parts.append(-gradient if isinstance(rate, float) and rate == 1 else -times(gradient, rate, t))
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _penalty_gradients(
        self, players: Sequence[Player], t: Time, y: torch.Tensor, batch: Batch | None, share: Share | None
    ) -> list[torch.Tensor | None]:
        """The gradients of these players' penalties, None for a player without one."""
        at = Point(*self.game.split(y), batch, t)
        return [penalty_gradient(p, self.terms.all[p], at, share) for p in players]


def penalty_terms(game: Game, penalties: Sequence[Penalty]) -> dict[Player, list[Term]]:
    """Each player's extra losses from these penalties, checked."""
    if not isinstance(penalties, tuple | list):
        argument_error("penalties", penalties, "a list of penalties, as odegan.penalties makes them")
    terms: dict[Player, list[Term]] = {"disc": [], "gen": []}
    for penalty in penalties:
        if not callable(penalty):
            argument_error("penalties", penalty, "penalties as odegan.penalties makes them, or functions of a game")
        # ``penalties=[jare]`` without a weight is a function as well, and would fail far from here.
        if inspect.isfunction(penalty) and str(penalty.__module__).startswith("odegan.penalties."):
            name = penalty.__name__
            argument_error("penalties", f"the function {name}", f"what it returns: {name}(...) with a weight")
        check_arity("penalties", penalty, 1, "functions of a game: game -> (extra_disc_loss, extra_gen_loss)")
        for player, extra in zip(BOTH, pair_of_terms(penalty(game)), strict=True):
            if extra is not None:
                terms[player].append(as_term(extra))
    return terms
