"""A two-player game as pure functions of flat parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, overload

import torch
from torch import Tensor, nn

from odegan.games.augmentation import Augmentation
from odegan.games.batch import Batch, BatchLike, as_batch
from odegan.games.explained import explained
from odegan.games.labels import Label, LabeledForward
from odegan.games.losses import Loss
from odegan.games.players import Player, PlayerLoss, Players
from odegan.utils.ambient import unaffected
from odegan.utils.autodiff import gradient_and_value
from odegan.utils.checks import ArgumentError, argument_error, check_functions, check_int
from odegan.utils.keywords import keywords
from odegan.utils.random_streams import are_seeds


class Game:
    """Two players, each of which descends its own loss.

    The state is y = [theta_D, theta_G] of shape (P,), P = n_disc + n_gen, and the training field is
    v(y) = -[d disc_loss / d theta_D, d gen_loss / d theta_G].

    Args:
        disc_loss: function (theta_d (n_disc,), theta_g (n_gen,), batch) -> scalar, twice differentiable by torch.func.
        gen_loss: the same for the generator.
        n_disc: number of the discriminator's parameters.
        n_gen: number of the generator's parameters.
        gradients: optional function (theta_d, theta_g, batch) -> (d disc_loss / d theta_d, d gen_loss / d theta_g), for games
            that can share work between the players, or in which a player's part of the field is not the gradient of its loss.
            Default: two vector-Jacobian products.
        critic: optional function (theta_d, x (n, ...)) -> logits (n,).
        real: function batch -> real samples (B, ...); default: ``batch.real``.
        fake: optional function (theta_g, batch) -> generated samples (B, ...), differentiable.
        sample: optional function (y, n, seed) -> samples (n, ...).
        init: optional function (seed or None) -> y (P,).
        solution: optional function (t, y0) -> y(t), if the flow is known in closed form.
        project: optional idempotent function y (P,) -> y (P,), which supports vmap, onto a feasible set, for example a cone. It
            acts after every fixed step, or after every refresh interval of an adaptive solver, never within one.
        couples_batch: whether a sample's loss depends on the other samples of its batch (None: unknown).
        loss: the objective as functions of logits, if there is one, for penalties that read it.
        name: for messages and checkpoints.

    Examples:
        >>> game = Game(lambda d, g, batch: (d * g).sum(), lambda d, g, batch: -(d * g).sum(), 1, 1)
        >>> game.losses(torch.tensor([2.0, 3.0]))
        (tensor(6.), tensor(-6.))
    """

    conditional = False  # whether ``critic_fn`` takes the samples' classes, which batches bring
    augmentation: Augmentation | None = None  # of an augmented game, whose numbers batches bring

    def __init__(
        self,
        disc_loss: PlayerLoss,
        gen_loss: PlayerLoss,
        n_disc: int,
        n_gen: int,
        *,
        gradients: Callable[[Tensor, Tensor, Any], Players] | None = None,
        critic: Callable[..., Tensor] | None = None,
        real: Callable[[Any], Tensor] | None = None,
        fake: Callable[[Tensor, Any], Tensor] | None = None,
        sample: Callable[..., Tensor] | None = None,
        init: Callable[[int | None], Tensor] | None = None,
        solution: Callable[[float | Tensor, Tensor], Tensor] | None = None,
        project: Callable[[Tensor], Tensor] | None = None,
        couples_batch: bool | None = False,
        loss: Loss | None = None,
        name: str = "game",
    ) -> None:
        check_functions("a function of (theta_d, theta_g, batch)", disc_loss=disc_loss, gen_loss=gen_loss)
        optional: dict[str, object] = {"gradients": gradients, "critic": critic, "real": real, "fake": fake}
        optional |= {"sample": sample, "init": init, "solution": solution, "project": project}
        check_functions("a function or None", **{name: part for name, part in optional.items() if part is not None})
        if couples_batch not in (True, False, None):
            argument_error("couples_batch", couples_batch, "True, False, or None: unknown")
        if not isinstance(name, str):
            argument_error("name", name, "a string")
        self.disc_loss = disc_loss
        self.gen_loss = gen_loss
        self.n_disc = check_int("n_disc", n_disc)
        self.n_gen = check_int("n_gen", n_gen)
        self.n_params = self.n_disc + self.n_gen  # P, the length of y
        if self.n_params == 0:
            argument_error("n_disc, n_gen", (n_disc, n_gen), "such that there is a parameter to train")
        self._gradients = gradients
        self._sample = sample
        self._init = init
        self._real = real
        self._fake = fake
        self.critic = critic
        self.solution = solution
        self.project = project
        self.couples_batch = couples_batch
        self.critic_couples_batch = couples_batch
        self.couples_beyond_norms = couples_batch
        self.loss = loss
        self.name = name

    def split(self, y: Tensor) -> Players:
        """y (..., P) -> (theta_d (..., n_disc), theta_g (..., n_gen)), views."""
        if not isinstance(y, Tensor) or y.shape[-1:] != (self.n_params,):
            argument_error(
                "y", y, f"a tensor of last dimension {self.n_params} (n_disc {self.n_disc} + n_gen {self.n_gen})"
            )
        return y[..., : self.n_disc], y[..., self.n_disc :]

    @unaffected
    def losses(self, y: Tensor, batch: Batch | None = None) -> Players:
        """(disc_loss, gen_loss) at y (P,), two scalars. batch: ``Batch``, a pair (real, latent), or None."""
        theta_d, theta_g = self.split(y)
        full = as_batch(batch)
        both = self.disc_loss, self.gen_loss
        disc, gen = explained("losses", lambda: [f(theta_d, theta_g, full) for f in both], self.prepared, y, full)
        return disc, gen

    @overload
    def gradients(self, theta_d: Tensor, theta_g: Tensor, batch: Batch | None = ...) -> Players: ...

    @overload
    def gradients(
        self, theta_d: Tensor, theta_g: Tensor, batch: Batch | None = ..., *, with_losses: Literal[True]
    ) -> tuple[Players, Players]: ...

    @unaffected
    def gradients(
        self, theta_d: Tensor, theta_g: Tensor, batch: Batch | None = None, *, with_losses: bool = False
    ) -> Players | tuple[Players, Players]:
        """(d disc_loss / d theta_d (n_disc,), d gen_loss / d theta_g (n_gen,)) at one point.

        With ``with_losses``, return (gradients, (disc_loss, gen_loss)); the losses come from the same pass.
        """
        gradients, losses = self._evaluate(theta_d, theta_g, batch)
        return (gradients, losses) if with_losses else gradients

    @overload
    def player_gradient(
        self, player: Player, theta_d: Tensor, theta_g: Tensor, batch: Batch | None = ...
    ) -> Tensor: ...

    @overload
    def player_gradient(
        self, player: Player, theta_d: Tensor, theta_g: Tensor, batch: Batch | None = ..., *, with_loss: Literal[True]
    ) -> Players: ...

    @unaffected
    def player_gradient(
        self, player: Player, theta_d: Tensor, theta_g: Tensor, batch: Batch | None = None, *, with_loss: bool = False
    ) -> Tensor | Players:
        """The gradient of one player's loss with respect to its own parameters: (n_disc,) for "disc", (n_gen,) for "gen".

        With ``with_loss``, return (gradient, loss).
        """
        gradient, loss = self._evaluate_player(player, theta_d, theta_g, batch)
        return (gradient, loss) if with_loss else gradient

    # Overridden by games that can share work.
    def _evaluate(self, theta_d: Tensor, theta_g: Tensor, batch: Batch | None) -> tuple[Players, Players]:
        """Both players' gradients and losses at one point."""
        if self._gradients is not None:
            losses = self.disc_loss(theta_d, theta_g, batch), self.gen_loss(theta_d, theta_g, batch)
            return self._gradients(theta_d, theta_g, batch), losses
        grad_d, loss_d = self._evaluate_player("disc", theta_d, theta_g, batch)
        grad_g, loss_g = self._evaluate_player("gen", theta_d, theta_g, batch)
        return (grad_d, grad_g), (loss_d, loss_g)

    def _evaluate_player(self, player: Player, theta_d: Tensor, theta_g: Tensor, batch: Batch | None) -> Players:
        """One player's gradient and loss at one point."""
        loss = self.disc_loss if player == "disc" else self.gen_loss
        if self._gradients is not None:
            return self._gradients(theta_d, theta_g, batch)[0 if player == "disc" else 1], loss(theta_d, theta_g, batch)
        name = f"{player}_loss" if self.loss is None else "loss"  # of the argument that it came from
        if player == "disc":
            return gradient_and_value(lambda own: loss(own, theta_g, batch), theta_d, name)
        return gradient_and_value(lambda own: loss(theta_d, own, batch), theta_g, name)

    @keywords(elsewhere={"seeds": "seed"})
    @unaffected
    def init(self, seed: int | Sequence[int] | None = None) -> Tensor:
        """An initial state y (P,): the game's own, or a random one for a seed; for E seeds (range(8)), an ensemble (E, P)."""
        if self._init is None:
            raise ArgumentError(f"init: {self.name} has no starting point; pass a y0 of shape ({self.n_params},)")
        if are_seeds(seed) and len(seed):
            return torch.stack([self._init(check_int("seed", one)) for one in seed])
        return self._init(seed if seed is None else check_int("seed", seed))

    @keywords(elsewhere=dict.fromkeys(("labels", "classes"), "label"))
    @unaffected
    def sample(self, y: Tensor, n: int, seed: int = 0, label: Label = None, *, differentiable: bool = False) -> Tensor:
        """n samples of the generator: (n, ...) for y (P,), (E, n, ...) for y (E, P), (T, E, n, ...) for an ensemble's ``ys``.

        Args:
            y: one state, or any number of them.
            n: number of samples per state.
            seed: seed of the latents, the same for every state.
            label: in class-conditional games, one class for all samples, or n classes. None: cycle through all classes, if
                their number is known.
            differentiable: whether the samples can be differentiated with respect to y; if not, they are detached.

        Raises:
            ArgumentError: the game has no generator, or a label is missing, unexpected or out of range.
        """
        if self._sample is None:
            raise ArgumentError(f"sample: {self.name} has no generator to draw from")
        self.split(y)
        n = check_int("n", n, low=1)
        labels = self.labels_to_draw(label, n, y)
        given = (n, check_int("seed", seed), *(() if labels is None else (labels,)))
        with torch.set_grad_enabled(differentiable and torch.is_grad_enabled()):
            if y.ndim == 1:
                return self._sample(y, *given)
            drawn = torch.stack([self._sample(one, *given) for one in y.flatten(0, -2)])
            return drawn.unflatten(0, y.shape[:-1])

    def labels_to_draw(self, label: Label, n: int, like: Tensor) -> Tensor | None:
        """The labels (n,) of n samples to draw, on the device of ``like``; None in a game without labels."""
        if label is not None:
            argument_error("label", label, f"None: {self.name} takes no labels")
        return None

    @property
    def makes_fakes(self) -> bool:
        """Whether the game has generated samples, ``fake``."""
        return self._fake is not None

    def real(self, batch: Batch | None) -> Tensor:
        """The real samples (B, ...) of a batch."""
        if self._real is not None:
            return self._real(batch)
        if batch is None:
            raise ArgumentError(f"batch: got None; {self.name} reads its real samples from it")
        return batch.real

    @unaffected
    def fake(self, theta_g: Tensor, batch: Batch | None = None) -> Tensor:
        """The generated samples (B, ...) of a batch."""
        if self._fake is None:
            raise ArgumentError(f"fake: {self.name} has no generated samples")
        return self._fake(theta_g, batch)

    def critic_fn(self, theta_d: Tensor, batch: Batch | None = None) -> LabeledForward:
        """The critic with the module buffers of the batch: a function of samples (n, ...), in a conditional game and labels."""
        if self.critic is None:
            raise ArgumentError(f"critic: {self.name} has none")
        critic = self.critic
        return lambda x, label=None: critic(theta_d, x)

    def __odegan_fingerprint__(self) -> dict[str, object]:
        """Everything that the field depends on; the loss describes itself."""
        # What does not change the field: samples and initial states, and findings that follow from the rest.
        others = {"loss", "critic_couples_batch", "couples_beyond_norms", "solution", "_sample", "_init"}
        return {name: part for name, part in vars(self).items() if name not in others}

    def __repr__(self) -> str:
        return f"Game({self.name}, n_disc={self.n_disc}, n_gen={self.n_gen})"

    # Overridden by games of networks: modules, buffers that change between steps, checks of the first batch.
    def modules(self, y: Tensor, batches: Iterable[BatchLike] | None = None) -> tuple[nn.Module, nn.Module]:
        """New modules (generator, discriminator) with the parameters y; only games made by ``gan`` have them."""
        raise ArgumentError(f"modules: {self.name} was not made from modules")

    def initial_buffers(self, y: Tensor) -> dict[str, Tensor]:
        """Initial values, for a run from y, of module buffers that change between steps; {} if there are none."""
        return {}

    def update_buffers(self, buffers: dict[str, Tensor], y: Tensor) -> dict[str, Tensor]:
        """The buffers after a step that ended at y, as a pure function."""
        return buffers

    def with_draws(
        self, batch: Batch | None, seed: int = 0, t: float = 0.0, members: int | None = None
    ) -> Batch | None:
        """The batch with the random numbers that this game reads from it, as a run draws them; most games read none."""
        return batch

    def check(self, y: Tensor, batch: Batch | None) -> None:
        """Refuse a batch that this game cannot use, before a run starts."""

    def prepared(self, y: Tensor, batch: Batch | None) -> Game:
        """The game that a run uses, checked with the run's y (P,) and first batch; this game itself is not changed."""
        self.check(y, batch)
        return self


def check_game(game: object) -> None:
    """Refuse anything but a ``Game``."""
    if not isinstance(game, Game):
        argument_error("game", game, "an odegan.Game, as odegan.gan(...) and odegan.games make them")
