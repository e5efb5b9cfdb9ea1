"""The state of a run, the information about a step, and checks of an initial state."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol, TypedDict

import torch

from odegan.data.replay import Store
from odegan.games.batch import Batch
from odegan.games.game import Game, check_game
from odegan.solvers.solver import Solver
from odegan.solvers.update_rules import Memory
from odegan.training.statistics import StepStatistics
from odegan.training.time_grid import StepCounter
from odegan.utils.checks import argument_error
from odegan.utils.random_streams import Seeds
from odegan.utils.written import brief


class Aux(TypedDict):
    """Everything that changes between steps, besides t and y.

    Attributes:
        index: the number of completed refresh intervals.
        start: the time at which the first one began.
        seeds: one, or one per member, for the random draws of penalties.
        replay: the samples stored for penalties, by buffer.
        counter: the count of fixed steps.
        memory: the state of an optimizer or another baseline, such as Adam's moments.
        buffers: the buffers of the game's modules that change between steps.
        alive: () or (E,), which members are still finite.
        proposed: an adaptive solver's last proposed step size.
    """

    index: int
    start: float
    seeds: Seeds
    replay: dict[str, Store]
    counter: StepCounter
    memory: Memory
    buffers: dict[str, torch.Tensor]
    alive: torch.Tensor
    proposed: float | None


class State(NamedTuple):
    """The whole state of a run.

    Attributes:
        t: time.
        y: (P,), or (E, P) for an ensemble.
        aux: everything else that changes between steps, by name; see ``odegan.training.state.Aux``.

    Examples:
        >>> from odegan.games import bilinear
        >>> from odegan.training.stepper import Stepper
        >>> state = Stepper(bilinear(), step_size=0.1).init(torch.tensor([1.0, 0.0]))
        >>> state.t, state.aux["index"]
        (0.0, 0)
        >>> state
        State(t=0.0, y=float32 (2,), aux={'index': 0, ...})
    """

    t: float
    y: torch.Tensor
    aux: Aux

    def __repr__(self) -> str:
        return f"State(t={self.t!r}, y={brief(self.y)}, aux={{'index': {self.aux['index']}, ...}})"


class Info(NamedTuple):
    """Measurements of the last step, and counts over the last segment (with ``Stepper.step``, one refresh interval).

    The dimensions (...) are () for a single run and (E,) for an ensemble.

    Attributes:
        losses: (..., 2), unpenalized, of D and of G, at the first field evaluation of the last step.
        field_norm: (...), there.
        step_size: step size of the last step.
        error_ratio: error ratio of the last step of an adaptive solver, the error over the tolerance.
        nfe: field evaluations in the segment, of both players or of the one evaluated more often, without the penalties. In a
            callback, a segment may hold several refresh intervals; ``sol.stats`` has the totals.
        accepted: number of accepted steps in the segment.
        rejected: number of rejected steps in the segment.
        finite: (...), whether the whole segment was finite.

    Examples:
        >>> from odegan.games import bilinear
        >>> from odegan.training.stepper import Stepper
        >>> stepper = Stepper(bilinear(), solver="heun2", step_size=0.1)
        >>> _, info = stepper.step(stepper.init(torch.tensor([1.0, 0.0])), None)
        >>> info.nfe, info.accepted, bool(info.finite)
        (2, 1, True)
    """

    losses: torch.Tensor
    field_norm: torch.Tensor
    step_size: float
    error_ratio: float
    nfe: int
    accepted: int
    rejected: int
    finite: torch.Tensor


Callback = Callable[[State, Info], object]  # a true value ends the run
Callbacks = Callback | Sequence[Callback] | None


class KeepsState(Protocol):
    """A callback whose state the run's checkpoint includes."""

    def state_dict(self) -> Mapping[str, object]:
        """The state for a checkpoint, as plain data."""

    def load_state_dict(self, kept: Mapping[str, object]) -> None:
        """Restore the state from a checkpoint."""


Reports = tuple[Sequence[float], int]  # sorted times, and the number of those already reported

# The minibatches of an interval (one, or one per stage), and a function for those of n intervals from the index-th on.
Batches = tuple[Batch | None, ...]
Draw = Callable[[int, int], Sequence[Batches]]


class IntervalResult(NamedTuple):
    """The result of one or several refresh intervals.

    Attributes:
        state: the state at the end.
        info: measurements of the last step, and counts over all intervals.
        reported: the states at the report times.
        statistics: the measurements of every step.
    """

    state: State
    info: Info
    reported: list[torch.Tensor]
    statistics: StepStatistics


def check_state(game: Game, y0: object, solver: Solver | None = None) -> None:
    """Refuse a y0 that is not a floating-point tensor (P,) or (E, P) of finite numbers, and precise enough for the solver."""
    check_game(game)
    shape = f"a floating-point tensor of shape ({game.n_params},), or (E, {game.n_params}) for an ensemble"
    if not isinstance(y0, torch.Tensor) or not y0.is_floating_point() or y0.ndim not in (1, 2):
        argument_error("y0", y0, shape)
    if y0.shape[-1] != game.n_params or y0.shape[0] == 0:
        argument_error("y0", y0, shape)
    if not torch.isfinite(y0).all():
        argument_error("y0", "a non-finite number in it", "finite everywhere")
    if solver is not None and solver.adaptive and torch.finfo(y0.dtype).bits < 32:
        # The interpolant's coefficients are sums of states times 16 that cancel, which leaves nothing of 8 or 11 bits.
        argument_error(
            "y0", y0.dtype, f"float32 or float64 with {solver.name}, or a state of a solver with fixed steps"
        )


def each_member(
    function: Callable[..., dict[str, torch.Tensor]], y: torch.Tensor, *trees: dict[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """Apply a game's function (..., y (P,)) -> tensors by name to one state, or to every member of an ensemble."""
    if y.ndim == 1:
        return function(*trees, y)
    return torch.vmap(function)(*trees, y)
