"""``TrainingField``: the right-hand side of the ODE for one state or an ensemble, from a game and its penalties."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch

from odegan.field.ensemble import Time, over_members
from odegan.field.penalty_terms import Function, Term, as_term
from odegan.field.schedules import at_step, in_steps
from odegan.games.batch import Batch
from odegan.games.game import Game, Player, Players, check_game
from odegan.utils.autodiff import vjp
from odegan.utils.checks import argument_error, check_number

ConstantRates = tuple[float | torch.Tensor, float | torch.Tensor]
Rate = float | torch.Tensor | Callable[[Any], Any]
Rates = tuple[Rate, Rate]
Penalty = Callable[[Game], tuple[Term | Function | None, Term | Function | None]]
BOTH: tuple[Player, ...] = ("disc", "gen")


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
        self.terms = penalty_terms(game, penalties)
        self._sort_terms()
        self.penalized = penalized and any(self.terms.values())

    def _sort_terms(self) -> None:
        self.of_gradients = {p: [term for term in self.terms[p] if term.players] for p in BOTH}
        self.others = {p: [term for term in self.terms[p] if not term.players] for p in BOTH}

    @property
    def counts_steps(self) -> bool:
        """Whether a rate or a weight is a schedule in steps, so that the field is a function of (t, y) only ``at_step``."""
        weights = [term.weight for p in BOTH for term in self.terms[p]]
        return any(in_steps(value) for value in [*self.rates.values(), *weights])

    def at_step(self, number: Time) -> TrainingField:
        """The field with rates and weights as they are in the step of this number."""
        own = copy.copy(self)
        own.rates = {p: at_step(rate, number) for p, rate in self.rates.items()}
        own.terms = {p: [term.at_step(number) for term in terms] for p, terms in self.terms.items()}
        own._sort_terms()
        return own

    def __call__(self, t: Time, y: torch.Tensor, batch: Batch | None) -> Players:
        """(dy, losses) of both players; see ``Field``."""
        if y.ndim != 1:
            return over_members(self, t, y, batch)
        if self.penalized:
            gradients, losses, extra = self._gradients_and_penalties(t, y, batch)
            summed = [g if e is None else g + e for g, e in zip(gradients, extra, strict=True)]
            return self.scaled(BOTH, summed, t), torch.stack(losses)
        gradients, losses = self.game.gradients(*self.game.split(y), batch, with_losses=True)
        return self.scaled(BOTH, gradients, t), torch.stack(losses)

    def player(self, player: Player, t: Time, y: torch.Tensor, batch: Batch | None) -> Players:
        """(dy_p, loss_p) of one player; see ``Field``."""
        if y.ndim != 1:
            return over_members(lambda *state: self.player(player, *state), t, y, batch)
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
        gradients, losses, extra = self._gradients_and_penalties(t, y, batch)
        added = [torch.zeros_like(g) if e is None else e for g, e in zip(gradients, extra, strict=True)]
        return self.scaled(BOTH, gradients, t), torch.stack(losses), self.scaled(BOTH, added, t, clipped=False)

    # The parts from which the micro-batched field is computed.
    def gradients(
        self,
        players: Sequence[Player],
        t: Time,
        y: torch.Tensor,
        batch: Batch | None,
        held: dict[Player, list[Any]] | None = None,
        parts: int | None = None,
    ) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """The gradients of these players, with penalties if the field is penalized, and their unpenalized losses.

        held, parts: if the batch is one of ``parts`` equal parts, the mean of ``held_parts`` over them.
        """
        own, losses = self._own_gradients(players, y, batch)
        if not self.penalized:
            return own, losses
        extra = [self._penalty_gradient(p, self.terms[p], t, y, batch, held, parts) for p in players]
        return [g if e is None else g + e for g, e in zip(own, extra, strict=True)], losses

    def penalty_gradients(
        self,
        players: Sequence[Player],
        t: Time,
        y: torch.Tensor,
        batch: Batch | None,
        held: dict[Player, list[Any]] | None = None,
        parts: int | None = None,
    ) -> list[torch.Tensor]:
        """The gradients of the penalties alone, zero for a player without one."""
        own = dict(zip(BOTH, self.game.split(y), strict=True))
        found = [self._penalty_gradient(p, self.terms[p], t, y, batch, held, parts) for p in players]
        return [torch.zeros_like(own[p]) if g is None else g for p, g in zip(players, found, strict=True)]

    def held_parts(
        self, players: Sequence[Player], t: Time, y: torch.Tensor, batch: Batch | None, parts: int
    ) -> dict[Player, list[Any]]:
        """The quantities that each penalty term holds constant, computed from one of ``parts`` equal parts of the batch."""
        at = self.game.split(y)
        return {p: [term.held(*at, batch, t, parts) for term in self.terms[p]] for p in players}

    def scaled(
        self, players: Sequence[Player], gradients: Sequence[torch.Tensor], t: Time, clipped: bool = True
    ) -> torch.Tensor:
        """Gradients -> the players' parts of dy, one after the other: clipped, times minus their rates at t."""
        parts = []
        for player, gradient in zip(players, gradients, strict=True):
            rate = self.rates[player]
            if callable(rate):
                rate = rate(t)
            if clipped and self.clip is not None:
                # In float64: squares overflow in float32 long before their sum's root, and g * c / inf would be a step of zero.
                norm = torch.linalg.vector_norm(gradient, dtype=torch.float64)
                gradient = gradient * (self.clip / norm.clamp(min=self.clip)).to(gradient.dtype)
            if isinstance(rate, torch.Tensor):
                parts.append(-rate.to(gradient, non_blocking=True).reshape(()) * gradient)
            else:
                parts.append(-gradient if rate == 1 else -rate * gradient)
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _own_gradients(
        self, players: Sequence[Player], y: torch.Tensor, batch: Batch | None
    ) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """The unpenalized gradients and losses of these players."""
        at = self.game.split(y)
        if len(players) == 2:
            gradients, losses = self.game.gradients(*at, batch, with_losses=True)
            return list(gradients), list(losses)
        gradient, loss = self.game.player_gradient(players[0], *at, batch, with_loss=True)
        return [gradient], [loss]

    # The gradients of the penalties.
    def _gradients_and_penalties(
        self, t: Time, y: torch.Tensor, batch: Batch | None
    ) -> tuple[Players, Players, Sequence[torch.Tensor | None]]:
        """Both players' unpenalized gradients, losses, and penalty gradients (None without a penalty).

        The vjp of a ``GradientTerm`` encloses the game's own, so that the players' gradients are evaluated, and recorded, only
        once. If both players have such terms, D's vjp encloses G's.
        """
        theta_d, theta_g = self.game.split(y)
        of_disc = self.of_gradients["disc"]
        of_gen = self.of_gradients["gen"]

        def gen_side(d: torch.Tensor) -> tuple[Players, Players, tuple[torch.Tensor, ...]]:
            """Gradients, losses and G's penalty gradient with D's parameters at d."""

            def of_g(g: torch.Tensor) -> tuple[torch.Tensor, tuple[Players, Players]]:
                evaluated = self.game.gradients(d, g, batch, with_losses=True)
                return _total(of_gen, evaluated[0], t), evaluated

            value, vjp_fn, evaluated = vjp(of_g, theta_g, aux_only=True)
            return *evaluated, (vjp_fn(torch.ones_like(value)),)

        def of_d(d: torch.Tensor) -> tuple[torch.Tensor, tuple[Players, Players, tuple[torch.Tensor, ...]]]:
            evaluated = gen_side(d) if of_gen else (*self.game.gradients(d, theta_g, batch, with_losses=True), ())
            return _total(of_disc, evaluated[0], t), evaluated

        extra_d: torch.Tensor | None = None
        if of_disc:
            value, vjp_fn, (gradients, losses, extra_g) = vjp(of_d, theta_d)
            extra_d = vjp_fn(torch.ones_like(value))
        elif of_gen:
            gradients, losses, extra_g = gen_side(theta_d)
        else:
            gradients, losses = self.game.gradients(theta_d, theta_g, batch, with_losses=True)
            extra_g = ()
        found = (extra_d, extra_g[0] if extra_g else None)
        if not self.others["disc"] and not self.others["gen"]:
            return gradients, losses, found
        rest = [self._penalty_gradient(p, self.others[p], t, y, batch) for p in BOTH]
        return gradients, losses, [_sum(own, other) for own, other in zip(found, rest, strict=True)]

    def _penalty_gradient(
        self,
        player: Player,
        terms: Sequence[Term],
        t: Time,
        y: torch.Tensor,
        batch: Batch | None,
        held: dict[Player, list[Any]] | None = None,
        parts: int | None = None,
    ) -> torch.Tensor | None:
        """The gradient of the sum of these terms in one player's parameters; None without terms."""
        if not terms:
            return None
        theta_d, theta_g = self.game.split(y)
        # Held quantities are evaluated here, outside the differentiated function, which keeps them constant at every order.
        constants = [term.held(theta_d, theta_g, batch, t) for term in terms] if held is None else held[player]

        def total(own: torch.Tensor) -> tuple[torch.Tensor, tuple[()]]:
            at = (own, theta_g) if player == "disc" else (theta_d, own)
            values = [term.value(*at, batch, t, c, parts) for term, c in zip(terms, constants, strict=True)]
            return sum(values[1:], values[0]), ()

        value, vjp_fn, _ = vjp(total, theta_d if player == "disc" else theta_g)
        return vjp_fn(torch.ones_like(value))


def penalty_terms(game: Game, penalties: Sequence[Penalty]) -> dict[Player, list[Term]]:
    """Each player's extra losses from these penalties, checked."""
    if not isinstance(penalties, tuple | list):
        argument_error("penalties", penalties, "a list of penalties, as odegan.penalties makes them")
    terms: dict[Player, list[Term]] = {"disc": [], "gen": []}
    for penalty in penalties:
        if not callable(penalty):
            argument_error("penalties", penalty, "penalties as odegan.penalties makes them, or functions of a game")
        pair = penalty(game)
        if not isinstance(pair, tuple) or len(pair) != 2:
            argument_error("penalties", pair, "functions game -> (extra_disc_loss or None, extra_gen_loss or None)")
        for player, extra in zip(BOTH, pair, strict=True):
            if extra is not None:
                terms[player].append(as_term(extra))
    return terms


def check_rates(rates: Rates) -> Rates:
    """The pair of rates, each a finite number or one-element tensor >= 0, or a function of time."""
    if not isinstance(rates, tuple | list) or len(rates) != 2:
        argument_error("rates", rates, "a pair (discriminator's, generator's)")
    for rate in rates:
        if not callable(rate):
            check_number("rates", rate, low=0.0)
    return rates[0], rates[1]


def check_constant_rates(rates: ConstantRates) -> ConstantRates:
    """The pair of rates, refused where one is a function of time."""
    for rate in check_rates(rates):
        if callable(rate):
            argument_error("rates", rate, "numbers or tensors here, not functions of time")
    return rates[0], rates[1]


def _total(terms: Sequence[Any], gradients: Players, t: Time) -> torch.Tensor:
    """The sum of gradient terms at these gradients."""
    total: torch.Tensor | None = None
    for term in terms:
        own = gradients if term.players == BOTH else (gradients[BOTH.index(term.players[0])],)
        value = term.weighted(term.function(own, t), t)
        total = value if total is None else total + value
    assert total is not None
    return total


def _sum(a: torch.Tensor | None, b: torch.Tensor | None) -> torch.Tensor | None:
    return b if a is None else a if b is None else a + b
