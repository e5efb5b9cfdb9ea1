"""A trial before a run: losses and penalties must be pure, and must have gradients if they depend on the parameters."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils._pytree import tree_map

from odegan.field.training_field import TrainingField
from odegan.field.vector_field import vector_field
from odegan.games.game import Game
from odegan.training.options import Options
from odegan.training.time_grid import as_time
from odegan.utils.checks import ArgumentError
from odegan.utils.purity import check_pure

_STEP = 1e-2  # relative change of theta that shows whether a loss depends on it


def try_out(game: Game, options: Options, time: float, y: torch.Tensor, batch: Any) -> None:
    """Evaluate the field of one member at the start of a run.

    Penalties that read noise or replay buffers are left out, since a run draws these; only one micro-batch is used.

    Raises:
        ArgumentError: a loss or a penalty draws random numbers, or a loss depends on its player's parameters without having a
            gradient.
    """
    t = as_time(time)  # a tensor, as users' functions of time will get it
    size = options.micro_batch
    if size is not None:
        batch = tree_map(lambda x: x[:size], batch)
    with torch.no_grad():
        check_pure("loss", vector_field(game), t, y, batch)
        own = [p for p in options.penalties if not (getattr(p, "replay", None) or getattr(p, "noise", False))]
        if own:
            # Weights that are schedules in steps are those of the first step.
            check_pure("penalties", TrainingField(game, own).at_step(0.0), t, y, batch)
        if game._gradients is None:
            _check_gradients(game, y, batch)


def _check_gradients(game: Game, y: torch.Tensor, batch: Any) -> None:
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
