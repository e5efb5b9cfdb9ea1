"""Preparation for every analysis: check the state, and compute the buffers that a run would have at it."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch.utils._pytree import tree_map_only

from odegan.games.batch import Batch, BatchLike, as_batch
from odegan.games.game import Game
from odegan.games.latents import placed
from odegan.utils.ambient import usable
from odegan.utils.checks import argument_error


def check_state(name: str, game: Game, y: torch.Tensor) -> torch.Tensor:
    """Return y detached; refuse it unless it is one floating-point state (P,)."""
    if not isinstance(y, torch.Tensor) or y.shape != (game.n_params,) or not y.is_floating_point():
        allowed = f"one state, floating point, of shape ({game.n_params},); take one member of an ensemble at a time"
        argument_error(name, y, allowed)
    if not torch.isfinite(y).all():
        argument_error(name, "a non-finite number in it", "finite everywhere")
    return usable(y.detach())


def complete_batch(game: Game, y: torch.Tensor, batch: BatchLike) -> BatchLike:
    """The batch on the device of y and in its precision, with spectral norm's u and v converged at y unless it has them.

    They are constants of the field. A run updates them from step to step; without them the field would use those of the given
    modules, and so be a different one at a trained y.
    """
    batch = tree_map_only(torch.Tensor, lambda x: placed(x, y), usable(batch))
    if batch is None or (isinstance(batch, Batch) and batch.buffers is not None):
        return batch
    buffers = game.initial_buffers(y)
    full = as_batch(batch)
    return replace(full, buffers=buffers) if buffers and full is not None else batch
