"""``Stepper``: one refresh interval of training as a pure function (state, batch) -> (state, info)."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from odegan.field.microbatch import check_divisible
from odegan.games.batch import Batch
from odegan.games.game import Game, check_game
from odegan.solvers import baselines
from odegan.training.options import Arguments, parse
from odegan.training.state import Info, State, check_state, each_member, needs_graph
from odegan.training.step_context import Evaluator
from odegan.training.time_grid import SNAP, Clock
from odegan.training.walks import AdaptiveWalk, FixedWalk, Reports, Walk, Walked
from odegan.utils.ambient import unaffected
from odegan.utils.checks import ArgumentError, choose, fail, number
from odegan.utils.compilation import Compiler
from odegan.utils.random_streams import UNIFORM, Seeds, Stream, member_seeds


class Stepper:
    """Training steps of a game, for those who keep their own training loop; ``odeint_gan`` loops over the same thing.

    Arguments are those of ``odeint_gan``. A step is one refresh interval: a single solver step, unless refresh is a
    number. A state that turns non-finite stays at its last finite value, and ``info.finite`` says so.

    Examples:
        >>> from odegan.games import bilinear
        >>> stepper = Stepper(bilinear(), solver="heun2", step_size=0.1)
        >>> state = stepper.init(torch.tensor([1.0, 0.0]))
        >>> state, info = stepper.step(state, None)
        >>> state.t, state.y, info.nfe
        (0.1, tensor([0.9950, 0.1000]), 2)
    """

    def __init__(self, game: Game, **arguments: Any) -> None:
        check_game(game)
        known = replace(parse(**_known(arguments)), projects=game.project is not None)
        if not known.solver.one_step:
            raise ArgumentError(
                f"solver: got {known.solver.name!r}; a Stepper needs a one-step solver, which this is not: its history "
                "does not survive a change of minibatch"
            )
        if known.solver.adaptive and (isinstance(known.refresh, str) or known.refresh in (None, math.inf)):
            fail(
                "refresh", known.refresh, f"a number with {known.solver.name}: a Stepper's step is one refresh interval"
            )
        known.check_run(has_data=True, members=None)
        self._build(game, known)

    @classmethod
    def from_arguments(cls, game: Game, arguments: Arguments) -> Stepper:
        """A stepper with arguments that are parsed and checked already."""
        stepper = cls.__new__(cls)
        stepper._build(game, arguments)
        return stepper

    def _build(self, game: Game, arguments: Arguments) -> None:
        self.game, self.arguments = game, arguments
        self.compiler = Compiler(arguments.compile)
        # Where other processes have parts of the batch, each part's functions are compiled and the means over ranks stay out.
        alone = Compiler(False)
        self._whole, part = (self.compiler, alone) if arguments.ranks is None else (alone, self.compiler)
        self.evaluator = Evaluator(game, arguments, part)
        self.evaluate = self._whole(self.evaluator.joint)
        self._replays = {p.replay.key: p.replay for p in arguments.penalties if getattr(p, "replay", None)}
        self._unchecked = True
        self._noise = any(getattr(p, "noise", False) for p in arguments.penalties)
        self._kept_noise: Stream | None = None

    @functools.cached_property
    def _walk(self) -> Walk:
        """Through one refresh interval. Solvers with a history have none: they run as one call only."""
        if self.arguments.solver.adaptive:
            return AdaptiveWalk(self.evaluator, self.evaluate, self._whole(self.evaluator.frozen))
        return FixedWalk(self.evaluator, self._whole(self.evaluator.fixed_map(), "one step"))

    @unaffected
    def init(self, y0: torch.Tensor, t0: float = 0.0, seed: int | Sequence[int] = 0) -> State:
        """The state at the start of a run from y0 (P,), or of an ensemble (E, P).

        seed: of what penalties draw (replay slots, interpolation points); member e has seed + e, or seed[e].
        """
        check_state(self.game, y0)
        number("t0", t0)
        name, options = self.arguments.solver.name, self.arguments.options
        aux = {
            "index": 0,
            "start": float(t0),
            "seeds": member_seeds(seed, len(y0) if y0.ndim == 2 else None),
            "replay": {key: replay.init() for key, replay in self._replays.items()},
            "clock": Clock(float(t0), 0, math.nan),
            "memory": baselines.initial_memory(name, options, y0.detach(), self.game.n_disc),
            "buffers": each_member(self.game.initial_buffers, y0.detach()),
            "alive": torch.ones(y0.shape[:-1], dtype=torch.bool, device=y0.device),
            "proposed": None,
        }
        # One step is compiled for one layout in memory, and a step's end is contiguous.
        return State(float(t0), y0.contiguous(), aux)

    @unaffected
    def step(self, state: State, batch: Any = None, until: float = math.inf) -> tuple[State, Info]:
        """One refresh interval, cut short at ``until``.

        batch: ``Batch``, or any (real, latent), with the member dimension first in an ensemble; a list of them, one a
        stage, where refresh is "stage"; None for games without data.
        """
        if not isinstance(state, State):
            fail("state", state, "a State, as init and step return")
        if not isinstance(until, int | float) or not until > state.t:
            fail("until", until, f"a time after the state's, {state.t:g}")
        if state.aux["index"] == 0 or self._unchecked:
            self._check(state, batch)
        moved, info, _ = self.advance(state, batch, until, ((), 0))
        return moved, info

    def _check(self, state: State, batch: Any) -> None:
        """Refuse in one line a batch or a module that cannot work, at the first step."""
        self._unchecked = False
        self.game.check(state.y.detach(), self._batches(batch, state)[0])
        self.check_divisible()

    def check_divisible(self) -> None:
        """Refuse what cannot be divided into micro-batches, or among processes, where that is asked for."""
        asked = {"micro_batch": self.arguments.micro_batch, "distributed": self.arguments.ranks}
        for name in (name for name, value in asked.items() if value is not None):
            check_divisible(self.game, self.arguments.penalties, name)

    def advance(self, state: State, batch: Any, until: float, reports: Reports) -> Walked:
        """``step``, and the states at those of the reports' times that lie within the interval."""
        replay, batches = self._replayed(self._batches(batch, state), state)
        end = self._interval_end(state, until)
        with torch.set_grad_enabled(torch.is_grad_enabled() and needs_graph(self.arguments, state.y, batches)):
            state, info, reported = self._walk(state, batches, end, reports)
            buffers = state.aux["buffers"]
            if buffers:
                buffers = each_member(self.game.update_buffers, state.y.detach(), buffers)
        moved = {"index": state.aux["index"] + 1, "buffers": buffers, "replay": replay}
        return state._replace(aux=state.aux | moved), info, reported

    def completed(self, batch: Batch, state: State, stage: int = 0) -> Batch:
        """The batch with the game's moving buffers, and with the noise that penalties read unless it has some."""
        if state.aux["buffers"]:
            batch = batch.with_buffers(state.aux["buffers"])
        if self._noise and batch.noise is None:
            which = 0 if self.arguments.refresh == math.inf else state.aux["index"] * self.arguments.stages + stage
            axis, ranks = state.y.ndim - 1, self.arguments.ranks
            size = batch.real.shape[axis] * (ranks.size if ranks else 1)
            noise = self._noise_stream(state.aux["seeds"], size, state.y.device).block(which, 1)[0].to(state.y.dtype)
            batch = batch.with_noise(ranks.share(noise, axis) if ranks else noise)
        return batch

    def _noise_stream(self, seeds: Seeds, size: int, device: torch.device) -> Stream:
        """That of the last call where it is the same, since it keeps what it drew ahead."""
        kept = self._kept_noise
        if kept is None or (kept.seeds, kept.shape, kept.device) != (seeds, (size,), device):
            self._kept_noise = kept = Stream(UNIFORM, seeds, "noise", (size,), device)
        return kept

    def _replayed(self, batches: tuple[Any, ...], state: State) -> tuple[dict[str, Any], tuple[Any, ...]]:
        """The replay buffers after this interval's first batch, and the batches with what is drawn from them."""
        stores, samples, aux = {}, {}, state.aux
        for key, replay in self._replays.items():
            stores[key], samples[key] = replay.update(
                self.game, aux["replay"][key], state.y, batches[0], aux["seeds"], aux["index"], self.arguments.ranks
            )
        return stores, tuple(one.with_replay(samples) for one in batches) if stores else batches

    def _batches(self, batch: Any, state: State) -> tuple[Any, ...]:
        wanted = self.arguments.stages
        given = list(batch) if self.arguments.refresh == "stage" and batch is not None else [batch]
        if len(given) != wanted:
            raise ArgumentError(
                f"batch: got {len(given)} of them; it must be a list of {wanted} batches, one a stage of "
                f"{self.arguments.solver.name}"
            )
        for one in given:
            if one is not None and not (isinstance(one, tuple | list) and 2 <= len(one) <= 5):
                fail("batch", type(one).__name__, "a Batch, a pair (real, latent), or None")
        whole = [one if one is None or isinstance(one, Batch) else Batch(*one) for one in given]
        return tuple(self.completed(one, state, i) if one is not None else None for i, one in enumerate(whole))

    def _interval_end(self, state: State, until: float) -> float:
        """Where the refresh interval ends; ``until`` where that is nearly the same time, or earlier."""
        refresh = self.arguments.refresh
        if not isinstance(refresh, int | float) or refresh == math.inf:
            return until
        end = state.aux["start"] + (state.aux["index"] + 1) * float(refresh)
        return end if end < until - SNAP * refresh else until


def _known(arguments: dict[str, Any]) -> dict[str, Any]:
    allowed = parse.__kwdefaults__ or {}
    for key in arguments:
        choose("Stepper", key, allowed)
    return arguments
