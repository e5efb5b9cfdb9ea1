"""The state of a run, the information about a step, and checks of an initial state."""

from __future__ import annotations

import types
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypedDict

import torch

from odegan.data.replay import Store
from odegan.games.batch import Batch
from odegan.games.game import Game, check_game
from odegan.solvers.update_rules import Memory
from odegan.training.options import Options
from odegan.training.statistics import StepStatistics
from odegan.training.time_grid import StepCounter
from odegan.utils.checks import argument_error
from odegan.utils.random_streams import Seeds
from odegan.utils.warn import warn


class Aux(TypedDict):
    """Everything that changes between steps, besides t and y.

    Attributes:
        index: the number of completed refresh intervals.
        start: the time at which the first one began.
        seeds: one, or one per member, for the random draws of penalties.
        replay: the samples stored for penalties, by buffer.
        counter: of fixed steps.
        memory: of a baseline.
        buffers: of the game's modules.
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
    """

    t: float
    y: torch.Tensor
    aux: Aux


class Info(NamedTuple):
    """Information about one refresh interval.

    losses (..., 2), field_norm (...), step_size and error_ratio are those of the last step. nfe: field evaluations, of both
    players or of the one evaluated more often, without the penalties. accepted, rejected: numbers of steps. finite (...):
    whether the whole interval was finite.

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


_EMPTY = types.CellType()  # of a name that has no value yet

Callback = Callable[[State, Info], object]  # a true value ends the run
Callbacks = Callback | Sequence[Callback] | None

Reports = tuple[Sequence[float], int]  # sorted times, and the number of those already reported


# The minibatches of an interval (one, or one per stage), and a function for those of n intervals from the index-th on.
Batches = tuple[Batch | None, ...]
Draw = Callable[[int, int], Sequence[Batches]]


class IntervalResult(NamedTuple):
    """The result of one or several refresh intervals.

    Attributes:
        state: at the end.
        info: of the last interval.
        reported: the states at the report times.
        statistics: of every step.
    """

    state: State
    info: Info
    reported: list[torch.Tensor]
    statistics: StepStatistics


def check_state(game: Game, y0: object) -> None:
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
    """y0, detached if its graph leads to modules' parameters alone, as that of ``parameters_to_vector`` does.

    A run from it would otherwise be recorded step by step, for a gradient that nobody asked for.
    """
    if y0.grad_fn is None or not torch.is_grad_enabled() or not _of_modules(y0.grad_fn):
        return y0
    warn(
        "y0: got a tensor whose graph leads to the parameters of modules; the run starts from its values alone (give "
        "y0.detach(), or for gradients a y0 that is a leaf: y0.detach().requires_grad_())"
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


def needs_graph(options: Options, game: Game, *values: object) -> bool:
    """Whether the run depends on something that requires a gradient: ``read_by_field``, or values such as y0 and data."""
    leaves = torch.utils._pytree.tree_leaves([values, options.step_size])
    return bool(read_by_field(options, game)) or any(isinstance(x, torch.Tensor) and x.requires_grad for x in leaves)


def read_by_field(options: Options, game: Game) -> list[torch.Tensor]:
    """The tensors that require a gradient among weights, rates, the game's attributes and its losses' closures."""
    weights = [getattr(penalty, name, None) for penalty in options.penalties for name in ("weight", "settings")]
    leaves = torch.utils._pytree.tree_leaves([weights, options.rates, *held_by(game)])
    asking = {id(leaf): leaf for leaf in leaves if isinstance(leaf, torch.Tensor) and leaf.requires_grad}
    return list(asking.values())


def held_by(game: Game) -> list[object]:
    """The attributes of a game and of the game that it was made from, with the closures of functions among them."""
    found: list[object] = []
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
