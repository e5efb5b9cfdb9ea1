"""The modified field that Euler's method follows: the game's own plus the drift of the discretization."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import torch

from odegan import ArgumentError, Game
from odegan.field.penalty_terms import Term
from odegan.games.batch import Batch
from odegan.games.players import Player, Players
from odegan.penalties import Penalty


class Drift(NamedTuple):
    """Which terms of Euler's drift are added, and how often: 1 as Euler's method itself does, -1 cancels them."""

    own: bool = True
    interaction: bool = True
    times: float = 1.0


class Drifting(Game):
    """A game with the field f + s [f(y) - f(y + (h/2) f(y))], s = ``drift.times``.

    Backward error analysis: one step y + h f(y) is, up to h^3, the flow of f - (h/2) (Df) f over h. The difference above is
    -(h/2) (Df) f up to h^2, without second derivatives, and with the kinks of ReLU networks between its two points. On a linear
    field they are equal. In player p's part, with q the opponent,

        -(h/2) (D_p f_p) f_p, moving only p's own parameters, is its own term (``own``), -grad_p (h/4) ||d_p loss_p||^2, and
        -(h/2) (D_q f_p) f_q, moving only the opponent's, is the interaction,

    which ``odegan.penalties.drift_cancellation`` subtracts. Canceled under Euler's method (s = -1, both terms), the step is
    the midpoint rule's, y + h f(y + (h/2) f(y)).

    Args:
        game: whose gradients are shifted; one of networks has to be ``prepared``.
        h: the step of Euler's method.
        drift: the terms.

    Source: Rosca, Wu, Dherin and Barrett 2021 ("Discretization Drift in Two-Player Games"), for the terms.
    """

    def __init__(self, game: Game, h: float, drift: Drift) -> None:
        if not (drift.own or drift.interaction):
            raise ArgumentError(f"drift: got {drift}; it must be with one of its terms at least")
        super().__init__(
            game.disc_loss,
            game.gen_loss,
            game.n_disc,
            game.n_gen,
            critic=game.critic,
            sample=game.sample,
            couples_batch=game.couples_batch,
            loss=game.loss,
            name=f"{game.name} with drift",
        )
        self.base = game
        self.h = h
        self.drift = drift

    def _evaluate(self, theta_d: torch.Tensor, theta_g: torch.Tensor, batch: Batch | None) -> tuple[Players, Players]:
        gradients, losses = self.base.gradients(theta_d, theta_g, batch, with_losses=True)
        ahead_d = theta_d - self.h / 2 * gradients[0]
        ahead_g = theta_g - self.h / 2 * gradients[1]
        if self.drift.own and self.drift.interaction:
            ahead = self.base.gradients(ahead_d, ahead_g, batch)
        else:  # the player's own parameters move, or the opponent's
            own = self.drift.own
            at_d = (ahead_d, theta_g) if own else (theta_d, ahead_g)
            at_g = (theta_d, ahead_g) if own else (ahead_d, theta_g)
            ahead = (
                self.base.player_gradient("disc", *at_d, batch),
                self.base.player_gradient("gen", *at_g, batch),
            )
        moved = [g + self.drift.times * (g - a) for g, a in zip(gradients, ahead, strict=True)]
        return (moved[0], moved[1]), losses

    def _evaluate_player(
        self, player: Player, theta_d: torch.Tensor, theta_g: torch.Tensor, batch: Batch | None
    ) -> Players:
        # Both, though one is asked for: the interaction needs the opponent's gradient too.
        gradients, losses = self._evaluate(theta_d, theta_g, batch)
        which = 0 if player == "disc" else 1
        return gradients[which], losses[which]


def of_game(penalty: Penalty, game: Game) -> Penalty:
    """The penalty of this game's losses, whichever game it is added to: a drift is not penalized."""

    def plain(term: Term | None) -> Term | None:
        # A plain term: a gradient term would be taken of the gradients that the field has, and those have the drift.
        return None if term is None else Term(lambda *point: term(*point))

    disc, gen = penalty(game)
    return replace(penalty, weight=1.0, terms=lambda _: (plain(disc), plain(gen)))
