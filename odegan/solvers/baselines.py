"""The optimisers GANs are usually trained with, as solvers: one iteration of size h is a step of length h in time.

Each is a function (stages, t, h, y, memory) -> (y1, memory). ``stages`` gives the field: ``stages.joint(t, y)`` for both
players, ``stages.disc`` and ``stages.gen`` for one player's part; every call moves on to the next minibatch when the
refresh is per stage. ``memory`` is what the method carries between steps, a dict of tensors shaped like y.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch

from odegan.utils.checks import fail, flag, number, whole

Memory = dict[str, torch.Tensor]
Step = Callable[["Stages", Any, Any, torch.Tensor, Memory], tuple[torch.Tensor, Memory]]


class Stages(Protocol):
    """The field during one step; see the module."""

    n_disc: int

    def joint(self, t: Any, y: torch.Tensor) -> torch.Tensor:
        """Both players' parts (..., P)."""

    def disc(self, t: Any, y: torch.Tensor) -> torch.Tensor:
        """The discriminator's part (..., n_disc)."""

    def gen(self, t: Any, y: torch.Tensor) -> torch.Tensor:
        """The generator's part (..., n_gen)."""


def alternating(disc_steps: int = 1) -> Step:
    """disc_steps of theta_D <- theta_D + h v_D(theta_D, theta_G), then theta_G <- theta_G + h v_G(new theta_D, theta_G)."""

    def step(stages: Stages, t: Any, h: Any, y: torch.Tensor, memory: Memory) -> tuple[torch.Tensor, Memory]:
        n = stages.n_disc
        for _ in range(disc_steps):
            y = torch.cat([y[..., :n] + h * stages.disc(t, y), y[..., n:]], dim=-1)
        return torch.cat([y[..., :n], y[..., n:] + h * stages.gen(t, y)], dim=-1), memory

    return step


def extragradient() -> Step:
    """y1 = y + h v(y + h v(y)) (Korpelevich 1976; Gidel et al. 2019)."""

    def step(stages: Stages, t: Any, h: Any, y: torch.Tensor, memory: Memory) -> tuple[torch.Tensor, Memory]:
        ahead = y + h * stages.joint(t, y)
        return y + h * stages.joint(t + h, ahead), memory

    return step


def optimistic() -> Step:
    """y_{k+1} = y_k + h (2 v_k - v_{k-1}), with v_{-1} = v_0 (Popov 1980; Daskalakis et al. 2018)."""

    def step(stages: Stages, t: Any, h: Any, y: torch.Tensor, memory: Memory) -> tuple[torch.Tensor, Memory]:
        v = stages.joint(t, y)
        previous = torch.where(memory["count"] > 0, memory["velocity"], v)
        return y + h * (2 * v - previous), {"velocity": v, "count": memory["count"] + 1}

    return step


def adam(betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8, **players: Any) -> Step:
    """Adam (Kingma and Ba 2015) on the gradient -v, learning rate h; torch.optim.Adam's arithmetic."""
    if not isinstance(betas, tuple | list) or len(betas) != 2 or not all(0 <= number("betas", b) < 1 for b in betas):
        fail("betas", betas, "a pair of numbers in [0, 1)")
    number("eps", eps, low=0.0)

    def rule(v: torch.Tensor, memory: Memory) -> tuple[torch.Tensor, Memory]:
        n = memory["count"] + 1
        first = betas[0] * memory["first"] - (1 - betas[0]) * v
        second = betas[1] * memory["second"] + (1 - betas[1]) * v**2
        scale = (second / (1 - betas[1] ** n)).sqrt() + eps
        return -(first / (1 - betas[0] ** n)) / scale, {"first": first, "second": second, "count": n}

    return _by_rule(rule, **players)


def rmsprop(alpha: float = 0.99, eps: float = 1e-8, **players: Any) -> Step:
    """RMSProp (Hinton 2012) on the gradient -v, learning rate h; torch.optim.RMSprop's arithmetic."""
    if not 0 <= number("alpha", alpha) < 1:
        fail("alpha", alpha, "a number in [0, 1)")
    number("eps", eps, low=0.0)

    def rule(v: torch.Tensor, memory: Memory) -> tuple[torch.Tensor, Memory]:
        second = alpha * memory["second"] + (1 - alpha) * v**2
        return v / (second.sqrt() + eps), {"second": second}

    return _by_rule(rule, **players)


Rule = Callable[[torch.Tensor, Memory], tuple[torch.Tensor, Memory]]


def _by_rule(rule: Rule, alternating: bool = False, disc_steps: int = 1) -> Step:
    """Apply an optimiser's rule to both players at once, or to D ``disc_steps`` times and then to G."""

    def together(stages: Stages, t: Any, h: Any, y: torch.Tensor, memory: Memory) -> tuple[torch.Tensor, Memory]:
        direction, memory = rule(stages.joint(t, y), memory)
        return y + h * direction, memory

    def in_turn(stages: Stages, t: Any, h: Any, y: torch.Tensor, memory: Memory) -> tuple[torch.Tensor, Memory]:
        n = stages.n_disc
        disc, gen = _part(memory, "disc."), _part(memory, "gen.")
        for _ in range(disc_steps):
            direction, disc = rule(stages.disc(t, y), disc)
            y = torch.cat([y[..., :n] + h * direction, y[..., n:]], dim=-1)
        direction, gen = rule(stages.gen(t, y), gen)
        return torch.cat([y[..., :n], y[..., n:] + h * direction], dim=-1), _named(disc, "disc.") | _named(gen, "gen.")

    return in_turn if alternating else together


def _part(memory: Memory, prefix: str) -> Memory:
    return {key.removeprefix(prefix): value for key, value in memory.items() if key.startswith(prefix)}


def _named(memory: Memory, prefix: str) -> Memory:
    return {prefix + key: value for key, value in memory.items()}


_MAKERS: dict[str, Callable[..., Step]] = {
    "alternating": alternating,
    "extragradient": extragradient,
    "optimistic": optimistic,
    "adam": adam,
    "rmsprop": rmsprop,
}
_MEMORY = {"optimistic": ("velocity", "count"), "adam": ("first", "second", "count"), "rmsprop": ("second",)}


def make(name: str, options: dict[str, Any]) -> Step:
    """The step of a baseline with these options."""
    if "disc_steps" in options:
        whole("disc_steps", options["disc_steps"], low=1)
        if name in ("adam", "rmsprop") and not options.get("alternating"):
            fail(
                "disc_steps", options["disc_steps"], f"given with alternating=True: a joint step of {name} has no turns"
            )
    flag("alternating", options.get("alternating", False))
    return _MAKERS[name](**options)


def initial_memory(name: str, options: dict[str, Any], y: torch.Tensor, n_disc: int) -> Memory:
    """What the method carries, at the start of a run from y (..., P)."""

    def zeros(like: torch.Tensor) -> Memory:
        count = torch.zeros((), dtype=like.dtype, device=like.device)
        return {key: count if key == "count" else torch.zeros_like(like) for key in _MEMORY.get(name, ())}

    if options.get("alternating", False):
        return _named(zeros(y[..., :n_disc]), "disc.") | _named(zeros(y[..., n_disc:]), "gen.")
    return zeros(y)


def stages(name: str, options: dict[str, Any]) -> int:
    """Number of minibatches that one step reads when every stage has its own."""
    if name == "extragradient":
        return 2
    turns = name == "alternating" or options.get("alternating", False)
    return options.get("disc_steps", 1) + 1 if turns else 1


def evaluations(name: str, options: dict[str, Any]) -> int:
    """Field evaluations of one step: how often the player evaluated most often is evaluated."""
    return 2 if name == "extragradient" else options.get("disc_steps", 1)
