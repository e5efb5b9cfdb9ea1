"""The gallery of the Dirac GAN: every variant's loss and penalty, its equilibrium, and what is known of it there."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch

from experiments.framework.eigenvalue_blocks import Block
from odegan import Game, games, penalties, vector_field
from odegan.penalties import Penalty


class Variant(NamedTuple):
    """A loss with a penalty, or with feedback on phi; ``method``: its name in ``eigenvalue_blocks``, if it has one."""

    loss: str
    method: str | None = "none"
    penalty: Callable[[float], Penalty] | None = None
    feedback: bool = False


# The losses alone, then each penalty with the loss of the paper that it is from. "feedback" adds -lambda phi to phi';
# "closed loop" is the literal penalty lambda (D(c)^2 + D(theta)^2), without a buffer.
VARIANTS: dict[str, Variant] = {
    "minimax": Variant("minimax"),
    "non-saturating": Variant("non_saturating"),
    "Wasserstein": Variant("wasserstein"),
    "hinge": Variant("hinge"),
    "least squares": Variant("least_squares", None),
    "relativistic": Variant("relativistic"),
    "R1": Variant("non_saturating", "R1", penalties.r1),
    "WGAN-GP": Variant("wasserstein", None, penalties.wgan_gp),
    "zero-centered GP": Variant("wasserstein", "zero-centered GP", lambda w: penalties.wgan_gp(w, center=0.0)),
    "reg-G2": Variant("minimax", "reg-G2", lambda w: penalties.reg(w, player="gen", norm="opponent")),
    "consensus": Variant("minimax", "consensus", penalties.consensus),
    "JARE": Variant("minimax", "JARE", penalties.jare),
    "generator gradient": Variant("non_saturating", "generator gradient", penalties.generator_gradient),
    "feedback": Variant("wasserstein", "feedback", feedback=True),
    "closed loop": Variant("wasserstein", "closed loop", lambda w: penalties.closed_loop(w, buffer=0)),
}

# The same penalties, all with the minimax loss, for the eigenvalues against the weight. WGAN-GP has none, see ``is_smooth``.
SWEPT = {
    name: variant._replace(loss="minimax") for name, variant in VARIANTS.items() if variant.method not in (None, "none")
}

# loss -> c -> the block at the equilibrium (0, c).
_BLOCKS: dict[str, Callable[[float], Block]] = {
    "minimax": lambda c: Block(c**2 / 2, 0.5, c),
    "non_saturating": lambda c: Block(c**2 / 2, 0.5, c),
    "wasserstein": lambda c: Block(0.0, 1.0, c),
    "hinge": lambda c: Block(0.0, 1.0, c),
    "relativistic": lambda c: Block(0.0, 0.5, c),
}


def block(variant: Variant, c: float) -> Block | None:
    """The block of the variant's loss, if its method has a closed form."""
    return _BLOCKS[variant.loss](c) if variant.method else None


def build(variant: Variant, c: float, weight: float) -> tuple[Game, list[Penalty]]:
    """The game and its penalties."""
    game = games.dirac(variant.loss, c, feedback=weight if variant.feedback else 0.0)
    return game, [variant.penalty(weight)] if variant.penalty else []


def is_smooth(game: Game, made: list[Penalty], point: torch.Tensor) -> bool:
    """Whether the field vanishes at the point and is continuous there, so that it can be linearized.

    WGAN-GP is not: its term w (|phi| - 1)^2 has a kink at phi = 0. Least squares has no equilibrium unless c = 0.
    """
    field = vector_field(game, made)
    # Around the point, too: at a kink the field may vanish at the point itself.
    nudges = 1e-8 * torch.cat([torch.zeros(1, 2), torch.eye(2), -torch.eye(2)]).to(point)
    return all(float(field(0.0, point + nudge).norm()) < 1e-4 for nudge in nudges)
