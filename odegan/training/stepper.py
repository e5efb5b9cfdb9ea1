"""``Stepper``: one refresh interval of training as a pure function (state, batch) -> (state, info)."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch

from odegan.field.ensemble import Time
from odegan.field.microbatch import MicrobatchedField, check_divisible
from odegan.field.training_field import Field, Players, TrainingField
from odegan.games.batch import Batch, BatchLike
from odegan.games.examine import couplings, take_over_couplings
from odegan.games.game import Game, check_game
from odegan.solvers import baselines
from odegan.training import saved_state
from odegan.training.adaptive_steps import AdaptiveSteps
from odegan.training.arguments import DEFAULTS, Arguments, parse, refuse_assignment
from odegan.training.combinations import check_combination
from odegan.training.fixed_steps import FixedSteps
from odegan.training.gradients import depends, named_by_run, needs_graph, read_by_field
from odegan.training.interval import IntervalEvents, given_batches
from odegan.training.options import Options
from odegan.training.segment import Segment
from odegan.training.state import (
    Aux,
    Draw,
    Info,
    IntervalResult,
    Reports,
    State,
    check_state,
    each_member,
)
from odegan.training.step import frozen, make_steps
from odegan.training.time_grid import StepCounter
from odegan.training.trial import try_out
from odegan.training.whole_attempts import WholeAttempts
from odegan.utils import written
from odegan.utils.ambient import unaffected
from odegan.utils.checkpoint import FilePath
from odegan.utils.checks import ArgumentError, argument_error, check_number
from odegan.utils.compilation import Compiler
from odegan.utils.keywords import keywords
from odegan.utils.random_streams import member_seeds
from odegan.utils.recompute import recomputed, refuse_dependent

if TYPE_CHECKING:
    from typing_extensions import Unpack


class Stepper:
    """Training steps of a game for your own training loop; ``odeint_gan`` uses the same steps.

    A step is one refresh interval, which is a single solver step unless refresh is a number. A state that turns non-finite
    stays at its last finite value, and ``info.finite`` is False.

    Args:
        game: from ``gan``, ``odegan.games`` or ``Game``.
        options: those of ``odeint_gan``, with its defaults: solver, step_size, refresh, rates, penalties, placement,
            players, rtol, atol, options, clip, compile, micro_batch, distributed.

    Raises:
        ArgumentError: a wrong argument; a solver with a history, which does not survive a change of minibatch; an adaptive
            solver without a number for refresh.

    Examples:
        >>> from odegan.games import bilinear
        >>> stepper = Stepper(bilinear(), solver="heun2", step_size=0.1)
        >>> state = stepper.init(torch.tensor([1.0, 0.0]))
        >>> state, info = stepper.step(state, None)
        >>> state.t, state.y, info.nfe
        (0.1, tensor([0.9950, 0.1000]), 2)
        >>> stepper
        Stepper(Game(bilinear, n_disc=1, n_gen=1), solver='heun2', step_size=0.1)
    """

    game: Game  # the prepared one, once a batch was seen
    _call = Arguments()  # empty where the library made it
    # The kinds of states and batches that were checked; None: the caller checks them.
    _prepared: set[tuple[object, ...]] | None = None
    _depends = False  # whether functions read something that requires a gradient

    @keywords(Arguments, DEFAULTS)
    @unaffected
    def __init__(self, game: Game, **options: Unpack[Arguments]) -> None:
        check_game(game)
        known = parse(projects=game.project is not None, **options)
        if not known.solver.one_step:
            raise ArgumentError(
                f"solver: got {known.solver.name!r}; a Stepper needs a one-step solver, which this is not: its history "
                "does not survive a change of minibatch"
            )
        if known.solver.adaptive and (isinstance(known.refresh, str) or known.refresh in (None, math.inf)):
            argument_error(
                "refresh", known.refresh, f"a number with {known.solver.name}: a Stepper's step is one refresh interval"
            )
        # Whether the user's loop will pass minibatches is not known yet.
        check_combination(known, has_data=True, members=None)
        self._given = game
        self._call = options
        self._prepared = set()
        self._build(game, known)

    def __repr__(self) -> str:
        return written.call("Stepper", self._given, **self._call)

    def __setattr__(self, name: str, value: object) -> None:
        refuse_assignment(name, value, (*DEFAULTS, "game"))
        super().__setattr__(name, value)

    @classmethod
    def from_options(cls, game: Game, options: Options) -> Stepper:
        """A stepper for a prepared game, with options that are already parsed and checked."""
        stepper = cls.__new__(cls)
        stepper._given = game
        stepper._build(game, options)
        return stepper

    def _build(self, game: Game, options: Options) -> None:
        vars(self)["game"] = game  # from outside it cannot be set
        self.options = options
        self._named = named_by_run(options, game)
        self.compiler = Compiler(options.compile)
        self.events = IntervalEvents(game, options)
        # With several processes only the functions of one part are compiled, without the means over ranks.
        self._step_compiler = self.compiler if options.ranks is None else Compiler(False)
        inner = Compiler(False) if options.ranks is None else self.compiler
        field = TrainingField(
            game, options.penalties, options.field_rates, options.clip, penalized=options.placement == "field"
        )
        divided = options.micro_batch is not None or options.ranks is not None
        self.field: Field = MicrobatchedField(field, options.micro_batch, options.ranks, inner) if divided else field
        if field.counts_steps and not options.counts_steps:
            raise ArgumentError("penalties: got a schedule in steps within a term; it must be the penalty's own weight")
        self.evaluate: Callable[..., Players] = self._step_compiler(self.field)
        # The cached maps belong to the previous game and field.
        for made in ("through", "attempts"):
            self.__dict__.pop(made, None)

    @functools.cached_property
    def through(self) -> Callable[[State, Draw, int, float, Reports], IntervalResult]:
        """The map (state, draw, intervals, until, reports) -> the state after these refresh intervals (one, if adaptive).

        Solvers with a history have no such map: they run as one call only.
        """
        if self.options.solver.adaptive:
            return AdaptiveSteps(self.game, self.options, self.events, self.field, self._slopes(), self.attempts)
        options = self.options
        steps = make_steps(self.game, self.field, options)
        counts = self.field.counts_steps or options.counts_steps
        segment = Segment(self.events, steps, self._step_compiler, counts)
        if options.checkpoint_steps is None:
            return FixedSteps(options, self.field, segment)
        held = [one for one in read_by_field(options, self.game) if one.requires_grad]
        refuse_dependent(held)
        return FixedSteps(options, self.field, lambda *arguments: recomputed(segment, arguments, held))

    def _slopes(self) -> Callable[[Time, torch.Tensor, Batch | None, torch.Tensor], Players]:
        """The function that an adaptive solver integrates over an interval."""
        if self.options.players == "joint":
            return lambda t, y, batch, start: self.evaluate(t, y, batch)
        return self._step_compiler(functools.partial(frozen, self.field, self.game.n_disc))

    @functools.cached_property
    def attempts(self) -> WholeAttempts:
        """An adaptive solver's attempted steps as compiled functions, where there are such."""
        return WholeAttempts(self.game, self.options, self.field, self._step_compiler)

    @unaffected
    def init(self, y0: torch.Tensor, t0: float = 0.0, seed: int | Sequence[int] = 0) -> State:
        """The state at the start of a run from y0 (P,), or of an ensemble (E, P).

        seed: for the penalties' random draws (replay slots, interpolation points); member e has seed + e, or seed[e].
        """
        check_state(self.game, y0, self.options.solver)
        check_number("t0", t0)
        aux: Aux = {
            "index": 0,
            "start": float(t0),
            "seeds": member_seeds(seed, len(y0) if y0.ndim == 2 else None),
            "replay": {key: replay.init() for key, replay in self.events.replays.items()},
            "counter": StepCounter(float(t0), 0, math.nan),
            "memory": baselines.initial_memory(
                self.options.solver.name, self.options.solver_options, y0.detach(), self.game.n_disc
            ),
            "buffers": each_member(self.game.initial_buffers, y0.detach()),
            "alive": torch.ones(y0.shape[:-1], dtype=torch.bool, device=y0.device),
            "proposed": None,
        }
        # A compiled step is specialized to a memory layout, and steps return contiguous states.
        return State(float(t0), y0.contiguous(), aux)

    @unaffected
    def step(
        self, state: State, batch: BatchLike | Sequence[BatchLike] | None = None, until: float = math.inf
    ) -> tuple[State, Info]:
        """Advance by one refresh interval, shortened to end at ``until``.

        batch: ``Batch`` or a pair (real, latent), with the member dimension first in an ensemble; with refresh="stage" a list
        of these, one per stage; None for games without data.
        """
        if not isinstance(state, State):
            argument_error("state", state, "a State, as init and step return")
        if not isinstance(until, int | float) or not until > state.t:
            pair = "; a minibatch is one argument, (real, latent)" if isinstance(until, torch.Tensor) else ""
            argument_error("until", until, f"a time after the state's, {state.t:g}{pair}")
        batches = given_batches(self.options, batch)
        # As in a run: without something to differentiate, a graph would grow from step to step.
        recorded = torch.is_grad_enabled()
        graph = recorded and needs_graph(self._named, state.y, batches)
        with torch.set_grad_enabled(graph):
            self._prepare(state, batches[0])
        with torch.set_grad_enabled(graph or (recorded and self._depends)):
            result = self.through(state, lambda index, n: [batches], 1, until, ((), 0))
        return result.state, result.info

    def save(self, state: State, path: FilePath) -> None:
        """Write a state to a file atomically, as plain data, with a fingerprint of the game and the options.

        The state includes replay buffers, spectral norm's vectors and optimizers' moments, but no minibatches.

        Raises:
            OSError: the file could not be written; its old content is unchanged.
        """
        if not isinstance(state, State):
            argument_error("state", state, "a State, as init and step return")
        saved_state.save(path, self._given, self.options, state)

    def load(
        self,
        path: FilePath,
        *,
        changed: Sequence[str] = (),
        resume: str = "same",
        device: torch.device | str = "cpu",
    ) -> State:
        """Read a state that ``save`` wrote. On the same machine, steps from it are bitwise those from the original.

        Args:
            path: path of the file; nothing in it is executed.
            changed: names of arguments that may differ from those of the stepper that saved it, such as ["step_size", "rates"].
            resume: "same": refuse if a part of the arguments could not be read; "force": assume that it is unchanged.
            device: the device to load the tensors on.

        Raises:
            FileNotFoundError: there is no such file.
            ArgumentError: the file is damaged or foreign, or belongs to another game or to other options, which are named.

        Examples:
            >>> import tempfile
            >>> from odegan.games import bilinear
            >>> stepper = Stepper(bilinear(), solver="heun2", step_size=0.1)
            >>> state = stepper.init(torch.tensor([1.0, 0.0]))
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     stepper.save(state, f"{folder}/state.pt")
            ...     stepper.load(f"{folder}/state.pt").y
            tensor([1., 0.])
        """
        fresh = functools.partial(self.init, t0=0.0, seed=0)
        return saved_state.load(path, self._given, self.options, fresh, changed=changed, resume=resume, device=device)

    def _prepare(self, state: State, batch: Batch | None) -> None:
        """Refuse what cannot work, at the first step and at the first with a batch of other shapes or types, or an ensemble."""
        fields = (batch.real, batch.latent, batch.label, batch.fake_label) if batch is not None else ()
        # Anything but a tensor is refused below.
        key = (state.y.ndim, *((getattr(x, "shape", None), getattr(x, "dtype", None)) for x in fields))
        if self._prepared is None or key in self._prepared:
            return
        y = state.y.detach()
        full = batch if batch is None else self.events.completed(batch, y, state.aux, state.t)
        game = self._given.prepared(y, full)
        if self._prepared:
            take_over_couplings(game, self.game)
        self.check_divisible(game)
        if not self._prepared or couplings(game) != couplings(self.game):
            self._build(game, self.options)
        (full, *_), _ = self.events.begin((batch,), y, state.aux, state.t)
        point = state.t, y, full, state.aux["index"]
        try_out(game, self.options, *point)
        self._depends = self._depends or depends(game, self.options, *point)
        self._prepared.add(key)

    def check_divisible(self, game: Game) -> None:
        """If micro-batches or several processes are requested, refuse games and penalties that do not allow them."""
        asked = {"micro_batch": self.options.micro_batch, "distributed": self.options.ranks}
        for name in (name for name, value in asked.items() if value is not None):
            check_divisible(game, self.options.penalties, name)
        if self.options.ranks is not None and self.options.compile is not False and game.couples_batch:
            raise ArgumentError(
                "compile: got it with distributed and batch normalization, whose statistics all processes share within the "
                "field; it must be False"
            )
