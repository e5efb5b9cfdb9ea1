"""``Stepper``: one refresh interval of training as a pure function (state, batch) -> (state, info)."""

from __future__ import annotations

import math
import types
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch._dynamo.exc import TorchDynamoException

from odegan import baselines, solvers
from odegan.arguments import Arguments, parse
from odegan.batch import Batch
from odegan.checks import ArgumentError, choose, fail, number, one_line
from odegan.clock import SNAP, Clock, as_time, exact, plain, tick, until
from odegan.division import check_divisible
from odegan.game import Game, check_game
from odegan.seeds import of_members, uniform
from odegan.solution import StepRecord
from odegan.stages import Evaluator
from odegan.state import Info, State, check_state, each_member, needs_graph
from odegan.watch import Watched

Reports = tuple[Sequence[float], int]  # sorted times, and how many of them are behind us


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
        # Where other processes have parts of the batch, each part's functions are compiled and the means over ranks stay out.
        whole, part = (self._compiled, _as_it_is) if arguments.ranks is None else (_as_it_is, self._compiled)
        self.evaluator = Evaluator(game, arguments, part)
        self.evaluate = whole(self.evaluator.joint)
        self._frozen = whole(self.evaluator.frozen)
        fixed = arguments.solver.fixed_one_step or arguments.solver.name in solvers.BASELINES
        self._map = whole(self.evaluator.fixed_map()) if fixed else None
        self._replays = {p.replay.key: p.replay for p in arguments.penalties if getattr(p, "replay", None)}
        self._unchecked = True
        self._noise = any(getattr(p, "noise", False) for p in arguments.penalties)

    def _compiled(self, function: Any) -> Any:
        backend = self.arguments.compile
        if not backend:
            return function
        name = "inductor" if backend is True else backend
        compiled = torch.compile(_own_code(function), fullgraph=True, dynamic=False, backend=name)

        def call(*inputs: Any) -> Any:
            try:
                return compiled(*inputs)
            except TorchDynamoException as error:
                raise ArgumentError(
                    f"compile: got {backend!r}, but this step cannot be compiled ({one_line(error)}); leave compile out, or "
                    "write modules and weights in torch operations"
                ) from error

        return call

    def init(self, y0: torch.Tensor, t0: float = 0.0, seed: int | Sequence[int] = 0) -> State:
        """The state at the start of a run from y0 (P,), or of an ensemble (E, P).

        seed: of what penalties draw (replay slots, interpolation points); member e has seed + e, or seed[e].
        """
        check_state(self.game, y0)
        number("t0", t0)
        name, options = self.arguments.solver.name, self.arguments.options
        if self.arguments.ranks is not None:
            self.arguments.ranks.check_same("y0", y0)
        aux = {
            "index": 0,
            "start": float(t0),
            "seeds": of_members(seed, len(y0) if y0.ndim == 2 else None),
            "replay": {key: replay.init() for key, replay in self._replays.items()},
            "clock": Clock(float(t0), 0, math.nan),
            "memory": baselines.initial_memory(name, options, y0.detach(), self.game.n_disc),
            "buffers": each_member(self.game.initial_buffers, y0.detach()),
            "alive": torch.ones(y0.shape[:-1], dtype=torch.bool, device=y0.device),
            "proposed": None,
        }
        return State(float(t0), y0, aux)

    def step(self, state: State, batch: Any = None, until: float = math.inf) -> tuple[State, Info]:
        """One refresh interval, cut short at ``until``.

        batch: ``Batch``, or any (real, latent), with the member dimension first in an ensemble; a list of them, one a
        stage, where refresh is "stage"; None for games without data.
        """
        if not until > state.t:
            fail("until", until, f"a time after the state's, {state.t:g}")
        if state.aux["index"] == 0 or self._unchecked:
            self._check(state, batch)
        moved, info, _ = self.advance(state, batch, until, ((), 0))
        return moved, info

    def _check(self, state: State, batch: Any) -> None:
        """Refuse in one line a batch or a module that cannot work, at the first step."""
        self._unchecked = False
        first = self._batches(batch, state)[0]
        if state.y.ndim == 2:
            first = torch.utils._pytree.tree_map(lambda x: x[0], first)
        self.game.check(state.y.detach().reshape(-1, self.game.n_params)[0], first)
        self.check_divisible()

    def check_divisible(self) -> None:
        """Refuse what cannot be divided into micro-batches, or among processes, where that is asked for."""
        asked = {"micro_batch": self.arguments.micro_batch, "distributed": self.arguments.ranks}
        for name in (name for name, value in asked.items() if value is not None):
            check_divisible(self.game, self.arguments.penalties, name)

    def advance(
        self, state: State, batch: Any, until: float, reports: Reports
    ) -> tuple[State, Info, list[torch.Tensor]]:
        """``step``, and the states at those of the reports' times that lie within the interval."""
        replay, batches = self._replayed(self._batches(batch, state), state)
        end = self._interval_end(state, until)
        with torch.set_grad_enabled(torch.is_grad_enabled() and needs_graph(self.arguments, state.y, batches)):
            walk = self._adaptive if self.arguments.solver.adaptive else self._fixed
            state, info, reported = walk(state, batches, end, reports)
            buffers = state.aux["buffers"]
            if buffers:
                buffers = each_member(self.game.update_buffers, state.y.detach(), buffers)
        moved = {"index": state.aux["index"] + 1, "buffers": buffers, "replay": replay}
        return state._replace(aux=state.aux | moved), info, reported

    # Fixed steps.
    def _fixed(self, state: State, batches: tuple[Any, ...], end: float, reports: Reports) -> Any:
        records: list[StepRecord] = []
        reported: list[torch.Tensor] = []
        times, behind = reports
        while not records or (self._several_steps and state.t < end):
            before = state
            next_tick = tick(state.aux["clock"], state.t, self.arguments.step_at(state.t), end)
            y, memory, alive, losses, size = self._map(  # type: ignore[misc]
                as_time(next_tick.start),
                as_time(next_tick.h),
                state.y,
                state.aux["memory"],
                state.aux["alive"],
                batches,
            )
            records.append(StepRecord(state.t, plain(next_tick.h), losses, size, math.nan, alive))
            state = State(next_tick.end, y, state.aux | {"clock": next_tick.clock, "memory": memory, "alive": alive})
            within = until(times, behind + len(reported), state.t + SNAP * (state.t - before.t))
            reported += [self._between(before, state, t, batches[0]) for t in within]
        return state, self._info(records, self._evaluations * len(records), 0), reported

    @property
    def _several_steps(self) -> bool:
        """Whether a refresh interval holds more than one fixed step."""
        refresh = self.arguments.refresh
        return isinstance(refresh, int | float) and refresh != math.inf

    @property
    def _evaluations(self) -> int:
        solver = self.arguments.solver
        known = solver.name in solvers.BASELINES
        return baselines.evaluations(solver.name, self.arguments.options) if known else int(solver.stages or 1)

    def _between(self, before: State, after: State, t: float, batch: Any) -> torch.Tensor:
        """The state at a reported time within a step, as torchdiffeq interpolates."""
        length = after.t - before.t
        if after.t - t <= SNAP * length:
            return after.y
        t0, t1 = (exact(s.aux["clock"], s.t) for s in (before, after))
        if self.arguments.options.get("interp") == "cubic":
            ends = [self.evaluator.joint(as_time(s), y, batch)[0] for s, y in ((t0, before.y), (t1, after.y))]
            return solvers.cubic_interpolation(t0, before.y, ends[0], t1, after.y, ends[1], t)
        return before.y + (t - t0) / (t1 - t0) * (after.y - before.y)

    # Adaptive steps.
    def _adaptive(self, state: State, batches: tuple[Any, ...], end: float, reports: Reports) -> Any:
        batch, y0, slack = batches[0], state.y, SNAP * (end - state.t)
        within = until(*reports, end + slack)
        inner = [t for t in within if t < end - slack]
        grid = torch.tensor([state.t, *inner, end], dtype=torch.float64, device=y0.device)
        watched = Watched(lambda t, y: self._slopes(t, y, batch, y0), True, lambda t, y, record: None)
        first = state.aux["proposed"] or self.arguments.options.get("first_step")
        options = self.arguments.options | {"norm": watched.norm, "first_step": first}
        name, rtol, atol = self.arguments.solver.name, self.arguments.rtol, self.arguments.atol
        result = solvers.adaptive_solve(name, watched, y0, grid, rtol, atol, options)
        watched.finish(result.t, result.y)
        aux = state.aux | {"proposed": result.proposed}
        if result.failure is not None:
            watched.give_up()
            lost = torch.zeros_like(aux["alive"])
            stopped = State(result.t, result.y.detach(), aux | {"alive": lost})
            return stopped, self._info(watched.records, watched.nfe, watched.rejected, lost), result.states[1:]
        y1 = result.states[-1]
        if self.evaluator.after_step:
            y1 = y1 + (end - state.t) * self.evaluator.penalty(as_time(state.t), y0, batch)
        y1 = self.evaluator.projected(y1)
        alive = aux["alive"] & torch.isfinite(y1).all(-1)
        reported = [*result.states[1:-1], *([y1] if len(inner) < len(within) else [])]
        info = self._info(watched.records, watched.nfe, watched.rejected, alive)
        return State(end, y1, aux | {"alive": alive}), info, reported

    def _slopes(self, t: Any, y: torch.Tensor, batch: Any, start: torch.Tensor) -> Any:
        """(dy, losses) for the solver."""
        frozen = self.arguments.players == "frozen"
        return self._frozen(t, y, batch, start) if frozen else self.evaluate(t, y, batch)

    def completed(self, batch: Batch, state: State, stage: int = 0) -> Batch:
        """The batch with the game's moving buffers, and with the noise that penalties read unless it has some."""
        if state.aux["buffers"]:
            batch = batch.with_buffers(state.aux["buffers"])
        if self._noise and batch.noise is None:
            which = 0 if self.arguments.refresh == math.inf else state.aux["index"] * self.arguments.stages + stage
            axis, ranks = state.y.ndim - 1, self.arguments.ranks
            size = batch.real.shape[axis] * (ranks.size if ranks else 1)
            noise = uniform(state.aux["seeds"], "noise", which, size, state.y.detach())
            batch = batch.with_noise(ranks.share(noise, axis) if ranks else noise)
        return batch

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

    def _info(self, records: list[StepRecord], nfe: int, rejected: int, alive: Any = None) -> Info:
        last = records[-1]
        finite = last.finite if alive is None else alive
        return Info(
            last.losses, last.field_norm, last.step_size, last.error_ratio, nfe, len(records), rejected, finite, records
        )


def _as_it_is(function: Any) -> Any:
    return function


def _own_code(function: Any) -> Any:
    """The function with a code object of its own: torch counts recompilations by it, and gives up after a few, though every
    stepper compiles a step of its own.
    """
    bare = getattr(function, "__func__", function)
    code = bare.__code__.replace()
    own = types.FunctionType(code, bare.__globals__, bare.__name__, bare.__defaults__, bare.__closure__)
    return own if bare is function else types.MethodType(own, function.__self__)


def _known(arguments: dict[str, Any]) -> dict[str, Any]:
    allowed = parse.__kwdefaults__ or {}
    for key in arguments:
        choose("Stepper", key, allowed)
    return arguments
