"""Adam and RMSProp, which divide every parameter's step by the size of its own gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch

from odegan.solvers.rates import Rates, of_both, times
from odegan.solvers.torchdiffeq_backend import Scalar
from odegan.solvers.update_rules import Memory, Step, StepContext, Stepped
from odegan.utils.autodiff import root
from odegan.utils.checks import argument_error, check_number

Rule: TypeAlias = Callable[[torch.Tensor, Memory], Stepped]  # (v, memory) -> (direction, memory)


def adam(
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    alternating: bool = False,
    disc_steps: int = 1,
    rates: Rates = (1.0, 1.0),
) -> Step:
    """Adam (Kingma and Ba 2015, algorithm 1) on the gradient -v, with torch.optim.Adam's arithmetic.

    The learning rate of player p is h rates[p], which gives the two-time-scale rule of Heusel et al. (2017).

    Args:
        betas: decay of the two moments, each in [0, 1).
        eps: added to the root of the second moments.
        alternating: G moves after D, at D's new parameters.
        disc_steps: steps of D before each of G; more than one needs ``alternating``.
        rates: rates of D and G, numbers or functions of time.

    Raises:
        ArgumentError: a value outside of its range.

    Examples:
        >>> import odegan
        >>> run = {"solver": "adam", "step_size": 0.5, "options": {"betas": (0.5, 0.9)}}
        >>> odegan.odeint_gan(odegan.games.bilinear(), torch.tensor([1.0, 0.0]), steps=1, **run).y
        tensor([1.0000, 0.5000])
    """
    if (
        not isinstance(betas, tuple | list)
        or len(betas) != 2
        or not all(0 <= check_number("betas", b) < 1 for b in betas)
    ):
        argument_error("betas", betas, "a pair of numbers in [0, 1)")
    check_number("eps", eps, low=0.0)

    def rule(v: torch.Tensor, memory: Memory) -> Stepped:
        v = v.to(memory["first"])
        # v is minus the gradient, hence the signs of the moments and of the step.
        n = memory["count"] + 1
        first = betas[0] * memory["first"] - (1 - betas[0]) * v
        second = betas[1] * memory["second"] + (1 - betas[1]) * v**2
        scale = root(second / (1 - betas[1] ** n)) + eps
        return -(first / (1 - betas[0] ** n)) / scale, {"first": first, "second": second, "count": n}

    return _by_rule(rule, alternating, disc_steps, rates)


def rmsprop(
    alpha: float = 0.99,
    eps: float = 1e-8,
    alternating: bool = False,
    disc_steps: int = 1,
    rates: Rates = (1.0, 1.0),
) -> Step:
    """RMSProp (Hinton 2012) on the gradient -v, with torch.optim.RMSprop's arithmetic.

    The learning rate of player p is h rates[p].

    Args:
        alpha: decay of the second moment, in [0, 1).
        eps: added to the root of the second moments.
        alternating: G moves after D, at D's new parameters.
        disc_steps: steps of D before each of G; more than one needs ``alternating``.
        rates: rates of D and G, numbers or functions of time.

    Raises:
        ArgumentError: a value outside of its range.

    Examples:
        >>> import odegan
        >>> run = {"solver": "rmsprop", "step_size": 0.5}
        >>> odegan.odeint_gan(odegan.games.bilinear(), torch.tensor([1.0, 0.0]), steps=1, **run).y
        tensor([1.0000, 5.0000])
    """
    if not 0 <= check_number("alpha", alpha) < 1:
        argument_error("alpha", alpha, "a number in [0, 1)")
    check_number("eps", eps, low=0.0)

    def rule(v: torch.Tensor, memory: Memory) -> Stepped:
        v = v.to(memory["second"])
        second = alpha * memory["second"] + (1 - alpha) * v**2
        return v / (root(second) + eps), {"second": second}

    return _by_rule(rule, alternating, disc_steps, rates)


def _by_rule(rule: Rule, in_turn: bool, disc_steps: int, rates: Rates) -> Step:
    """Apply an optimizer's rule to both players at once, or to D ``disc_steps`` times and then to G."""

    def together(context: StepContext, t: Scalar, h: Scalar, y: torch.Tensor, memory: Memory) -> Stepped:
        direction, memory = rule(context.joint(t, y), memory)
        return (y + h * of_both(direction, rates, context.n_disc, t)).to(y), memory

    def one_by_one(context: StepContext, t: Scalar, h: Scalar, y: torch.Tensor, memory: Memory) -> Stepped:
        n = context.n_disc
        disc = part_of_memory(memory, "disc.")
        gen = part_of_memory(memory, "gen.")
        for _ in range(disc_steps):
            direction, disc = rule(context.disc(t, y), disc)
            # The rate multiplies the direction after the rule: before it, the rule would divide it out again.
            y = torch.cat([y[..., :n] + h * times(direction, rates[0], t), y[..., n:]], dim=-1).to(y)
        direction, gen = rule(context.gen(t, y), gen)
        y1 = torch.cat([y[..., :n], y[..., n:] + h * times(direction, rates[1], t)], dim=-1).to(y)
        return y1, named_memory(disc, "disc.") | named_memory(gen, "gen.")

    return one_by_one if in_turn else together


def part_of_memory(memory: Memory, prefix: str) -> Memory:
    """One player's memory, with the prefix removed from its names."""
    return {key.removeprefix(prefix): value for key, value in memory.items() if key.startswith(prefix)}


def named_memory(memory: Memory, prefix: str) -> Memory:
    """One player's memory, with a prefix added to its names."""
    return {prefix + key: value for key, value in memory.items()}
