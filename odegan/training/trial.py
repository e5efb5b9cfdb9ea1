"""The first evaluation of a run: losses and penalties must be pure, and have gradients if they depend on the parameters."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import torch
from torch.utils._pytree import tree_map

from odegan.field.training_field import TrainingField
from odegan.field.vector_field import vector_field
from odegan.games.batch import Batch
from odegan.games.game import Game
from odegan.training.options import Options
from odegan.training.state import State
from odegan.training.time_grid import as_time
from odegan.utils import autodiff
from odegan.utils.checks import ArgumentError
from odegan.utils.purity import check_pure, generator_states

_STEP = 1e-2  # relative change of theta that shows whether a loss depends on it


@contextlib.contextmanager
def watched_first(game: Game, options: Options, state: State, draw: Callable[[], Batch | None]) -> Iterator[None]:
    """A context for the first evaluation: on exit, refuse losses and penalties that drew random numbers or had no graph.

    ``draw`` gives the minibatch of the first evaluation. Nothing is evaluated again unless something was wrong.
    """
    before = generator_states()
    autodiff.missing_graph(reset=True)
    yield
    if generator_states() == before and not autodiff.missing_graph():
        return
    y = state.y.detach()
    batch = draw()
    if y.ndim == 2:
        y = y[0]
        batch = tree_map(lambda x: x[0], batch)
    try_out(game, options, state.t, y, batch)


def try_out(game: Game, options: Options, time: float, y: torch.Tensor, batch: Batch | None) -> None:
    """Evaluate the field of one member again, to find out which loss or penalty is at fault.

    Penalties that read noise or replay buffers are left out, since a run draws these; only one micro-batch is used.

    Raises:
        ArgumentError: a loss or a penalty draws random numbers, or a loss depends on its player's parameters without having a
            gradient.
    """
    t = as_time(time)  # a tensor, as users' functions of time will get it
    size = options.micro_batch
    if size is not None:
        batch = tree_map(lambda x: x[:size], batch)
    batch = game.with_draws(batch)
    with torch.no_grad():
        check_pure("loss", vector_field(game), t, y, batch)
        own = [p for p in options.penalties if not (getattr(p, "replay", None) or getattr(p, "noise", False))]
        if own:
            # Weights that are schedules in steps are those of the first step.
            check_pure("penalties", TrainingField(game, own).at_step(0.0), t, y, batch)
        if game._gradients is None:
            _check_gradients(game, y, batch)


def _check_gradients(game: Game, y: torch.Tensor, batch: Batch | None) -> None:
    """Refuse a loss without a graph, whose gradient would silently be zero."""
    theta_d, theta_g = game.split(y)
    losses = {
        "discriminator": (theta_d, lambda own: game.disc_loss(own, theta_g, batch)),
        "generator": (theta_g, lambda own: game.gen_loss(theta_d, own, batch)),
    }
    for player, (theta, loss) in losses.items():
        with torch.enable_grad():
            value = loss(theta.detach().requires_grad_())
        if value.requires_grad or not theta.numel():
            continue
        draw = torch.randn(theta.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float32).to(theta)
        if not torch.equal(loss(theta + _STEP * (theta.abs() + _STEP) * draw), value.detach()):
            raise ArgumentError(
                f"loss: got one for the {player} that changes with its parameters but has no gradient in them; it must not be "
                "computed under torch.no_grad or from detached tensors"
            )
