"""``Stepper``: one refresh interval of training as a pure function (state, batch) -> (state, info)."""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

from odegan import baselines, solvers
from odegan.arguments import Arguments, parse
from odegan.batch import Batch
from odegan.checks import ArgumentError, fail, number
from odegan.field import make_field
from odegan.game import Game
from odegan.solution import StepRecord
from odegan.watch import Watched

SNAP = 1e-9  # a time within this part of a step of another is the same time


class State(NamedTuple):
    """The whole state of a run. t: time; y: (P,) or (E, P); aux: everything that moves between steps, as plain data.

    aux holds: index, the number of refresh intervals done; start, the time of the first; clock, the step counter
    (anchor, count, h) with t = anchor + count h; memory, the baselines'; buffers, the game's; alive, which members are
    still finite; proposed, the step that an adaptive solver proposed last.
    """

    t: float
    y: torch.Tensor
    aux: dict[str, Any]


class Info(NamedTuple):
    """What one refresh interval did. The last step's losses (..., 2), field_norm (...), step_size and error_ratio; nfe:
    field evaluations (of both players, or of the one evaluated most often; penalties not counted); accepted and rejected
    steps; finite (...): whether all of it was; records: a ``StepRecord`` for each accepted step.
    """

    losses: torch.Tensor
    field_norm: torch.Tensor
    step_size: float
    error_ratio: float
    nfe: int
    accepted: int
    rejected: int
    finite: torch.Tensor
    records: list[StepRecord]


class Stepper:
    """Training steps of a game, for those who keep their own training loop; ``odeint_gan`` loops over the same thing.

    Arguments are those of ``odeint_gan``. A step is one refresh interval: a single solver step, unless refresh is a
    number. A state that turns non-finite stays at its last finite value, and ``info.finite`` says so.

    >>> from odegan.games import bilinear
    >>> stepper = Stepper(bilinear(), solver="heun2", step_size=0.1)
    >>> state = stepper.init(torch.tensor([1.0, 0.0]))
    >>> state, info = stepper.step(state, None)
    >>> state.t, state.y, info.nfe
    (0.1, tensor([0.9950, 0.1000]), 2)
    """

    def __init__(self, game: Game, **arguments: Any) -> None:
        known = parse(**_known(arguments))
        if not known.solver.one_step:
            raise ArgumentError(
                f"solver: got {known.solver.name!r}; a Stepper needs a one-step solver, which this is not: its history "
                "does not survive a change of minibatch"
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
        in_field = arguments.placement == "field"
        self.field = make_field(game, arguments.penalties, arguments.rates, arguments.clip, penalise=in_field)
        name, options = arguments.solver.name, arguments.options
        self._baseline = baselines.make(name, options) if name in solvers.BASELINES else None
        self._rk = solvers.one_step(name, options.get("perturb", False)) if arguments.solver.fixed_one_step else None
        first = bool(arguments.penalties) and arguments.placement == "first_stage"
        self._first_weight = solvers.first_stage_weight(name) if first else None
        self._map = self._compiled(self._fixed_map)
        self._evaluate = self._compiled(self._joint)

    def _compiled(self, function: Any) -> Any:
        backend = self.arguments.compile
        if not backend:
            return function
        chosen = {} if backend is True else {"backend": backend}
        return torch.compile(function, fullgraph=True, dynamic=False, **chosen)

    def init(self, y0: torch.Tensor, t0: float = 0.0, seed: int = 0) -> State:
        """The state at the start of a run from y0 (P,), or of an ensemble (E, P)."""
        check_state(self.game, y0)
        number("t0", t0)
        name, options = self.arguments.solver.name, self.arguments.options
        aux = {
            "index": 0,
            "start": float(t0),
            "clock": (float(t0), 0, math.nan),
            "memory": baselines.initial_memory(name, options, y0.detach(), self.game.n_disc),
            "buffers": _each_member(self.game.initial_buffers, y0.detach()),
            "alive": torch.ones(y0.shape[:-1], dtype=torch.bool, device=y0.device),
            "proposed": None,
        }
        return State(float(t0), y0, aux)

    def step(self, state: State, batch: Any = None, until: float = math.inf) -> tuple[State, Info]:
        """One refresh interval, cut short at ``until``.

        batch: ``Batch``, or any (real, latent), with the member dimension first in an ensemble; a list of them, one a
        stage, where refresh is "stage"; None for games without data.
        """
        state, info, _ = self.advance(state, batch, until, (), 0)
        return state, info

    def advance(
        self, state: State, batch: Any, until: float, times: Sequence[float], position: int
    ) -> tuple[State, Info, list[torch.Tensor]]:
        """``step``, and the states at those of times[position:] that lie within the interval."""
        batches = self._batches(batch, state)
        end = self._interval_end(state, until)
        with torch.set_grad_enabled(torch.is_grad_enabled() and needs_graph(self.arguments, state.y, batches)):
            walk = self._adaptive if self.arguments.solver.adaptive else self._fixed
            state, info, reported = walk(state, batches, end, times, position)
            buffers = state.aux["buffers"]
            if buffers:
                buffers = _each_member(self.game.update_buffers, state.y.detach(), buffers)
        return state._replace(aux=state.aux | {"index": state.aux["index"] + 1, "buffers": buffers}), info, reported

    # Fixed steps.
    def _fixed(self, state: State, batches: tuple[Any, ...], end: float, times: Sequence[float], position: int) -> Any:
        records: list[StepRecord] = []
        reported: list[torch.Tensor] = []
        single = not isinstance(self.arguments.refresh, int | float) or self.arguments.refresh == math.inf
        while not records or (not single and state.t < end):
            h, t1, clock = self._tick(state, end)
            t_tensor, h_tensor = _time(_begin(state.aux["clock"], state.t)), _time(h)
            arrays = (state.y, state.aux["memory"], state.aux["alive"])
            y, memory, alive, losses, size = self._map(t_tensor, h_tensor, *arrays, batches)
            records.append(StepRecord(state.t, float(h_tensor.detach()), losses, size, math.nan, alive))
            moved = State(t1, y, state.aux | {"clock": clock, "memory": memory, "alive": alive})
            within = _until(times, position + len(reported), t1 + SNAP * (t1 - state.t))
            reported += [self._between(state, moved, t, batches[0]) for t in within]
            state = moved
        return state, self._info(records, self._evaluations * len(records), 0), reported

    @property
    def _evaluations(self) -> int:
        solver = self.arguments.solver
        return baselines.evaluations(solver.name, self.arguments.options) if self._baseline else int(solver.stages or 1)

    def _tick(self, state: State, end: float) -> tuple[Any, float, tuple[float, int, Any]]:
        """The next step's length, its end, and the clock after it: t = anchor + count h, counted by integers."""
        anchor, count, previous = state.aux["clock"]
        h = self.arguments.step_at(state.t)
        length = float(h.detach()) if isinstance(h, torch.Tensor) else float(h)
        if length != (float(previous.detach()) if isinstance(previous, torch.Tensor) else previous):
            anchor, count = state.t, 0
        t1 = anchor + (count + 1) * length
        if t1 < end - SNAP * length:
            return h, t1, (anchor, count + 1, h)
        if t1 <= end + SNAP * length:  # ends on the boundary: keep counting, unless it is cut off for good
            return h, end, (anchor, count + 1, h)
        return end - _begin((anchor, count, h), state.t), end, (end, 0, math.nan)

    def _between(self, before: State, after: State, t: float, batch: Any) -> torch.Tensor:
        """The state at a reported time within a step, as torchdiffeq interpolates."""
        length = after.t - before.t
        if after.t - t <= SNAP * length:
            return after.y
        if self.arguments.options.get("interp") == "cubic":
            ends = [self._joint(_time(s.t), s.y, self._seen(batch, before))[0] for s in (before, after)]
            return solvers.cubic_interpolation(before.t, before.y, ends[0], after.t, after.y, ends[1], t)
        return before.y + (t - before.t) / length * (after.y - before.y)

    def _fixed_map(
        self, t: torch.Tensor, h: torch.Tensor, y: torch.Tensor, memory: Any, alive: torch.Tensor, batches: Any
    ) -> Any:
        """One step as a pure function of tensors; this is what ``compile`` compiles."""
        stages = _Stages(self, y, batches)
        if self._baseline is not None:
            y1, memory = self._baseline(stages, t, h, y, memory)
        else:
            y1 = self._rk(stages.rhs, t, h, y)  # type: ignore[misc]
        if self.field.penalty is not None and self.arguments.placement == "after_step":
            y1 = y1 + h * self._mapped(self.field.penalty, t, y, batches[0])
        losses, size = stages.measured()
        alive = alive & torch.isfinite(y1).all(-1) & torch.isfinite(losses).all(-1)
        return torch.where(alive[..., None], y1, y), memory, alive, losses.detach(), size.detach()

    # Adaptive steps.
    def _adaptive(
        self, state: State, batches: tuple[Any, ...], end: float, times: Sequence[float], position: int
    ) -> Any:
        batch, y0 = batches[0], state.y
        watched = Watched(lambda t, y: self._rhs(t, y, batch, y0), True, lambda t, y, record: None)
        slack = SNAP * (end - state.t)
        within = _until(times, position, end + slack)
        inner = [t for t in within if t < end - slack]
        grid = torch.tensor([state.t, *inner, end], dtype=torch.float64, device=y0.device)
        options = {k: v for k, v in self.arguments.options.items() if k != "first_step"} | {"norm": watched.norm}
        first = state.aux["proposed"] or self.arguments.options.get("first_step")
        name, rtol, atol = self.arguments.solver.name, self.arguments.rtol, self.arguments.atol
        result = solvers.adaptive_solve(name, watched, y0, grid, rtol, atol, options | {"first_step": first})
        watched.finish(result.t, result.y)
        y1, alive, reported = result.states[-1], state.aux["alive"], result.states[1:]
        if result.failure is not None:
            watched.give_up()
            y1, alive = result.y.detach(), torch.zeros_like(alive)
        elif self.field.penalty is not None and self.arguments.placement == "after_step":
            y1 = y1 + (end - state.t) * self._mapped(self.field.penalty, _time(state.t), y0, batch)
            alive = alive & torch.isfinite(y1).all(-1)
        if result.failure is None:
            reported = [*reported[:-1], *([y1] if len(inner) < len(within) else [])]
        info = self._info(watched.records, watched.nfe, watched.rejected, alive)
        moved = State(
            end if result.failure is None else result.t, y1, state.aux | {"alive": alive, "proposed": result.proposed}
        )
        return moved, info, reported

    # The field as the solvers see it.
    def _joint(self, t: Any, y: torch.Tensor, batch: Any) -> Any:
        return self._mapped(self.field.joint, t, y, batch)

    def _rhs(self, t: Any, y: torch.Tensor, batch: Any, start: torch.Tensor) -> Any:
        """(dy, losses) for the solver: joint, or each player alone against the opponent frozen at ``start``."""
        if self.arguments.players == "joint":
            return self._evaluate(t, y, batch)
        return frozen(self, t, y, batch, start)

    def _mapped(self, function: Any, t: Any, y: torch.Tensor, batch: Any) -> Any:
        if y.ndim == 1:
            return function(t, y, batch)
        return torch.vmap(function, in_dims=(None, 0, None if batch is None else 0))(t, y, batch)

    def _seen(self, batch: Any, state: State) -> Any:
        """The batch with the game's moving buffers."""
        buffers = state.aux["buffers"]
        return Batch(*batch[:4], buffers) if buffers else batch

    def _batches(self, batch: Any, state: State) -> tuple[Any, ...]:
        wanted = self.arguments.stages
        given = list(batch) if self.arguments.refresh == "stage" and batch is not None else [batch]
        if len(given) != wanted:
            fail(
                "batch",
                f"{len(given)} of them",
                f"a list of {wanted} batches, one a stage of {self.arguments.solver.name}",
            )
        for one in given:
            if one is not None and not (isinstance(one, tuple | list) and len(one) >= 2):
                fail("batch", type(one).__name__, "a Batch, a pair (real, latent), or None")
        whole = [one if one is None or isinstance(one, Batch) else Batch(*one) for one in given]
        return tuple(self._seen(one, state) if one is not None else None for one in whole)

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


class _Stages:
    """The field during one fixed step: which minibatch a stage sees, and what its first evaluation showed."""

    def __init__(self, stepper: Stepper, start: torch.Tensor, batches: tuple[Any, ...]) -> None:
        self.stepper, self.start, self.batches = stepper, start, batches
        self.n_disc = stepper.game.n_disc
        self._calls = 0
        self._norms: list[torch.Tensor] = []
        self._losses: list[torch.Tensor] = []

    def rhs(self, t: Any, y: torch.Tensor) -> torch.Tensor:
        """The stage's field for a Runge-Kutta step."""
        stepper, batch = self.stepper, self._next()
        if stepper.arguments.players == "joint":
            dy, losses = stepper._joint(t, y, batch)
        else:
            dy, losses = frozen(stepper, t, y, batch, self.start)
        if self._calls == 1 and stepper._first_weight is not None:
            dy = dy + stepper._mapped(stepper.field.penalty, t, y, batch) / stepper._first_weight
        self._note(dy, losses, whole=True)
        return dy

    def joint(self, t: Any, y: torch.Tensor) -> torch.Tensor:
        """Both players' parts, for a baseline."""
        return self.rhs(t, y)

    def disc(self, t: Any, y: torch.Tensor) -> torch.Tensor:
        """The discriminator's part, for a baseline."""
        dy, loss = self.stepper._mapped(self.stepper.field.disc, t, y, self._next())
        if self._calls == 1:
            self._note(dy, loss[..., None])
        return dy

    def gen(self, t: Any, y: torch.Tensor) -> torch.Tensor:
        """The generator's part, for a baseline."""
        dy, loss = self.stepper._mapped(self.stepper.field.gen, t, y, self._next())
        self._note(dy, loss[..., None])
        return dy

    def measured(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(losses (..., 2), |f|) at the first evaluation of each player."""
        norm = self._norms[0] if len(self._norms) == 1 else torch.sqrt(self._norms[0] ** 2 + self._norms[1] ** 2)
        return torch.cat(self._losses, dim=-1), norm

    def _next(self) -> Any:
        batch = self.batches[min(self._calls, len(self.batches) - 1)]
        self._calls += 1
        return batch

    def _note(self, dy: torch.Tensor, losses: torch.Tensor, whole: bool = False) -> None:
        if whole and self._losses:
            return
        self._losses.append(losses)
        self._norms.append(torch.linalg.vector_norm(dy, dim=-1))


def frozen(
    stepper: Stepper, t: Any, y: torch.Tensor, batch: Any, start: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """(dy, losses) where each player moves against the opponent at ``start``."""
    n = stepper.game.n_disc
    disc_sees = torch.cat([y[..., :n], start[..., n:]], dim=-1)
    gen_sees = torch.cat([start[..., :n], y[..., n:]], dim=-1)
    part_d, loss_d = stepper._mapped(stepper.field.disc, t, disc_sees, batch)
    part_g, loss_g = stepper._mapped(stepper.field.gen, t, gen_sees, batch)
    return torch.cat([part_d, part_g], dim=-1), torch.stack([loss_d, loss_g], dim=-1)


def check_state(game: Game, y0: Any) -> None:
    """Refuse a y0 that is not a floating (P,) or (E, P) tensor of finite numbers."""
    if not isinstance(game, Game):
        fail("game", game, "an odegan.Game, as odegan.gan(...) and odegan.games make them")
    shape = f"a floating-point tensor of shape ({game.n_params},), or (E, {game.n_params}) for an ensemble"
    if not isinstance(y0, torch.Tensor) or not y0.is_floating_point() or y0.ndim not in (1, 2):
        fail("y0", y0, shape)
    if y0.shape[-1] != game.n_params or y0.shape[0] == 0:
        fail("y0", y0, shape)
    if not torch.isfinite(y0).all():
        fail("y0", "a non-finite number in it", "finite everywhere")


def needs_graph(arguments: Arguments, *values: Any) -> bool:
    """Whether something that the run depends on asks for a gradient."""
    weights = [getattr(penalty, "weight", None) for penalty in arguments.penalties]
    leaves = torch.utils._pytree.tree_leaves([values, weights, arguments.rates, arguments.step_size])
    return any(isinstance(leaf, torch.Tensor) and leaf.requires_grad for leaf in leaves)


def _begin(clock: tuple[float, int, Any], t: float) -> Any:
    """The step's start as a function of a differentiable step size; else the time itself."""
    anchor, count, h = clock
    return anchor + count * h if isinstance(h, torch.Tensor) else t


def _until(times: Sequence[float], position: int, end: float) -> Sequence[float]:
    """Those of the sorted times[position:] that do not lie beyond ``end``."""
    return times[position : bisect.bisect_right(times, end, lo=position)]


def _time(t: Any) -> torch.Tensor:
    return torch.as_tensor(t, dtype=torch.float64)


def _each_member(function: Any, y: torch.Tensor, *rest: Any) -> dict[str, torch.Tensor]:
    """A game's function of y (P,), for every member of an ensemble."""
    if y.ndim == 1:
        return function(*rest, y)
    members = [function(*(torch.utils._pytree.tree_map(lambda x: x[e], r) for r in rest), y[e]) for e in range(len(y))]
    return {key: torch.stack([m[key] for m in members]) for key in members[0]}


def _known(arguments: dict[str, Any]) -> dict[str, Any]:
    allowed = parse.__kwdefaults__ or {}
    for key in arguments:
        if key not in allowed:
            fail("Stepper", key, f"given arguments among {', '.join(allowed)}")
    return arguments
