"""One line for a batch that the networks cannot take, wherever a game is evaluated outside a run."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch

from odegan.games.batch import Batch
from odegan.modules.validate import RAISED, CannotTakeError, one_line_errors
from odegan.utils.ambient import transforms_around
from odegan.utils.checks import ArgumentError, argument_error

Result = TypeVar("Result")
Prepare = Callable[[torch.Tensor, Batch | None], object]  # a game's checks before a run


def explained(
    what: str, evaluate: Callable[[], Result], prepare: Prepare, y: torch.Tensor, batch: Batch | None
) -> Result:
    """The result of ``evaluate``.

    y must be one state (P,): the losses of several would be summed. torch's errors become the ``ArgumentError`` that a run
    would raise for this batch, or one that names the game's ``what``.
    """
    if y.ndim != 1:
        argument_error("y", y, f"one state of shape ({y.shape[-1]},); map over an ensemble with torch.vmap")
    # A compiler reports errors of its own.
    if torch.compiler.is_compiling():
        return evaluate()
    try:
        with one_line_errors(f"game: its {what} cannot be computed"):
            return evaluate()
    except ArgumentError as error:
        # Only now: the checks before a run cost several evaluations. Within torch.func they fail for other reasons.
        if isinstance(error.__cause__, RAISED) and not transforms_around():
            _refuse(prepare, y, batch)
        raise


def _refuse(prepare: Prepare, y: torch.Tensor, batch: Batch | None) -> None:
    try:
        prepare(y.detach(), batch)
    except CannotTakeError as error:
        raise error from None
    except RAISED:
        # The batch is not to blame.
        return
