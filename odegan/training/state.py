"""The state of a run, the information about a step, and checks of an initial state."""

from __future__ import annotations

import types
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch

from odegan.games.batch import Batch
from odegan.games.game import Game, check_game
from odegan.training.options import Options
from odegan.training.statistics import StepStatistics
from odegan.utils.checks import argument_error


class State(NamedTuple):
    """The whole state of a run. t: time; y: (P,) or (E, P); aux: everything that changes between steps, as plain data.

    aux holds: index, the number of completed refresh intervals; start, the time of the first; seeds, one or one per member, and
    replay, the stored samples, both for penalties; counter, the step counter (anchor, steps, h) with t = anchor + steps h;
    memory, of the baselines; buffers, of the game; alive, which members are still finite; proposed, an adaptive solver's last
    proposed step.
    """

    t: float
    y: torch.Tensor
    aux: dict[str, Any]


class Info(NamedTuple):
    """Information about one refresh interval.

    losses (..., 2), field_norm (...), step_size and error_ratio are those of the last step. nfe: field evaluations, of both
    players or of the one evaluated more often, without the penalties. accepted, rejected: numbers of steps. finite (...):
    whether the whole interval was finite.
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

Reports = tuple[Sequence[float], int]  # sorted times, and the number of those already reported


# The minibatches of an interval (one, or one per stage), and a function for those of n intervals from the index-th on.
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
    """Refuse a y0 that is not a floating-point tensor (P,) or (E, P) of finite numbers."""
    check_game(game)
    shape = f"a floating-point tensor of shape ({game.n_params},), or (E, {game.n_params}) for an ensemble"
    if not isinstance(y0, torch.Tensor) or not y0.is_floating_point() or y0.ndim not in (1, 2):
        argument_error("y0", y0, shape)
    if y0.shape[-1] != game.n_params or y0.shape[0] == 0:
        argument_error("y0", y0, shape)
    if not torch.isfinite(y0).all():
        argument_error("y0", "a non-finite number in it", "finite everywhere")


def start_of(y0: torch.Tensor) -> torch.Tensor:
    """y0, without its graph where this leads to modules' parameters alone, as that of ``parameters_to_vector`` does.

    A run from it would otherwise be recorded step by step, for a gradient that nobody asked for.
    """
    if y0.grad_fn is None or not torch.is_grad_enabled() or not _of_modules(y0.grad_fn):
        return y0
    warnings.warn(
        "y0: got a tensor whose graph leads to the parameters of modules; the run starts from its values alone (give "
        "y0.detach(), or for gradients a y0 that is a leaf: y0.detach().requires_grad_())",
        stacklevel=4,
    )
    return y0.detach()


def _of_modules(root: torch.autograd.graph.Node) -> bool:
    """Whether every leaf of a graph is an ``nn.Parameter``."""
    seen = {root}
    waiting = [root]
    while waiting:
        node = waiting.pop()
        leaf = getattr(node, "variable", None)
        if leaf is not None and not isinstance(leaf, torch.nn.Parameter):
            return False
        following = {node for node, _ in node.next_functions if node is not None} - seen
        seen |= following
        waiting.extend(following)
    return True


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
    """Apply a game's function (..., y (P,)) -> tensors by name to one state, or to every member of an ensemble."""
    if y.ndim == 1:
        return function(*trees, y)
    return torch.vmap(function)(*trees, y)
