"""``gan``: a generator and a discriminator, unmodified modules, as a game."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from odegan.games import labels, losses
from odegan.games.batch import Batch, BatchLike
from odegan.games.classes import known_classes
from odegan.games.examine import PROBED, by_structure, evaluate, examine, probe_batch, refuse_swapped, warn_of_sigmoid
from odegan.games.examine_loss import LossFailsError
from odegan.games.export import export
from odegan.games.game import Game
from odegan.games.labels import Label, LabeledForward, labels_of, on_labels
from odegan.games.latents import Latent, LatentShape, draw_latents, latent_shape
from odegan.games.network_gradients import BothPlayers
from odegan.games.network_inputs import flat_logits, read_batch
from odegan.games.players import Player, Players
from odegan.modules.forward import Execution
from odegan.modules.pure_module import PureModule
from odegan.modules.validate import CannotTakeError
from odegan.utils.ambient import unaffected
from odegan.utils.checks import ArgumentError, argument_error, check_function
from odegan.utils.distributed import sharing_ranks
from odegan.utils.keywords import keywords
from odegan.utils.random_streams import GLOBAL_GENERATORS, check_seed, reseed


@keywords()
@unaffected
def gan(
    generator: nn.Module,
    discriminator: nn.Module,
    loss: str | tuple[losses.LogitLoss, losses.LogitLoss] | losses.Loss = "non_saturating",
    *,
    latent: Latent = None,
    init: Callable[[nn.Module], Any] | None = None,
    conditional: bool | None = None,
    autocast: torch.dtype | None = None,
    channels_last: bool = False,
    checkpointing: bool = False,
) -> NetworkGame:
    """Make a game from two modules. The modules themselves are never changed: the game holds copies.

    Args:
        generator: latent (B, ...) -> samples (B, ...).
        discriminator: samples (B, ...) -> logits (B,) or (B, 1), high on real samples.
        loss: a name of ``odegan.losses.names()``, or a pair (disc, gen) of functions of (real, fake) logits.
        latent: shape of one latent, N(0, I), or a function (n, generator) -> (n, ...); None: the shape is inferred from
            the generator's first layer, if possible. ``game.sample`` draws from it, as do runs unless they get ``latent``.
        init: a function that ``game.init(seed)`` applies to every submodule after its ``reset_parameters()``, as
            ``module.apply`` does. Pass your own initialization here; otherwise ``init(seed)`` cannot repeat it.
        conditional: True: the networks are class-conditional, G(z, label) and D(x, label), with labels (B,) of whole numbers
            from ``Batch.label`` and ``Batch.fake_label``. None: they are if both forward passes need two inputs.
            ``odegan.with_labels`` wraps networks with other conventions.
        autocast: torch.bfloat16 (or float16): the precision of the networks' products; parameters, losses and the solver keep
            the state's.
        channels_last: use that memory layout for images and filters.
        checkpointing: store fewer activations for the backward pass and recompute the rest; see
            ``odegan.modules.forward.Execution``.

    Returns:
        A ``Game`` whose y is [theta_D, theta_G], each in ``named_parameters()`` order.

    Raises:
        ArgumentError: modules that cannot be pure functions of their parameters (see ``PureModule``), share a trained
            parameter, differ in dtype, or do not fit each other or the latents; an unknown loss.

    Examples:
        >>> game = gan(nn.Linear(4, 2), nn.Linear(2, 1))
        >>> game.n_disc, game.n_gen, game.sample(game.init(), 3).shape
        (3, 10, torch.Size([3, 2]))
    """
    execution = Execution(autocast, channels_last, checkpointing).check()
    return NetworkGame(generator, discriminator, losses.get(loss), latent, init, execution, conditional)


class NetworkGame(Game):
    """The game of two modules; made by ``gan``."""

    loss: losses.Loss

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        loss: losses.Loss,
        latent: Latent,
        init: Callable[[nn.Module], Any] | None,
        execution: Execution,
        conditional: bool | None,
    ) -> None:
        if init is not None:
            check_function("init", init, 1, "None, or a function of a module")
        self.generator = PureModule(generator, "generator", execution)
        self.discriminator = PureModule(discriminator, "discriminator", execution)
        self.conditional = labels.conditioned(conditional, generator, discriminator)
        self.could_take_labels = conditional is None and labels.may_take_labels(generator, discriminator)
        shared = {id(p) for p in generator.parameters() if p.requires_grad}
        if any(id(p) in shared for p in discriminator.parameters()):
            raise ArgumentError("discriminator: got a parameter that the generator trains too; they must share none")
        dtypes = self.generator.values.dtype, self.discriminator.values.dtype
        if dtypes[0] != dtypes[1]:
            argument_error("generator, discriminator", dtypes, "of one dtype")
        self.latent: LatentShape = latent_shape(generator, latent)
        pair = self.generator, self.discriminator
        self.classes = known_classes(*pair, self.latent) if self.conditional else None
        self._initialize = init
        players = self._disc_loss, self._gen_loss, self.discriminator.n, self.generator.n
        super().__init__(*players, couples_batch=None, loss=loss, name="gan")
        self._bind()
        self._warned = False  # of a final sigmoid
        self.critic_couples_batch, self.couples_batch = by_structure(self.discriminator, self.generator)
        self._try_latents(given=latent is not None)

    @unaffected
    def logits(self, theta_d: Tensor, x: Tensor, label: Tensor | None = None) -> Tensor:
        """Logits (n,) of samples x (n, ...), and in a class-conditional game of their labels (n,)."""
        return self.critic_fn(theta_d)(x, label)

    def critic_fn(self, theta_d: Tensor, batch: Batch | None = None) -> LabeledForward:
        """The discriminator as a function of samples (n, ...) -> logits (n,), with the batch's buffers.

        In a class-conditional game the function takes the samples' labels (n,) as its second argument.
        """
        bound = self.discriminator.bind(theta_d, batch.buffers if batch is not None else None)
        forward = on_labels(bound, "discriminator", self.conditional)
        return lambda x, label=None: flat_logits(forward(x, label), x)

    def _generator_fn(self, theta_g: Tensor, buffers: dict[str, Tensor] | None = None) -> LabeledForward:
        return on_labels(self.generator.bind(theta_g, buffers), "generator", self.conditional)

    def _fakes(self, theta_g: Tensor, batch: Batch | None) -> Tensor:
        batch = read_batch(batch, self.conditional, self.classes)
        return self._generator_fn(theta_g, batch.buffers)(batch.latent, labels_of(batch)[1])

    def _on(self, batch: Batch | None) -> BothPlayers:
        batch = read_batch(batch, self.conditional, self.classes)
        own = labels_of(batch) if self.conditional else (None, None)
        critic = partial(self.critic_fn, batch=batch)
        return BothPlayers(self.loss, critic, partial(self._fakes, batch=batch), batch.real, *own)

    @unaffected
    def _disc_loss(self, theta_d: Tensor, theta_g: Tensor, batch: Batch | None) -> Tensor:
        return self._on(batch).disc_loss(theta_d, theta_g)

    @unaffected
    def _gen_loss(self, theta_d: Tensor, theta_g: Tensor, batch: Batch | None) -> Tensor:
        return self._on(batch).gen_loss(theta_d, theta_g)

    def _evaluate(self, theta_d: Tensor, theta_g: Tensor, batch: Batch | None) -> tuple[Players, Players]:
        """Both gradients from one backward pass through D, where exact and all ranks decide alike, else one forward pass."""
        both = self._on(batch)
        halves = self.discriminator.execution.autocast is torch.float16  # whose slopes vanish early
        separate = self.critic_couples_batch is False and (not self.couples_batch or sharing_ranks() is None)
        return (both.shared(theta_d, theta_g) if separate and not halves else None) or both.nested(theta_d, theta_g)

    def _evaluate_player(self, player: Player, theta_d: Tensor, theta_g: Tensor, batch: Batch | None) -> Players:
        """One player's gradient and loss."""
        if player == "gen":
            return super()._evaluate_player(player, theta_d, theta_g, batch)
        return self._on(batch).disc_gradient(theta_d, theta_g)

    def labels_to_draw(self, label: Label, n: int, like: Tensor) -> Tensor | None:
        """The labels (n,) of n samples to draw; see ``sample``."""
        if not self.conditional:
            return super().labels_to_draw(label, n, like)
        return labels.labels_to_draw(label, n, self.classes, like)

    def _draw(self, y: Tensor, n: int, seed: int, label: Tensor | None = None) -> Tensor:
        if self.latent is None:
            raise ArgumentError(
                "latent: got None; pass gan(..., latent=...): it cannot be inferred from the first layer"
            )
        return self._generator_fn(self.split(y)[1])(draw_latents(self.latent, n, seed, y), label)

    def _start(self, seed: int | None) -> Tensor:
        if seed is None:
            return torch.cat([self.discriminator.values, self.generator.values])
        with GLOBAL_GENERATORS, torch.random.fork_rng(devices=[]):
            torch.manual_seed(check_seed(seed))
            reseed(torch.default_generator, seed)  # which tells all bits of a seed apart
            return torch.cat([self.discriminator.fresh(self._initialize), self.generator.fresh(self._initialize)])

    @unaffected
    def modules(self, y: Tensor, batches: Iterable[BatchLike] | None = None) -> tuple[nn.Module, nn.Module]:
        """New (generator, discriminator) with the parameters y (P,); the originals do not change.

        A norm in eval mode keeps its running statistics. For a norm in train mode, ``batches`` is an iterable of
        (real (B, ...), latent (B, ...)), or of ``Batch`` with labels, over which its running statistics are estimated. Without
        ``batches`` it uses the statistics of its input, in evaluation mode too, and its state dict keeps the original's
        running statistics. The state dicts load into modules like the originals.
        """
        if not isinstance(y, Tensor) or y.ndim != 1:
            argument_error("y", y, f"of shape ({self.n_params},); take one member of an ensemble")
        theta_d, theta_g = self.split(y.detach())
        return export(self.generator, self.discriminator, theta_g, theta_d, batches, self.conditional)

    def __odegan_fingerprint__(self) -> dict[str, object]:
        """Architectures, constants, precision and layout. Loss and latent are compared separately."""
        roles = {"discriminator": self.discriminator, "generator": self.generator}
        parts: dict[str, object] = {role: [part.template, part.fixed] for role, part in roles.items()}
        execution = self.discriminator.execution
        parts |= {"autocast": execution.autocast, "channels_last": execution.channels_last}
        return parts | ({"conditional": True} if self.conditional else {})

    def initial_buffers(self, y: Tensor) -> dict[str, Tensor]:
        """Spectral norm's u and v, converged for y."""
        theta_d, theta_g = self.split(y)
        return self.discriminator.initial_buffers(theta_d) | self.generator.initial_buffers(theta_g)

    def update_buffers(self, buffers: dict[str, Tensor], y: Tensor) -> dict[str, Tensor]:
        """One power iteration of every spectral norm at y."""
        if not buffers:
            return buffers
        theta_d, theta_g = self.split(y)
        return self.discriminator.power_iterate(buffers, theta_d) | self.generator.power_iterate(buffers, theta_g)

    def prepared(self, y: Tensor, batch: BatchLike) -> NetworkGame:
        """A checked copy of this game, in which it is decided whether the samples of batches like this one are coupled.

        Args:
            y: (P,), or (E, P) for an ensemble, of which two members are evaluated under ``torch.vmap``.
            batch: the run's first minibatch, with a member dimension if y has one.

        Raises:
            ArgumentError: modules, losses or batches that cannot work, in one line.
        """
        # Shallow copies: what a batch shows of the modules is noted on the run's own wrappers, the values are shared.
        run = copy.copy(self)
        run.generator = copy.copy(self.generator)
        run.discriminator = copy.copy(self.discriminator)
        run._bind()
        run.check(y, batch)
        return run

    def _bind(self) -> None:
        """Make the game's functions those of this copy, not of the original."""
        self.disc_loss = self._disc_loss
        self.gen_loss = self._gen_loss
        self.critic = self.logits
        self._fake = self._fakes
        self._init = self._start
        self._sample = self._draw

    def check(self, y: Tensor, batch: BatchLike) -> None:
        """Refuse networks that do not work on this batch, and decide whether its samples are coupled; see ``prepared``."""
        if batch is None:
            raise ArgumentError("data: got None; a game of networks needs data and latents")
        batch = read_batch(batch, False)
        labels.note_unused(self, batch.label is not None)
        # One member suffices: modules cannot tell members apart.
        self._learn(*((y, batch) if y.ndim == 1 else tree_map(lambda x: x[0], (y, batch))))
        evaluate(lambda own, b: torch.cat(self.gradients(*self.split(own), b)), y.detach(), batch)

    def _learn(self, y: Tensor, batch: Batch) -> None:
        found = examine(self.generator, self.discriminator, self.loss, self.split(y.detach()), batch, self.conditional)
        flat_logits(found.discriminator.output, batch.real)
        self.critic_couples_batch = found.critic_couples
        self.couples_batch = found.couples
        self.couples_beyond_norms = found.beyond_norms
        self._warned = self._warned or (found.discriminator.sigmoid and warn_of_sigmoid(self.loss, y))
        for pure, trial in ((self.generator, found.generator), (self.discriminator, found.discriminator)):
            pure.learned(trial.replaced, trial.written)

    def _try_latents(self, given: bool) -> None:
        """Check the networks at construction, if the latents' shape is known, in the way ``check`` does on a run's first batch.

        Failures on a shape or a number of classes that was only inferred are ignored, since the inference may be wrong.
        """
        if self.latent is None:
            return
        sure = given and not (self.conditional and self.classes is None)
        label = torch.arange(PROBED) % (self.classes or 1) if self.conditional else None
        try:
            probe = probe_batch(self.generator, self.latent, PROBED, label)
            self._learn(torch.cat([self.discriminator.values, self.generator.values]), probe)
        except LossFailsError:
            pass  # it may take a run's own number of logits
        except CannotTakeError as error:
            if sure:
                if error.what == "latents":
                    refuse_swapped(self.discriminator, self.latent)
                raise
            if not given and error.what == "latents":
                self.latent = None
