"""The dynamics that learn the mixture: optimal, first order, unrolled, and what might cure first order."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from odegan import Game, games, penalties, unrolled
from odegan.field.penalty_terms import Function
from odegan.games.closed_form.gmm_tv import IntervalGame
from odegan.games.closed_form.interval_union import mass
from odegan.penalties import Penalty

ORDERS = ("project", "none", "sort")


@dataclass(frozen=True, eq=False)
class Dynamics:
    """A name, a game, and arguments of ``odeint_gan``."""

    group: str
    name: str
    game: Game
    step_size: float
    arguments: dict[str, Any] = field(default_factory=lambda: {"solver": "euler"})

    @property
    def label(self) -> str:
        """The name with the step size."""
        return f"{self.name}, h = {self.step_size:g}"


def truth(k: int) -> torch.Tensor:
    """The means mu* (k,) of the truth, in float64: a distance of 1 apart, around 0.

    >>> truth(2).tolist()
    [-0.5, 0.5]
    """
    return torch.arange(k, dtype=torch.float64) - (k - 1) / 2


def function_norm(weight: float | torch.Tensor) -> Penalty:
    """Closed-loop control of an indicator, whose square is itself: penalize D by (weight/2) (P_{G*}(D) + P_G(D)).

    That is half the weight times int D^2 under both laws, the literal squared feedback with expectations in place of replayed
    samples. The best D becomes the set where (1 - weight/2) g* > (1 + weight/2) g, with densities g* and g: where these nearly
    agree, it is empty.
    """

    def terms(game: Game) -> tuple[Function, None]:
        assert isinstance(game, IntervalGame)
        return lambda ends, mu, batch, t: (mass(ends, game.mu_star.to(mu)) + mass(ends, mu)) / 2, None

    return Penalty("function_norm", weight, terms)


# Name -> (penalty, its weights).
PENALTIES: dict[str, tuple[Callable[[torch.Tensor], Penalty], tuple[float, ...]]] = {
    "generator gradient": (penalties.generator_gradient, (1.0, 10.0, 100.0)),
    "JARE": (penalties.jare, (1.0, 10.0, 100.0)),
    "consensus": (penalties.consensus, (1.0, 10.0, 100.0)),
    "closed loop": (function_norm, (0.01, 0.1, 0.5)),
}


def plain(h: float, k: int) -> list[Dynamics]:
    """The optimal discriminator, and first order under every handling of the order."""
    found = [Dynamics("theories", "optimal", games.gmm_tv(truth(k)).optimal(), h)]
    return found + [Dynamics("theories", f"first order, {o}", games.gmm_tv(truth(k), order=o), h) for o in ORDERS]


def ahead(h: float, unroll: int, k: int) -> list[Dynamics]:
    """Unrolled in every variant and under every handling of the order."""
    found = []
    for order, (persistent, through) in itertools.product(ORDERS, itertools.product((True, False), repeat=2)):
        base = games.gmm_tv(truth(k), order=order)
        # A tensor, so that one compiled step serves every step size.
        game = unrolled(base, unroll, torch.tensor(h), persistent=persistent, through=through)
        variant = ("persistent" if persistent else "lookahead") + (", through" if through else ", held")
        found.append(Dynamics("theories", f"{variant}, {order}", game, h))
    return found


def cures(h: float, k: int) -> list[Dynamics]:
    """First order under the projection: better integration, and every penalty."""
    game = games.gmm_tv(truth(k))
    found = [Dynamics("cures", "first order, Euler", game, h)]
    for name, solver in {"Heun": "heun2", "RK4": "rk4_classic"}.items():
        found.append(Dynamics("cures", f"first order, {name}", game, h, {"solver": solver}))
    found.append(Dynamics("cures", "first order, dopri5", game, h, {"solver": "dopri5"}))
    for name, (make, weights) in PENALTIES.items():
        for weight in weights:
            # A tensor here too, so that one compiled step serves every weight.
            made = {"solver": "euler", "penalties": [make(torch.tensor(weight))]}
            found.append(Dynamics("cures", f"{name} {weight:g}", game, h, made))
    return found
