"""``gan``: a generator and a discriminator, unmodified modules, as a game."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn
from torch.utils._pytree import tree_map

from odegan.games import losses
from odegan.games.batch import Batch, as_batch
from odegan.games.examine import evaluate, examine
from odegan.games.export import export
from odegan.games.game import Game, Player, Players
from odegan.games.latents import LatentFunction, LatentShape, draw_latents, latent_shape
from odegan.games.shared_backward import serves_both, shared_gradients
from odegan.modules.forward import Execution
from odegan.modules.pure_module import PureModule
from odegan.modules.validate import CannotTakeError, tried
from odegan.utils.ambient import unaffected
from odegan.utils.autodiff import gradient_and_value, vjp
from odegan.utils.checks import ArgumentError, argument_error
from odegan.utils.random_streams import check_seed, reseed

Latent = int | tuple[int, ...] | LatentFunction | None
PROBED = 8  # samples of a batch that are looked at when a game is made


@unaffected
def gan(
    generator: nn.Module,
    discriminator: nn.Module,
    loss: str | tuple[losses.LogitLoss, losses.LogitLoss] | losses.Loss = "non_saturating",
    *,
    latent: Latent = None,
    init: Callable[[nn.Module], Any] | None = None,
    autocast: torch.dtype | None = None,
    channels_last: bool = False,
    checkpointing: bool = False,
) -> NetworkGame:
    """Make a game of two modules, which stay as they are: the game owns copies.

    Args:
        generator: latent (B, ...) -> samples (B, ...).
        discriminator: samples (B, ...) -> logits (B,) or (B, 1), high on real samples.
        loss: a name of ``odegan.losses.names()``, or a pair (disc, gen) of functions of (real, fake) logits.
        latent: shape of one latent, N(0, I), or a function (n, generator) -> (n, ...); None: the shape is read off the
            generator's first layer where that is possible. ``game.sample`` draws from it, and runs do by default.
        init: what ``game.init(seed)`` applies to every submodule after its ``reset_parameters()``, as ``module.apply`` does;
            a seed draws afresh, so an initialization made by hand before is known to it only this way.
        autocast: torch.bfloat16 (or float16): the precision of the networks' products; parameters, losses and the solver keep
            the state's.
        channels_last: images and filters in that memory layout.
        checkpointing: keep less for the backward pass and compute it again; see ``odegan.modules.forward.Execution``.

    Returns:
        A ``Game`` whose y is [theta_D, theta_G], each in ``named_parameters()`` order.

    Raises:
        ArgumentError: for modules that cannot be a pure function of their parameters (see ``PureModule``).

    Examples:
        >>> game = gan(nn.Linear(4, 2), nn.Linear(2, 1))
        >>> game.n_disc, game.n_gen, game.sample(game.init(), 3).shape
        (3, 10, torch.Size([3, 2]))
    """
    execution = Execution(autocast, channels_last, checkpointing).check()
    return NetworkGame(generator, discriminator, losses.get(loss), latent, init, execution)


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
    ) -> None:
        if init is not None and not callable(init):
            argument_error("init", init, "None, or a function of a module")
        self.generator = PureModule(generator, "generator", execution)
        self.discriminator = PureModule(discriminator, "discriminator", execution)
        shared = {id(p) for p in generator.parameters() if p.requires_grad}
        if any(id(p) in shared for p in discriminator.parameters()):
            raise ArgumentError("discriminator: got a parameter that the generator trains too; they must share none")
        if self.generator.values.dtype != self.discriminator.values.dtype:
            argument_error(
                "generator, discriminator",
                (self.generator.values.dtype, self.discriminator.values.dtype),
                "of one dtype",
            )
        self.latent: LatentShape = latent_shape(generator, latent)
        self._initialize = init
        super().__init__(
            self._disc_loss,
            self._gen_loss,
            self.discriminator.n,
            self.generator.n,
            critic=self.logits,
            fake=self._fakes,
            init=self._start,
            sample=self._draw,
            couples_batch=None,
            loss=loss,
            name="gan",
        )
        self._try_latents(guessed=latent is None)

    # The losses and their gradients.
    def logits(self, theta_d: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Logits (n,) of samples x (n, ...)."""
        return _flat_logits(self.discriminator(theta_d, x), x)

    def critic_fn(self, theta_d: torch.Tensor, batch: Batch | None = None) -> Callable[[torch.Tensor], torch.Tensor]:
        """The discriminator as a function of samples (n, ...) -> logits (n,), with the batch's buffers."""
        forward = self.discriminator.bind(theta_d, batch.buffers if batch is not None else None)
        return lambda x: _flat_logits(forward(x), x)

    def _fakes(self, theta_g: torch.Tensor, batch: Batch | None) -> torch.Tensor:
        batch = _read(batch)
        return self.generator(theta_g, batch.latent, batch.buffers)

    def _disc_loss(self, theta_d: torch.Tensor, theta_g: torch.Tensor, batch: Batch | None) -> torch.Tensor:
        batch = _read(batch)
        critic = self.critic_fn(theta_d, batch)
        return self.loss.disc(critic(batch.real), critic(self._fakes(theta_g, batch)))

    def _gen_loss(self, theta_d: torch.Tensor, theta_g: torch.Tensor, batch: Batch | None) -> torch.Tensor:
        batch = _read(batch)
        critic = self.critic_fn(theta_d, batch)
        fake = critic(self._fakes(theta_g, batch))
        return self.loss.gen(critic(batch.real) if self.loss.gen_sees_real else fake, fake)

    def _evaluate(self, theta_d: torch.Tensor, theta_g: torch.Tensor, batch: Batch | None) -> tuple[Players, Players]:
        """Both gradients from one backward pass through D where that is exact (``shared_gradients``), else one forward pass.

        Then the generator's vjp is nested in the discriminator's, so that each backward pass through D computes only what its
        player needs: gradients of inputs for G, of weights for D.
        """
        batch = _read(batch)
        halves = self.discriminator.execution.autocast is torch.float16  # whose slopes vanish early
        if self.critic_couples_batch is False and not halves and serves_both(self.loss, theta_d):
            shared = shared_gradients(
                lambda theta: self._fakes(theta, batch),
                lambda theta: self.critic_fn(theta, batch),
                self.loss,
                theta_d,
                theta_g,
                batch.real,
            )
            if shared is not None:
                return shared

        def disc_side(theta: torch.Tensor) -> tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor]]:
            critic = self.critic_fn(theta, batch)
            real = critic(batch.real)

            def gen_side(inner: torch.Tensor) -> Players:
                fake = critic(self._fakes(inner, batch))
                return self.loss.gen(real if self.loss.gen_sees_real else fake, fake), fake

            loss_g, vjp_gen, fake = vjp(gen_side, theta_g, aux_only=True)
            return self.loss.disc(real, fake), (vjp_gen(torch.ones_like(loss_g)), loss_g)

        loss_d, vjp_disc, (grad_g, loss_g) = vjp(disc_side, theta_d)
        return (vjp_disc(torch.ones_like(loss_d)), grad_g), (loss_d, loss_g)

    def _evaluate_player(
        self, player: Player, theta_d: torch.Tensor, theta_g: torch.Tensor, batch: Batch | None
    ) -> Players:
        """One player's gradient and loss; for D the generated samples are made outside the differentiated part."""
        if player == "gen":
            return super()._evaluate_player(player, theta_d, theta_g, batch)
        batch = _read(batch)
        fakes = self._fakes(theta_g, batch)

        def loss(theta: torch.Tensor) -> torch.Tensor:
            critic = self.critic_fn(theta, batch)
            return self.loss.disc(critic(batch.real), critic(fakes))

        return gradient_and_value(loss, theta_d)

    # Samples, starting points, modules.
    def _draw(self, y: torch.Tensor, n: int, seed: int) -> torch.Tensor:
        if self.latent is None:
            raise ArgumentError(
                "latent: got None; give gan(..., latent=...), the generator's first layer does not tell it"
            )
        with torch.no_grad():
            return self.generator(self.split(y)[1], draw_latents(self.latent, n, seed, y))

    def _start(self, seed: int | None) -> torch.Tensor:
        if seed is None:
            return torch.cat([self.discriminator.values, self.generator.values])
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(check_seed(seed))
            reseed(torch.default_generator, seed)  # which tells all bits of a seed apart
            return torch.cat([self.discriminator.fresh(self._initialize), self.generator.fresh(self._initialize)])

    @unaffected
    def modules(self, y: torch.Tensor, batches: Iterable[Any] | None = None) -> tuple[nn.Module, nn.Module]:
        """Fresh (generator, discriminator) with the parameters y (P,); the originals stay untouched.

        A norm given in eval mode keeps its running statistics. Those of one in train mode are, with ``batches``, an iterable
        of (real (B, ...), latent (B, ...)), averages over them; without, it keeps using the statistics of what it sees.
        """
        if not isinstance(y, torch.Tensor) or y.ndim != 1:
            argument_error("y", y, f"of shape ({self.n_params},); take one member of an ensemble")
        theta_d, theta_g = self.split(y.detach())
        return export(self.generator, self.discriminator, theta_g, theta_d, batches)

    def __odegan_fingerprint__(self) -> dict[str, Any]:
        """Architectures, constants, precision and layout. Loss and latent are compared by themselves; what is computed twice
        (checkpointing) only says how the machine is used.
        """
        roles = {"discriminator": self.discriminator, "generator": self.generator}
        parts: dict[str, Any] = {role: [part.template, part.all_constants] for role, part in roles.items()}
        execution = self.discriminator.execution
        return parts | {"autocast": execution.autocast, "channels_last": execution.channels_last}

    def initial_buffers(self, y: torch.Tensor) -> dict[str, torch.Tensor]:
        """Spectral norm's u and v, converged for y."""
        theta_d, theta_g = self.split(y)
        return self.discriminator.initial_buffers(theta_d) | self.generator.initial_buffers(theta_g)

    def update_buffers(self, buffers: dict[str, torch.Tensor], y: torch.Tensor) -> dict[str, torch.Tensor]:
        """One power iteration of every spectral norm at y."""
        if not buffers:
            return buffers
        theta_d, theta_g = self.split(y)
        return self.discriminator.power_iterate(buffers, theta_d) | self.generator.power_iterate(buffers, theta_g)

    # What can be found out, and refused, before a run.
    def prepared(self, y: torch.Tensor, batch: Any) -> NetworkGame:
        """This game as a run on such batches sees it: checked, and with what couples their samples decided.

        Args:
            y: (P,), or (E, P) of an ensemble, of which two members are then tried under ``torch.vmap``.
            batch: the run's first minibatch, with a member dimension as y has it.

        Raises:
            ArgumentError: modules, losses or batches that cannot work, in one line.
        """
        run = copy.copy(self)
        run.generator = copy.copy(self.generator)
        run.discriminator = copy.copy(self.discriminator)
        run._bind()
        run.check(y, batch)
        return run

    def _bind(self) -> None:
        """Have the game's functions be those of this copy."""
        self.disc_loss = self._disc_loss
        self.gen_loss = self._gen_loss
        self.critic = self.logits
        self._fake = self._fakes
        self._init = self._start
        self._sample = self._draw

    def check(self, y: torch.Tensor, batch: Any) -> None:
        """Refuse what cannot work with a batch, and decide what couples its samples; see ``prepared``."""
        if batch is None:
            raise ArgumentError("data: got None; a game of networks needs data and latents")
        y = y.detach()
        batch = _read(batch)
        self._learn(*((y, batch) if y.ndim == 1 else tree_map(lambda x: x[0], (y, batch))))
        evaluate(lambda own, b: torch.cat(self.gradients(*self.split(own), b)), y, batch)

    def _learn(self, y: torch.Tensor, batch: Any) -> None:
        theta_d, theta_g = self.split(y)
        found = examine(self.generator, self.discriminator, self.loss, (theta_d, theta_g), batch)
        _flat_logits(found.discriminator.output, batch.real)
        self.critic_couples_batch = found.critic_couples
        self.couples_batch = found.couples
        for pure, trial in ((self.generator, found.generator), (self.discriminator, found.discriminator)):
            pure.learned(trial.replaced, trial.written)

    def _try_latents(self, guessed: bool) -> None:
        """Find out at construction, where the latents' shape is known, what ``check`` does of a run's first batch."""
        if self.latent is None:
            return
        theta_d, theta_g = self.discriminator.values, self.generator.values
        latent = draw_latents(self.latent, PROBED, 0, theta_g)
        try:
            fake = tried(self.generator, theta_g, latent, "latents").output
        except CannotTakeError:
            if not guessed:
                raise
            self.latent = None  # a guess may be wrong: the first batch will tell
            return
        # Real data are spread out; an untrained generator's samples need not be.
        x = fake + torch.randn(fake.shape, generator=torch.Generator().manual_seed(1)).to(fake)
        try:
            self._learn(torch.cat([theta_d, theta_g]), Batch(x, latent))
        except CannotTakeError:
            if not guessed:
                raise


def _read(batch: Batch | tuple[torch.Tensor, torch.Tensor] | None) -> Batch:
    """The batch, refused unless it has real samples and latents."""
    if not isinstance(batch, Batch):
        batch = as_batch(batch)
    if batch is None or batch.latent is None or batch.real is None:
        got = "None" if batch is None else "a part that is None"
        raise ArgumentError(f"batch: got {got}; a game of networks needs (real, latent)")
    return batch


def _flat_logits(logits: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """One logit a sample -> (n,), where x is (n, ...); a network that ends in squeeze() makes () of one sample's."""
    n = x.shape[0]
    if not isinstance(logits, torch.Tensor):
        argument_error(
            "discriminator", f"a {type(logits).__name__} from its forward pass", "a module that returns one tensor"
        )
    if logits.numel() != n or (n > 1 and logits.shape[0] != n):
        argument_error("discriminator", tuple(logits.shape), f"a map from ({n}, ...) to ({n},) or ({n}, 1)")
    return logits.reshape(n)
