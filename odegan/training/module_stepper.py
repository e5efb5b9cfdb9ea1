"""``ModuleStepper``: the steps of a ``Stepper``, written back into the user's own modules."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypedDict

import torch
from torch import nn

from odegan.games import losses
from odegan.games.batch import Batch, as_batch
from odegan.games.game import Game, check_game
from odegan.games.labels import labels_of
from odegan.games.network import NetworkGame, gan
from odegan.modules.in_place import only_tracking, read, read_buffers, write
from odegan.modules.pure_module import PureModule
from odegan.modules.running_statistics import tracking_norms
from odegan.modules.watched import Watched
from odegan.training.arguments import DEFAULTS, Arguments, refuse_assignment
from odegan.training.state import Info, State
from odegan.training.stepper import Stepper
from odegan.utils import written
from odegan.utils.checkpoint import FilePath
from odegan.utils.checks import ArgumentError, argument_error, check_function
from odegan.utils.keywords import keywords

if TYPE_CHECKING:
    from typing_extensions import Unpack

Given = Batch | torch.Tensor | Sequence[Any]


class OfGan(TypedDict, total=False):
    """The arguments of ``gan`` that a stepper of modules passes on."""

    conditional: bool | None
    autocast: torch.dtype | None
    channels_last: bool
    checkpointing: bool


class ModuleArguments(Arguments, OfGan, total=False):
    """The arguments of a ``Stepper``, and those of ``gan``."""


_OF_GAN = {name: inspect.signature(gan).parameters[name].default for name in OfGan.__annotations__}
_ARGUMENTS = ("generator", "discriminator", "loss", "transform", "seed", "game", *_OF_GAN, *DEFAULTS)


class ModuleStepper:
    """Training steps for a script that keeps its modules: ``step`` updates the parameters of the two modules in place.

    Everything else that a script does with its modules (saving, loading, sampling, averaging, logging) stays as it is:

    - parameters are overwritten in place after every step, as an optimizer does;
    - spectral norm's u and v are advanced by one power iteration per step and written too;
    - running statistics of batch norms in train mode are updated as by the forward passes of a script, once per step: G on the
      latents, D on the real, then on the generated samples, without gradients and with the new parameters. Training itself
      uses the statistics of the batch. With ``distributed`` each process tracks those of its own share, as under
      ``DistributedDataParallel``;
    - if trained parameters have changed since the last step (``load_state_dict``, clipping), the next step starts from the new
      values, with the solver's memory and time as they were;
    - a step that is not finite changes nothing but the time, and the next one starts from the last finite parameters.

    What is trained, and whether a layer is in train mode, is decided when the stepper is made: calls of ``eval()`` or
    ``requires_grad_()`` between steps do not matter. A step is refused after any other change of the modules: of their layers,
    attributes, frozen parameters, buffers, or the running statistics of norms in eval mode. Hooks
    that are registered later do not act in training.

    Args:
        generator: latent (B, ...) -> samples (B, ...).
        discriminator: samples (B, ...) -> logits (B,) or (B, 1), high on real samples.
        loss: as in ``gan``.
        transform: function from the game to a game of the same networks, such as ``odegan.augmented``. Running statistics are
            those of the untransformed samples.
        seed: seed of the random numbers of penalties and augmentation.
        options: those of ``gan`` (conditional, autocast, channels_last, checkpointing) and of ``Stepper`` (solver, step_size,
            refresh, rates, penalties, placement, players, rtol, atol, options, clip, compile, micro_batch, distributed).

    Attributes:
        game: the game of the two modules.
        state: the state after the last step, or, before the first step, at the modules' values.

    Raises:
        ArgumentError: see ``gan`` and ``Stepper``; in ``step``, a change of the modules that is not read again.

    Examples:
        >>> G, D = nn.Linear(4, 2), nn.Linear(2, 1)
        >>> stepper = ModuleStepper(G, D, "non_saturating", solver="heun2", step_size=0.1)
        >>> before = G.weight.clone()
        >>> info = stepper.step(torch.randn(8, 2), torch.randn(8, 4))
        >>> bool((G.weight != before).any()), stepper.state.t
        (True, 0.1)
        >>> stepper
        ModuleStepper(Linear, Linear, 'non_saturating', solver='heun2', step_size=0.1)
    """

    game: Game

    @keywords(ModuleArguments, DEFAULTS | _OF_GAN)
    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        loss: str | tuple[losses.LogitLoss, losses.LogitLoss] | losses.Loss = "non_saturating",
        *,
        transform: Callable[[Game], Game] | None = None,
        seed: int = 0,
        **options: Unpack[ModuleArguments],
    ) -> None:
        of_gan = {name: value for name, value in options.items() if name in _OF_GAN}
        networks = gan(generator, discriminator, loss, **of_gan)  # type: ignore[arg-type]
        self._players: list[tuple[PureModule, nn.Module]] = [
            (networks.discriminator, discriminator),
            (networks.generator, generator),
        ]
        self._norms = {module: tracking_norms(module) for _, module in self._players}
        self._watched = [Watched(pure, module) for pure, module in self._players]
        if transform is not None:
            check_function("transform", transform, 1, "None, or a function from a game to a game of the same networks")
        vars(self)["game"] = networks if transform is None else transform(networks)  # from outside it cannot be set
        check_game(self.game)
        if self.game.n_params != networks.n_params:
            argument_error("transform", self.game.name, "a function that returns a game of the same networks")
        of_stepper = {name: value for name, value in options.items() if name not in _OF_GAN}
        self._stepper = Stepper(self.game, **of_stepper)  # type: ignore[arg-type]
        self._seed = seed
        self._state: State | None = None
        own = ({} if transform is None else {"transform": transform}) | ({} if seed == 0 else {"seed": seed})
        self._call = written.call("ModuleStepper", type(generator), type(discriminator), loss, **own, **options)

    def __repr__(self) -> str:
        return self._call

    def __setattr__(self, name: str, value: object) -> None:
        refuse_assignment(name, value, _ARGUMENTS)
        super().__setattr__(name, value)

    @property
    def state(self) -> State:
        """The state from which the next step starts, with the modules' present parameters."""
        y = self._present()
        if self._state is None:
            return self._stepper.init(y, seed=self._seed)
        last = self._state
        if (y.device, y.dtype) != (last.y.device, last.y.dtype):
            raise ArgumentError(
                f"generator, discriminator: got parameters in {y.dtype} on {y.device}; they must stay in {last.y.dtype} on "
                f"{last.y.device}, where the first step was"
            )
        # By value: an optimizer or load_state_dict writes in place, and leaves the same tensors.
        return last if torch.equal(y, last.y) else self._changed(last, y)

    def step(
        self,
        real: Given,
        latent: torch.Tensor | None = None,
        label: torch.Tensor | None = None,
        fake_label: torch.Tensor | None = None,
    ) -> Info:
        """One step on a minibatch, after which both modules have the new parameters.

        Args:
            real: (B, ...); or a ``Batch`` with everything in it, or with refresh="stage" a list of these, one per stage.
            latent: (B, ...).
            label: (B,) of real samples, in class-conditional games.
            fake_label: (B,) of generated samples; None: those of the real ones.

        Returns:
            The step's ``Info``: losses, norm of the field, evaluations, whether it was finite. Modules keep their last finite
            parameters if it was not.
        """
        batch = Batch(real, latent, label, fake_label) if isinstance(real, torch.Tensor) else real  # type: ignore[arg-type]
        before = self.state
        # The modules get numbers: a graph would only grow from step to step.
        with torch.no_grad():
            stepped, info = self._stepper.step(before, batch)
        # Not before: the first step shows which attributes the forward passes write.
        self._refuse_changes()
        if not bool(info.finite):
            aux = before.aux | {"index": stepped.aux["index"], "counter": stepped.aux["counter"]}
            self._state = State(stepped.t, before.y, aux)
            return info
        self._state = stepped
        self._write(stepped)
        first: Any = batch[0] if self._stepper.options.refresh == "stage" else batch
        self._track(as_batch(first))
        return info

    def save(self, path: FilePath) -> None:
        """Write what a resumed script needs in addition to its modules' own checkpoints; see ``Stepper.save``."""
        self._stepper.save(self.state, path)

    def load(
        self,
        path: FilePath,
        *,
        changed: Sequence[str] = (),
        resume: str = "same",
        device: torch.device | str | None = None,
    ) -> None:
        """Continue from a file written by ``save``, and restore the parameters; see ``Stepper.load`` for the arguments.

        device: None: the parameters' own.
        """
        where = self._present().device if device is None else device
        self._state = self._stepper.load(path, changed=changed, resume=resume, device=where)
        self._write(self._state)

    def _present(self) -> torch.Tensor:
        """y (P,) of the modules' present values."""
        return torch.cat([read(pure, module) for pure, module in self._players])

    def _changed(self, last: State, y: torch.Tensor) -> State:
        """The last state, with parameters that were changed from outside and the modules' present u and v of spectral norm."""
        if not torch.isfinite(y).all():
            argument_error("generator, discriminator", "a parameter that is not finite", "finite everywhere")
        buffers: dict[str, torch.Tensor] = {}
        for pure, module in self._players:
            buffers |= read_buffers(pure, module)
        return State(last.t, y, last.aux | {"buffers": buffers})

    def _refuse_changes(self) -> None:
        game: Game | None = self._stepper.game
        while game is not None and not isinstance(game, NetworkGame):
            game = getattr(game, "base", None)  # below an unrolling
        # Of a game that a transform made otherwise, what is known of the modules as they were given.
        known = (game.discriminator, game.generator) if game is not None else [pure for pure, _ in self._players]
        for watched, pure in zip(self._watched, known, strict=True):
            watched.refuse_changes(pure.written)

    def _write(self, state: State) -> None:
        for (pure, module), theta in zip(self._players, self.game.split(state.y.detach()), strict=True):
            write(pure, module, theta, state.aux["buffers"])

    def _track(self, batch: Batch | None) -> None:
        """Update the running statistics of both modules by a forward pass each; none where there are none."""
        (_, discriminator), (_, generator) = self._players
        assert batch is not None
        if not (self._norms[generator] or self._norms[discriminator]):
            return
        given = labels_of(batch) if self.game.conditional else (None, None)
        labels = [() if label is None else (label,) for label in given]
        with only_tracking(generator, self._norms[generator]):
            fake = generator(batch.latent, *labels[1])
        if self._norms[discriminator]:
            with only_tracking(discriminator, self._norms[discriminator]):
                # Two passes, as a script makes them: each moves the running averages.
                discriminator(batch.real, *labels[0])
                discriminator(fake, *labels[1])
