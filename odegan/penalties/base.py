"""``Penalty``: extra losses for one player or both, constructed from a game."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import torch

from odegan.field.penalty_terms import Function, Term, Weight, as_term, pair_of_terms
from odegan.field.schedules import in_steps
from odegan.games.game import Game
from odegan.utils.checks import ArgumentError, argument_error, check_arity, check_number


@dataclass(frozen=True)
class Penalty:
    """A named penalty: calling it with a game gives (extra_disc_loss, extra_gen_loss), either of which may be None.

    Each extra loss is a function (theta_d, theta_g, batch, t) -> scalar and is differentiated with respect to its own
    player's parameters only.

    Attributes:
        name: what messages and tables call it.
        weight: a number, a tensor (differentiable) or a function of time.
        terms: game -> the pair of unweighted extra losses.
        settings: the other arguments, for messages and checkpoints.
        replay: capacity, in batches, of the replay buffers that the penalty needs; None: no buffers.
        noise: whether the penalty reads uniform numbers (B,) from ``batch.noise``.
        divisible: whether each term is a mean over the batch or a ``BatchMeanTerm``, so that micro-batches can be used.

    Examples:
        >>> decay = Penalty("decay", 0.1, lambda game: (lambda theta_d, theta_g, batch, t: (theta_d**2).sum() / 2, None))
        >>> from odegan.games.closed_form.linear import bilinear
        >>> extra_disc_loss, extra_gen_loss = decay(bilinear())
        >>> extra_disc_loss(torch.tensor([2.0]), torch.tensor([0.0]), None, 0.0), extra_gen_loss
        (tensor(0.2000), None)
    """

    name: str
    weight: Weight
    terms: Callable[[Game], tuple[Term | Function | None, Term | Function | None]]
    settings: Mapping[str, object] = field(default_factory=dict)
    replay: int | None = None
    noise: bool = False
    divisible: bool = True

    def __call__(self, game: Game) -> tuple[Term | None, Term | None]:
        """The weighted extra losses for this game."""
        disc, gen = pair_of_terms(self.terms(game))
        return self._weighted(disc), self._weighted(gen)

    def _weighted(self, extra: Term | Function | None) -> Term | None:
        # The weight stays beside the function, so that a schedule in steps can be evaluated once a step; see ``Term.at_step``.
        return None if extra is None else replace(as_term(extra), weight=self.weight)

    def __repr__(self) -> str:
        given = [_plain(self.weight), *(f"{name}={_plain(value)!r}" for name, value in self.settings.items())]
        return f"{self.name}({', '.join(str(part) for part in given)})"


def checked_weight(weight: Weight, name: str = "weight", *, strict: bool = False) -> Weight:
    """Return the weight if it is a finite number >= 0 (``strict``: > 0), a one-element tensor, or a function of time."""
    if isinstance(weight, torch.Tensor) and weight.numel() != 1:
        argument_error(name, weight, "a number, a one-element tensor or a function of time")
    # Only weights are evaluated by the run at each step; other arguments are functions of the field's time.
    if name != "weight" and in_steps(weight):
        argument_error(name, "a schedule in steps", "a number, a one-element tensor or a function of time")
    if callable(weight):
        check_arity(name, weight, 1, "a number, a one-element tensor or a function of time")
    else:
        check_number(name, weight, low=0.0, strict=strict)
    # A checkpoint tells 1 from 1.0, which are one weight.
    return float(weight) if isinstance(weight, int) else weight


_NEEDS: dict[str, tuple[Callable[[Game], bool], str]] = {
    "critic": (lambda game: game.critic is not None, "a critic D(x)"),
    "fake": (lambda game: game.makes_fakes, "generated samples"),
    "loss": (lambda game: game.loss is not None, "a loss of logits"),
}


def need(game: Game, penalty: str, *parts: str) -> None:
    """Refuse a game that lacks a part that the penalty reads: critic, generated samples, or loss of logits."""
    for part in parts:
        has, words = _NEEDS[part]
        if not has(game):
            raise ArgumentError(f"penalties: {penalty} needs {words}, which the game {game.name!r} does not have")


def _plain(value: object) -> object:
    # A tensor is shown as its number. A function shows its name, since its repr holds an address in memory.
    value = float(value.detach()) if isinstance(value, torch.Tensor) else value
    return getattr(value, "__qualname__", value)
