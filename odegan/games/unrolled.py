"""The game made by ``odegan.unrolled``, whose generator plays against a discriminator k steps ahead."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

from odegan.games.batch import Batch, BatchLike
from odegan.games.game import Game
from odegan.games.labels import Label, LabeledForward
from odegan.games.players import Player, Players
from odegan.utils.autodiff import vjp

# (f, t, h, y) -> y1: one step of size h of y' = f(t, y).
OneStep = Callable[[Callable[..., torch.Tensor], Any, Any, torch.Tensor], torch.Tensor]


class Unrolled(Game):
    """An unrolled game; made by ``unrolled``. Attributes that it lacks are those of ``base``."""

    def __init__(
        self,
        base: Game,
        steps: int,
        step_size: float | torch.Tensor,
        solver: str,
        one_step: OneStep,
        persistent: bool,
        through: bool,
    ) -> None:
        self.base = base
        self.steps = steps
        self.step_size = step_size
        self.solver = solver
        self.persistent = persistent
        self.through = through
        self._one_step = one_step
        super().__init__(
            base.disc_loss,
            lambda theta_d, theta_g, batch: base.gen_loss(self.ahead(theta_d, theta_g, batch), theta_g, batch),
            base.n_disc,
            base.n_gen,
            critic=base.critic,
            real=base.real,  # the method, which a game may override
            fake=base._fake,
            sample=base._sample,
            init=base._init,
            project=base.project,
            loss=base.loss,
            couples_batch=True,  # a generated sample's loss depends on the others through U_k
            name=f"unrolled {base.name}",
        )
        self.critic_couples_batch = base.critic_couples_batch
        self.conditional = base.conditional
        self.augmentation = base.augmentation

    def ahead(self, theta_d: torch.Tensor, theta_g: torch.Tensor, batch: Batch | None = None) -> torch.Tensor:
        """The discriminator (n_disc,) after its k steps, U_k(theta_d; theta_g)."""

        def descent(t: float | torch.Tensor, d: torch.Tensor, perturb: object = None) -> torch.Tensor:
            return -self.base.player_gradient("disc", d, theta_g, batch)

        h: Any = self.step_size
        for _ in range(self.steps):
            theta_d = self._one_step(descent, 0.0, h, theta_d)
            if self.project is not None:
                # A projection is a function of the whole state; G's part is dropped, as G does not move here.
                theta_d = self.project(torch.cat([theta_d, theta_g]))[: self.n_disc]
        return theta_d

    # The players' parts of the field.
    def _evaluate(self, theta_d: torch.Tensor, theta_g: torch.Tensor, batch: Batch | None) -> tuple[Players, Players]:
        """Both players' parts and losses, from one unrolling."""
        grad_g, loss_g, ahead = self._generator(theta_d, theta_g, batch)
        if self.persistent:
            # So that an Euler step of length step_size along the field ends where the k steps end.
            grad_d = (theta_d - ahead) / self.step_size
            loss_d = self.disc_loss(theta_d, theta_g, batch)
        else:
            grad_d, loss_d = self.base.player_gradient("disc", theta_d, theta_g, batch, with_loss=True)
        return (grad_d, grad_g), (loss_d, loss_g)

    def _evaluate_player(
        self, player: Player, theta_d: torch.Tensor, theta_g: torch.Tensor, batch: Batch | None
    ) -> Players:
        """One player's part and loss; persistent: D's part is minus k steps over step_size."""
        if player == "gen":
            return self._generator(theta_d, theta_g, batch)[:2]
        if not self.persistent:
            return self.base.player_gradient("disc", theta_d, theta_g, batch, with_loss=True)
        ahead = self.ahead(theta_d, theta_g, batch)
        return (theta_d - ahead) / self.step_size, self.disc_loss(theta_d, theta_g, batch)

    def _generator(
        self, theta_d: torch.Tensor, theta_g: torch.Tensor, batch: Batch | None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The generator's gradient and loss, and U_k."""
        if not self.through:
            ahead = self.ahead(theta_d, theta_g, batch)
            return *self.base.player_gradient("gen", ahead, theta_g, batch, with_loss=True), ahead

        def loss(own: torch.Tensor) -> Players:
            ahead = self.ahead(theta_d, own, batch)
            return self.base.gen_loss(ahead, own, batch), ahead

        value, vjp_fn, ahead = vjp(loss, theta_g)
        return vjp_fn(torch.ones_like(value)), value, ahead

    # The further methods of games of networks.
    def critic_fn(self, theta_d: torch.Tensor, batch: Batch | None = None) -> LabeledForward:
        """The critic as a function of samples and, with a class-conditional base, of their labels."""
        return self.base.critic_fn(theta_d, batch)

    def labels_to_draw(self, label: Label, n: int, like: torch.Tensor) -> torch.Tensor | None:
        """The base's labels (n,) of n samples to draw."""
        return self.base.labels_to_draw(label, n, like)

    def modules(self, y: torch.Tensor, batches: Iterable[BatchLike] | None = None) -> tuple[nn.Module, nn.Module]:
        """New modules (generator, discriminator) with the parameters y."""
        return self.base.modules(y, batches)

    def initial_buffers(self, y: torch.Tensor) -> dict[str, torch.Tensor]:
        """The initial buffers of the base game."""
        return self.base.initial_buffers(y)

    def update_buffers(self, buffers: dict[str, torch.Tensor], y: torch.Tensor) -> dict[str, torch.Tensor]:
        """The buffers of the base game after a step that ended at y; they are constant during the k steps."""
        return self.base.update_buffers(buffers, y)

    def with_draws(
        self, batch: Batch | None, seed: int = 0, t: float = 0.0, members: int | None = None
    ) -> Batch | None:
        """The batch with the random numbers that the base game reads."""
        return self.base.with_draws(batch, seed, t, members)

    def prepared(self, y: torch.Tensor, batch: Batch | None) -> Unrolled:
        """The unrolled game of the prepared base game."""
        base = self.base.prepared(y, batch)
        return Unrolled(base, self.steps, self.step_size, self.solver, self._one_step, self.persistent, self.through)

    def check(self, y: torch.Tensor, batch: Batch | None) -> None:
        """Check the base game, and take over its finding on layers that couple the batch."""
        self.base.check(y, batch)
        self.critic_couples_batch = self.base.critic_couples_batch

    def __getattr__(self, name: str) -> Any:
        """Any other attribute of the base game: its loss, latent shape, networks, closed forms."""
        # copy and pickle ask for attributes before ``base`` exists: without this the lookup would not end.
        if name == "base" or name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.base, name)
