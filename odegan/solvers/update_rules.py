"""Update rules for games that are linear in the field: alternating, extragradient and optimistic steps.

A step is a function (context, t, h, y, memory) -> (y1, memory); an iteration of size h is a step of length h in time.
``memory`` is the method's state between steps, a dict of tensors shaped like y.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

import torch

from odegan.solvers.rates import Rates, of_both, times
from odegan.solvers.torchdiffeq_backend import Scalar

Memory: TypeAlias = dict[str, torch.Tensor]
Stepped: TypeAlias = tuple[torch.Tensor, Memory]


class StepContext(Protocol):
    """The field during one step. With ``refresh="stage"`` every call uses the next minibatch."""

    n_disc: int

    def joint(self, t: Scalar, y: torch.Tensor) -> torch.Tensor:
        """The whole field (..., P)."""

    def disc(self, t: Scalar, y: torch.Tensor) -> torch.Tensor:
        """The discriminator's part (..., n_disc)."""

    def gen(self, t: Scalar, y: torch.Tensor) -> torch.Tensor:
        """The generator's part (..., n_gen)."""


Step: TypeAlias = Callable[[StepContext, Scalar, Scalar, torch.Tensor, Memory], Stepped]


def alternating(disc_steps: int = 1) -> Step:
    """disc_steps of theta_D <- theta_D + h v_D(theta_D, theta_G), then theta_G <- theta_G + h v_G(new theta_D, theta_G).

    Examples:
        >>> import odegan
        >>> run = {"solver": "alternating", "step_size": 0.5, "options": {"disc_steps": 1}}
        >>> odegan.odeint_gan(odegan.games.bilinear(), torch.tensor([1.0, 0.0]), steps=1, **run).y
        tensor([1.0000, 0.5000])
    """

    def step(context: StepContext, t: Scalar, h: Scalar, y: torch.Tensor, memory: Memory) -> Stepped:
        n = context.n_disc
        for _ in range(disc_steps):
            # Out of place: torch.func cannot differentiate through writes into a view.
            y = torch.cat([y[..., :n] + h * context.disc(t, y), y[..., n:]], dim=-1)
        return torch.cat([y[..., :n], y[..., n:] + h * context.gen(t, y)], dim=-1), memory

    return step


def extragradient() -> Step:
    """y1 = y + h v(y + h v(y)) (Korpelevich 1976; Gidel et al. 2019).

    Examples:
        >>> import odegan
        >>> run = {"solver": "extragradient", "step_size": 0.5}
        >>> odegan.odeint_gan(odegan.games.bilinear(), torch.tensor([1.0, 0.0]), steps=1, **run).y
        tensor([0.7500, 0.5000])
    """

    def step(context: StepContext, t: Scalar, h: Scalar, y: torch.Tensor, memory: Memory) -> Stepped:
        ahead = y + h * context.joint(t, y)
        return y + h * context.joint(t + h, ahead), memory

    return step


def optimistic() -> Step:
    """y_{k+1} = y_k + h (2 v_k - v_{k-1}), with v_{-1} = v_0 (Popov 1980; Daskalakis et al. 2018).

    Examples:
        >>> import odegan
        >>> run = {"solver": "optimistic", "step_size": 0.5}
        >>> odegan.odeint_gan(odegan.games.bilinear(), torch.tensor([1.0, 0.0]), steps=1, **run).y
        tensor([1.0000, 0.5000])
    """

    def step(context: StepContext, t: Scalar, h: Scalar, y: torch.Tensor, memory: Memory) -> Stepped:
        # At the first step v_{-1} does not exist; v_0 in its place makes it an Euler step.
        v = context.joint(t, y)
        # No branch on the count: under vmap and in a compiled step it is a tensor.
        previous = torch.where(memory["count"] > 0, memory["velocity"].to(v), v)
        return y + h * (2 * v - previous), {"velocity": v.to(memory["velocity"]), "count": memory["count"] + 1}

    return step


class Modified:
    """The field with weight decay and rates: player p's part is rate_p (v_p - weight_decay theta_p)."""

    def __init__(self, context: StepContext, weight_decay: float, rates: Rates) -> None:
        self.context = context
        self.n_disc = context.n_disc
        self.weight_decay = weight_decay
        self.rates = rates

    def joint(self, t: Scalar, y: torch.Tensor) -> torch.Tensor:
        """The whole field (..., P)."""
        return of_both(self._decayed(self.context.joint(t, y), y), self.rates, self.n_disc, t)

    def disc(self, t: Scalar, y: torch.Tensor) -> torch.Tensor:
        """The discriminator's part (..., n_disc)."""
        return times(self._decayed(self.context.disc(t, y), y[..., : self.n_disc]), self.rates[0], t)

    def gen(self, t: Scalar, y: torch.Tensor) -> torch.Tensor:
        """The generator's part (..., n_gen)."""
        return times(self._decayed(self.context.gen(t, y), y[..., self.n_disc :]), self.rates[1], t)

    def _decayed(self, v: torch.Tensor, theta: torch.Tensor) -> torch.Tensor:
        return v - self.weight_decay * theta if self.weight_decay else v
