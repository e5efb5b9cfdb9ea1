"""Unrolling as a transform of games: the generator plays against a discriminator that has moved on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from odegan import solvers
from odegan.games.game import Game, Players, check_game
from odegan.utils.autodiff import pullback
from odegan.utils.checks import choose, flag, number, whole


def unrolled(
    game: Game,
    steps: int,
    step_size: float | torch.Tensor,
    solver: str = "euler",
    persistent: bool = False,
    through: bool = True,
) -> Game:
    """The game in which the generator sees U_k(theta_D; theta_G): the discriminator after k steps of its own flow.

        U_k: k steps of theta_D' = -d disc_loss / d theta_D with theta_G held, by the solver's own step,
             each followed by the game's projection where it has one;

        disc_loss'(theta_D, theta_G) = disc_loss(theta_D, theta_G),
        gen_loss'(theta_D, theta_G) = gen_loss(U_k(theta_D; theta_G), theta_G).

    A run keeps a step of the discriminator of its own ("lookahead": the k steps are discarded) unless ``persistent``: then the
    discriminator's part of the field is (U_k(theta_D) - theta_D) / step_size, not a gradient. One Euler step of a run with that
    step_size ends in U_k(theta_D), to rounding: it keeps the k steps, given rates (1, 1), no clipping and no penalty on the
    discriminator. Other solvers and steps integrate the same field, which is k gradients long.

    Args:
        game: any game; modules, samples, critic, buffers and projection stay what they are.
        steps: k >= 1.
        step_size: of the k steps; a number, or a one-element tensor (differentiable).
        solver: a fixed-step Runge-Kutta solver of ``odegan.solvers.names()``.
        persistent: keep the k steps; see above.
        through: whether the generator's gradient flows through the k steps. If not it is d gen_loss / d theta_G at the point
            (U_k, theta_G), U_k a constant; derivatives of the field, as the spectrum takes them, see U_k move all the same.

    Returns:
        A ``Game`` with the same y. Penalties of it are taken of its own gradients.

    Raises:
        ArgumentError: no game, no steps, or a solver that is adaptive or keeps a history.

    Source: Metz, Poole, Pfau and Sohl-Dickstein 2017, "Unrolled Generative Adversarial Networks": lookahead, through.

    Examples:
        >>> from odegan import games, vector_field
        >>> ahead = unrolled(games.bilinear(), steps=2, step_size=0.5)
        >>> vector_field(ahead)(0.0, torch.tensor([1.0, 1.0]))  # U_2(x; y) = x - y, so gen_loss' = -(x - y) y
        tensor([-1., -1.])
    """
    check_game(game)
    whole("steps", steps, low=1)
    number("step_size", step_size, low=0.0, strict=True)
    fixed = [name for name in solvers.names() if solvers.get(name).fixed_one_step]
    for name, value in {"persistent": persistent, "through": through}.items():
        flag(name, value)
    return Unrolled(game, steps, step_size, choose("solver", solver, fixed), persistent, through)


class Unrolled(Game):
    """An unrolled game; made by ``unrolled``. What it does not say itself it takes from ``base``."""

    def __init__(
        self, base: Game, steps: int, step_size: float | torch.Tensor, solver: str, persistent: bool, through: bool
    ) -> None:
        self.base, self.steps, self.step_size, self.solver = base, steps, step_size, solver
        self.persistent, self.through = persistent, through
        self._one_step = solvers.one_step(solver)
        super().__init__(
            base.disc_loss,
            lambda theta_d, theta_g, batch: base.gen_loss(self.ahead(theta_d, theta_g, batch), theta_g, batch),
            base.n_disc,
            base.n_gen,
            critic=base.critic,
            real=base._real,
            fake=base._fake,
            sample=base._sample,
            init=base._init,
            project=base.project,
            couples_batch=True,  # a generated sample's loss depends on the others through U_k
            name=f"unrolled {base.name}",
        )
        self.critic_couples_batch = base.critic_couples_batch

    def ahead(self, theta_d: torch.Tensor, theta_g: torch.Tensor, batch: Any = None) -> torch.Tensor:
        """U_k(theta_d; theta_g) (n_disc,)."""
        h: Any = self.step_size
        for _ in range(self.steps):
            theta_d = self._one_step(lambda t, d: -self.base.disc_gradient(d, theta_g, batch), 0.0, h, theta_d)
            if self.project is not None:
                theta_d = self.project(torch.cat([theta_d, theta_g]))[: self.n_disc]
        return theta_d

    # The field's parts.
    def gradients_and_losses(
        self, theta_d: torch.Tensor, theta_g: torch.Tensor, batch: Any = None
    ) -> tuple[Players, Players]:
        """Both players' parts and losses, from one unrolling."""
        grad_g, loss_g, ahead = self._generator(theta_d, theta_g, batch)
        if self.persistent:
            grad_d, loss_d = (theta_d - ahead) / self.step_size, self.disc_loss(theta_d, theta_g, batch)
        else:
            grad_d, loss_d = self.base.disc_gradient_and_loss(theta_d, theta_g, batch)
        return (grad_d, grad_g), (loss_d, loss_g)

    def disc_gradient_and_loss(self, theta_d: torch.Tensor, theta_g: torch.Tensor, batch: Any = None) -> Players:
        """The discriminator's part (persistent: minus k steps over step_size) and its loss."""
        if not self.persistent:
            return self.base.disc_gradient_and_loss(theta_d, theta_g, batch)
        ahead = self.ahead(theta_d, theta_g, batch)
        return (theta_d - ahead) / self.step_size, self.disc_loss(theta_d, theta_g, batch)

    def gen_gradient_and_loss(self, theta_d: torch.Tensor, theta_g: torch.Tensor, batch: Any = None) -> Players:
        """The generator's gradient and loss against the discriminator that has moved on."""
        return self._generator(theta_d, theta_g, batch)[:2]

    def _generator(
        self, theta_d: torch.Tensor, theta_g: torch.Tensor, batch: Any
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """(gradient, loss, U_k)."""
        if not self.through:
            ahead = self.ahead(theta_d, theta_g, batch)
            return *self.base.gen_gradient_and_loss(ahead, theta_g, batch), ahead

        def loss(own: torch.Tensor) -> Players:
            ahead = self.ahead(theta_d, own, batch)
            return self.base.gen_loss(ahead, own, batch), ahead

        value, pull, ahead = pullback(loss, theta_g)
        return pull(torch.ones_like(value)), value, ahead

    # What games of networks have beside their losses.
    def judge(self, theta_d: torch.Tensor, batch: Any = None) -> Any:
        """The critic as a function of samples alone."""
        return self.base.judge(theta_d, batch)

    def modules(self, y: torch.Tensor, batches: Iterable[Any] | None = None) -> tuple[nn.Module, nn.Module]:
        """Fresh (generator, discriminator) with the parameters y."""
        return self.base.modules(y, batches)

    def initial_buffers(self, y: torch.Tensor) -> dict[str, torch.Tensor]:
        """The base's."""
        return self.base.initial_buffers(y)

    def update_buffers(self, buffers: dict[str, torch.Tensor], y: torch.Tensor) -> dict[str, torch.Tensor]:
        """The base's, after a step that ended in y; they stand still during the k steps."""
        return self.base.update_buffers(buffers, y)

    def prepared(self, y: torch.Tensor, batch: Any) -> Unrolled:
        """Of the prepared base."""
        base = self.base.prepared(y, batch)
        return Unrolled(base, self.steps, self.step_size, self.solver, self.persistent, self.through)

    def check(self, y: torch.Tensor, batch: Any) -> None:
        """The base's check, and what it learns about layers of the critic that couple the batch."""
        self.base.check(y, batch)
        self.critic_couples_batch = self.base.critic_couples_batch

    def __getattr__(self, name: str) -> Any:
        """What else the base has: its loss, its latent's shape, its networks, its closed forms."""
        if name == "base" or name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.base, name)
