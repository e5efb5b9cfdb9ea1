"""Checks before and during a run: losses and penalties are pure, and have gradients if they depend on the parameters."""

from __future__ import annotations

import functools

import torch
from torch.utils._pytree import tree_map_only

from odegan.field.microbatch import field_of_one_part
from odegan.field.training_field import TrainingField
from odegan.games.batch import Batch
from odegan.games.examine import evaluate
from odegan.games.game import Game
from odegan.modules.validate import one_line_errors
from odegan.training.options import Options
from odegan.training.time_grid import as_time
from odegan.utils import autodiff
from odegan.utils.ambient import transforms_around
from odegan.utils.checks import ArgumentError
from odegan.utils.purity import check_pure

_STEP = 1e-2  # relative change of theta that shows whether a loss depends on it


def try_out(game: Game, options: Options, time: float, y: torch.Tensor, batch: Batch | None, number: int = 0) -> None:
    """Evaluate the field twice at y (P,) or (E, P), and refuse it if it is not pure or cannot be differentiated.

    Of an ensemble two members are tried under ``torch.vmap`` too; of a divided batch one micro-batch. In grad mode, where a run
    is recorded, one gradient of the field is computed.

    Args:
        game: game of the run.
        options: options of the run.
        time: time of the evaluation.
        y: the state there.
        batch: its minibatch, with noise and replay buffers where penalties read these.
        number: number of the refresh interval, for schedules in steps.

    Raises:
        ArgumentError: a loss or a penalty draws random numbers, has a state, or cannot be differentiated or mapped; or a loss
            depends on its player's parameters without having a gradient.
    """
    # Within torch.func no tensor can be made one that requires a gradient; its own errors are the caller's to see.
    recorded = torch.is_grad_enabled() and not transforms_around()
    with torch.no_grad():
        _try_out(game, options, time, y.detach(), batch, number, recorded)


def _try_out(
    game: Game, options: Options, time: float, y: torch.Tensor, batch: Batch | None, number: int, recorded: bool
) -> None:
    t = as_time(time)  # a tensor, as users' functions of time will get it
    one, own = first_member(y, batch)
    divided = options.micro_batch, options.ranks
    bare = field_of_one_part(TrainingField(game), *divided)
    field = field_of_one_part(TrainingField(game, options.penalties).at_step(as_time(number)), *divided)

    def check_losses() -> None:
        with one_line_errors("game: its gradient cannot be computed"):
            check_pure("loss", bare, t, one, own)

    autodiff.missing_graph(reset=True)
    if not options.penalties:
        check_losses()
    else:
        try:
            with one_line_errors("penalties: they cannot be evaluated"):
                check_pure("penalties", field, t, one, own)
        except ArgumentError:
            check_losses()  # this field holds the losses too, which may be at fault
            raise
    if autodiff.missing_graph() and game._gradients is None:
        _check_gradients(game, one, own)
    if y.ndim == 2:
        evaluate(functools.partial(field, t), y, batch, "penalties" if options.penalties else "losses")
    if recorded:
        with one_line_errors("game: gradients through its steps cannot be computed"), torch.enable_grad():
            start = one.clone().requires_grad_()
            dy = field(t, start, own)
            if dy.requires_grad:
                torch.autograd.grad(dy.sum(), start, allow_unused=True)


def first_member(y: torch.Tensor, batch: Batch | None) -> tuple[torch.Tensor, Batch | None]:
    """y (P,) of the first member and its minibatch."""
    return (y, batch) if y.ndim == 1 else (y[0], tree_map_only(torch.Tensor, lambda x: x[0], batch))


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
                f"loss: got one for the {player} that changes with its parameters but has no gradient; it must not be "
                "computed under torch.no_grad or from detached tensors"
            )
