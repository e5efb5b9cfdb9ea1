"""What every analysis does first: check the state, and take from it what a run would carry beside it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import torch
from torch.utils._pytree import tree_map

from odegan.games.batch import Batch, as_batch
from odegan.games.game import Game
from odegan.utils.checks import argument_error

BatchLike = Batch | tuple[torch.Tensor, torch.Tensor] | None
Extra = Callable[..., torch.Tensor] | None
PenaltyLike = Callable[[Game], tuple[Extra, Extra]]
Time = float | torch.Tensor

T = TypeVar("T")


def check_state(name: str, game: Game, y: torch.Tensor) -> torch.Tensor:
    """y without its graph, refused unless it is one floating-point state (P,)."""
    if not isinstance(y, torch.Tensor) or y.shape != (game.n_params,) or not y.is_floating_point():
        allowed = f"one state, floating point, of shape ({game.n_params},); take one member of an ensemble at a time"
        argument_error(name, y, allowed)
    return ordinary(y.detach())


def complete_batch(game: Game, y: torch.Tensor, batch: BatchLike) -> BatchLike:
    """The batch with spectral norm's u and v converged at y, unless it has them already.

    They are constants of the field at y. A run carries them from step to step; a batch of data alone leaves those of the
    modules as they were given, with which the field at a trained y is another one.
    """
    batch = ordinary(batch)
    if batch is None or (isinstance(batch, Batch) and batch.buffers is not None):
        return batch
    buffers = game.initial_buffers(y)
    full = as_batch(batch)
    return replace(full, buffers=buffers) if buffers and full is not None else batch


def ordinary(tree: T) -> T:
    """The same tensors, those made under ``torch.inference_mode`` copied: autograd refuses them."""
    return tree_map(lambda x: x.clone() if isinstance(x, torch.Tensor) and x.is_inference() else x, tree)
