"""Which tensors a run's gradients flow to: recording a run without one would only grow with the number of steps."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch.utils._pytree import tree_leaves, tree_map_only

from odegan.field.microbatch import field_of_one_part
from odegan.field.training_field import TrainingField
from odegan.games.batch import Batch
from odegan.games.game import Game
from odegan.modules.validate import RAISED
from odegan.training.options import Options
from odegan.training.reads import tensors_read
from odegan.training.time_grid import as_time
from odegan.training.trial import first_member
from odegan.utils.checks import ArgumentError
from odegan.utils.warn import warn


def start_of(y0: torch.Tensor) -> torch.Tensor:
    """y0, detached if its graph leads to modules' parameters alone, as that of ``parameters_to_vector`` does.

    A run from it would otherwise be recorded step by step, for a gradient that nobody asked for.
    """
    if y0.grad_fn is None or not torch.is_grad_enabled() or not of_modules(y0.grad_fn):
        return y0
    warn(
        "y0: got a tensor whose graph leads to the parameters of modules; the run starts from its values alone (give "
        "y0.detach(), or for gradients a y0 that is a leaf: y0.detach().requires_grad_())"
    )
    return y0.detach()


def of_modules(root: torch.autograd.graph.Node) -> bool:
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


def needs_graph(named: Iterable[torch.Tensor], *values: object) -> bool:
    """Whether one of the tensors that the run's arguments name, or of values such as y0 and data, requires a gradient."""
    leaves = [*named, *tree_leaves(values)]
    return any(isinstance(leaf, torch.Tensor) and leaf.requires_grad for leaf in leaves)


@torch.enable_grad()
def depends(game: Game, options: Options, time: float, y: torch.Tensor, batch: Batch | None, number: int = 0) -> bool:
    """Whether the field or the step at this state depends on a tensor that requires a gradient, wherever its functions find it.

    Parameters of modules do not count, as those of a network within a loss: they require a gradient unasked.

    Args:
        game: game of the run.
        options: options of the run.
        time: time of the evaluation.
        y: the state there, (P,) or (E, P).
        batch: its minibatch.
        number: number of the refresh interval.
    """
    h = None if options.step_size is None else options.step_at(time, number)
    given = first_member(y, batch)
    # Without the graph that samples carry where the data do, or where a function draws them by gradients of its own. Copies,
    # since a loss that writes to them is refused only later.
    y, batch = tree_map_only(torch.Tensor, lambda x: x.detach().clone(), given)
    whole = TrainingField(game, options.penalties, options.rates).at_step(as_time(number))
    field = field_of_one_part(whole, options.micro_batch, options.ranks)
    try:
        values = [h, field(as_time(time), y, batch)]
    except RAISED as error:
        if isinstance(error, ArgumentError):
            raise
        return False  # the trial before the first step says what is wrong
    graphs = [x.grad_fn for x in values if isinstance(x, torch.Tensor) and x.grad_fn is not None]
    leaf = any(isinstance(x, torch.Tensor) and x.is_leaf and x.requires_grad for x in values)
    return leaf or any(not of_modules(graph) for graph in graphs)


def read_by_field(options: Options, game: Game) -> list[torch.Tensor]:
    """The tensors that penalties, rates, solver options, the game and its losses hold, or that functions among them read."""
    return tensors_read([*options.penalties, *options.rates, *tree_leaves(options.solver_options), game])


def named_by_run(options: Options, game: Game) -> list[torch.Tensor]:
    """Those, and the step size's."""
    return [*read_by_field(options, game), *tensors_read([options.step_size])]
