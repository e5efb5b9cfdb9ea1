"""The state of a run, what a step says of itself, and what can be asked of a starting point."""

from __future__ import annotations

import types
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch

from odegan.games.batch import Batch
from odegan.games.game import Game, check_game
from odegan.training.options import Options
from odegan.training.statistics import StepStatistics
from odegan.utils.checks import argument_error


class State(NamedTuple):
    """The whole state of a run. t: time; y: (P,) or (E, P); aux: everything that moves between steps, as plain data.

    aux holds: index, the number of refresh intervals done; start, the time of the first; seeds, the run's or one a member,
    and replay, the stored samples, for penalties that draw; counter, the step counter (anchor, steps, h) with
    t = anchor + steps h; memory, the baselines'; buffers, the game's; alive, which members are still finite; proposed, the
    step that an adaptive solver proposed last.
    """

    t: float
    y: torch.Tensor
    aux: dict[str, Any]


class Info(NamedTuple):
    """What one refresh interval did. The last step's losses (..., 2), field_norm (...), step_size and error_ratio; nfe:
    field evaluations (of both players, or of the one evaluated most often; penalties not counted); accepted and rejected
    steps; finite (...): whether all of it was.
    """

    losses: torch.Tensor
    field_norm: torch.Tensor
    step_size: float
    error_ratio: float
    nfe: int
    accepted: int
    rejected: int
    finite: torch.Tensor


_EMPTY = types.CellType()  # of a name that has no value yet

Reports = tuple[Sequence[float], int]  # sorted times, and how many of them are behind us


# The minibatches of an interval (one, or one a stage), and of the n intervals from the index-th on.
Batches = tuple[Batch | None, ...]
Draw = Callable[[int, int], Sequence[Batches]]


class IntervalResult(NamedTuple):
    """One or several refresh intervals: the state at their end, the last one's info, states at the reported times within, and
    what was measured of every step.
    """

    state: State
    info: Info
    reported: list[torch.Tensor]
    statistics: StepStatistics


def check_state(game: Game, y0: Any) -> None:
    """Refuse a y0 that is not a floating (P,) or (E, P) tensor of finite numbers."""
    check_game(game)
    shape = f"a floating-point tensor of shape ({game.n_params},), or (E, {game.n_params}) for an ensemble"
    if not isinstance(y0, torch.Tensor) or not y0.is_floating_point() or y0.ndim not in (1, 2):
        argument_error("y0", y0, shape)
    if y0.shape[-1] != game.n_params or y0.shape[0] == 0:
        argument_error("y0", y0, shape)
    if not torch.isfinite(y0).all():
        argument_error("y0", "a non-finite number in it", "finite everywhere")


def needs_graph(options: Options, game: Game, *values: Any) -> bool:
    """Whether something that the run depends on asks for a gradient: y0, data, weights, rates, the step size, or a tensor that
    the game holds or its losses close over.
    """
    weights = [getattr(penalty, name, None) for penalty in options.penalties for name in ("weight", "settings")]
    leaves = torch.utils._pytree.tree_leaves([values, weights, options.rates, options.step_size, *held_by(game)])
    return any(isinstance(leaf, torch.Tensor) and leaf.requires_grad for leaf in leaves)


def held_by(game: Game) -> list[Any]:
    """What a game, and the one that it is made from, has as attributes, and what functions among these close over."""
    found: list[Any] = []
    for value in vars(game).values():
        cells = [cell.cell_contents for cell in getattr(value, "__closure__", None) or () if cell != _EMPTY]
        found.extend([value, *cells])
        if isinstance(value, Game):
            found.extend(held_by(value))
    return found


def each_member(
    function: Callable[..., dict[str, torch.Tensor]], y: torch.Tensor, *trees: dict[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """A game's function (..., y (P,)) -> tensors by name, of one state or of every member of an ensemble."""
    if y.ndim == 1:
        return function(*trees, y)
    return torch.vmap(function)(*trees, y)
