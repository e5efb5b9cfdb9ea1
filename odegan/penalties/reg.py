"""Penalties on gradient norms for one player: reg-G1, reg-G2, reg-D1, reg-D2."""

from __future__ import annotations

import torch

from odegan.field.penalty_terms import Term, gradient_term
from odegan.games.game import Game
from odegan.games.players import BOTH, Player
from odegan.penalties.base import Penalty, Weight, checked_weight
from odegan.utils.checks import choose
from odegan.utils.keywords import keywords


@keywords()
def reg(weight: Weight, player: str = "gen", norm: str = "joint") -> Penalty:
    """Penalize one player by (weight/2) times a squared gradient norm; the other player's loss is unchanged.

    With g_p = d loss_p / d theta_p: norm "joint" is ||g_D||^2 + ||g_G||^2, "opponent" the other player's alone.

    | name   | player   | norm         |
    | ------ | -------- | ------------ |
    | reg-G1 | `"gen"`  | `"joint"`    |
    | reg-G2 | `"gen"`  | `"opponent"` |
    | reg-D1 | `"disc"` | `"joint"`    |
    | reg-D2 | `"disc"` | `"opponent"` |

    ``reg(w, "disc", "opponent")``, reg-D2, equals ``generator_gradient(w / 2)``.

    Args:
        weight: a number, a tensor (differentiable) or a function of time.
        player: whose loss the penalty is added to, "gen" or "disc".
        norm: which gradients the norm includes: both ("joint"), or the opponent's ("opponent").

    Source: the baselines of JARE (Nie and Patel 2019).

    Examples:
        >>> from odegan.games import bilinear
        >>> disc, gen = reg(1.0, player="gen", norm="joint")(bilinear())
        >>> disc, gen(torch.tensor([3.0]), torch.tensor([2.0]), None, 0.0)
        (None, tensor(6.5000))
    """
    choose("player", player, ["gen", "disc"])
    choose("norm", norm, _NORMS)

    def terms(game: Game) -> tuple[Term | None, Term | None]:
        term = half_norms(game, _NORMS[norm][player])
        # The term goes to one player alone, which differentiates it with respect to its own parameters.
        return (term, None) if player == "disc" else (None, term)

    return Penalty("reg", checked_weight(weight), terms, {"player": player, "norm": norm})


def half_norms(game: Game, players: tuple[Player, ...]) -> Term:
    """1/2 sum ||g_p||^2 over these players' own gradients."""
    # 1/2, as in JARE's regularizers, whose gradient is then the Jacobian's transpose times the field.
    return gradient_term(game, players, lambda gradients: torch.stack([(g**2).sum() for g in gradients]).sum() / 2)


_NORMS: dict[str, dict[str, tuple[Player, ...]]] = {
    "joint": {"disc": BOTH, "gen": BOTH},
    "opponent": {"disc": ("gen",), "gen": ("disc",)},
}
