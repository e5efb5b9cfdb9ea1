"""The gradients of the penalties in the players' parameters, computed together with the game's own where this saves work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch

from odegan.field.ensemble import Time
from odegan.field.penalty_terms import GradientTerm, Point, Term
from odegan.games.batch import Batch
from odegan.games.game import Game
from odegan.games.players import BOTH, Player, Players
from odegan.utils.autodiff import vjp

Held = Mapping[Player, Sequence[object]]


class Share(NamedTuple):
    """One of ``parts`` equal parts of a batch. held: what each term holds constant, averaged over the parts."""

    parts: int
    held: Held | None = None


@dataclass(frozen=True)
class PlayersTerms:
    """Each player's extra losses: those that are functions of the players' own gradients, and the others."""

    all: Mapping[Player, Sequence[Term]]
    of_gradients: Mapping[Player, Sequence[GradientTerm]]
    others: Mapping[Player, Sequence[Term]]

    @classmethod
    def of(cls, terms: Mapping[Player, Sequence[Term]]) -> PlayersTerms:
        """Sort the terms of each player."""
        # Once, when the field is made: each evaluation would sort the same terms again.
        of_gradients = {p: [term for term in terms[p] if isinstance(term, GradientTerm)] for p in BOTH}
        others = {p: [term for term in terms[p] if not isinstance(term, GradientTerm)] for p in BOTH}
        return cls(terms, of_gradients, others)

    def at_step(self, number: Time) -> PlayersTerms:
        """The terms with their weights as they are in the step of this number."""
        return PlayersTerms.of({p: [term.at_step(number) for term in self.all[p]] for p in BOTH})


def with_penalties(
    game: Game, terms: PlayersTerms, t: Time, y: torch.Tensor, batch: Batch | None
) -> tuple[Players, Players, Sequence[torch.Tensor | None]]:
    """Both players' unpenalized gradients, losses, and penalty gradients (None without a penalty).

    The vjp of a ``GradientTerm`` encloses the game's own, so that the players' gradients are evaluated, and recorded, only
    once. If both players have such terms, D's vjp encloses G's.
    """
    theta_d, theta_g = game.split(y)
    of_disc = terms.of_gradients["disc"]
    of_gen = terms.of_gradients["gen"]

    def gen_side(d: torch.Tensor) -> tuple[Players, Players, tuple[torch.Tensor, ...]]:
        """Gradients, losses and G's penalty gradient, with D's parameters at d."""

        def of_g(g: torch.Tensor) -> tuple[torch.Tensor, tuple[Players, Players]]:
            evaluated = game.gradients(d, g, batch, with_losses=True)
            return _total(of_gen, evaluated[0], t), evaluated

        # Only aux: the gradients, which the field returns, must not be differentiated in theta_g again here.
        value, vjp_fn, evaluated = vjp(of_g, theta_g, aux_only=True)
        return *evaluated, (vjp_fn(torch.ones_like(value)),)

    def of_d(d: torch.Tensor) -> tuple[torch.Tensor, tuple[Players, Players, tuple[torch.Tensor, ...]]]:
        evaluated = gen_side(d) if of_gen else (*game.gradients(d, theta_g, batch, with_losses=True), ())
        return _total(of_disc, evaluated[0], t), evaluated

    extra_d: torch.Tensor | None = None
    if of_disc:
        value, vjp_fn, (gradients, losses, extra_g) = vjp(of_d, theta_d)
        extra_d = vjp_fn(torch.ones_like(value))
    # Without terms of D the outer vjp would record everything for a gradient that nobody needs.
    elif of_gen:
        gradients, losses, extra_g = gen_side(theta_d)
    else:
        gradients, losses = game.gradients(theta_d, theta_g, batch, with_losses=True)
        extra_g = ()
    # None, not zeros: adding a tensor of zeros would cost a pass over all parameters.
    found = (extra_d, extra_g[0] if extra_g else None)
    if not terms.others["disc"] and not terms.others["gen"]:
        return gradients, losses, found
    at = Point(theta_d, theta_g, batch, t)
    rest = [penalty_gradient(player, terms.others[player], at) for player in BOTH]
    return gradients, losses, [_sum(own, other) for own, other in zip(found, rest, strict=True)]


def penalty_gradient(
    player: Player, terms: Sequence[Term], at: Point, share: Share | None = None
) -> torch.Tensor | None:
    """The gradient of the sum of these terms in one player's parameters; None without terms."""
    if not terms:
        return None
    # Held quantities are evaluated here, outside the differentiated function, which keeps them constant at every order.
    if share is None:
        held: Sequence[object] = [term.held(at) for term in terms]
    else:
        assert share.held is not None
        held = share.held[player]
    parts = None if share is None else share.parts

    # One sum and one vjp: the terms of a player share the backward pass.
    def total(own: torch.Tensor) -> tuple[torch.Tensor, tuple[()]]:
        moved = at._replace(theta_d=own) if player == "disc" else at._replace(theta_g=own)
        values = [term.value(moved, h, parts) for term, h in zip(terms, held, strict=True)]
        return sum(values[1:], values[0]), ()

    value, vjp_fn, _ = vjp(total, at.theta_d if player == "disc" else at.theta_g)
    return vjp_fn(torch.ones_like(value))


def _total(terms: Sequence[GradientTerm], gradients: Players, t: Time) -> torch.Tensor:
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
