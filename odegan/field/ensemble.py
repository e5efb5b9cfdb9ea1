"""The only place that maps a function of one state over the members of an ensemble."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch

from odegan.games.batch import Batch

Result = TypeVar("Result")
Time = float | torch.Tensor


def over_members(
    function: Callable[..., Result], t: Time, y: torch.Tensor, batch: Batch | None, *others: object
) -> Result:
    """function(t, y_e, batch_e, ...) for every member e, stacked; y is (E, P), and batch and others have E in front too."""
    # t is shared: all members take the same steps.
    # A batch of None is not mapped: vmap refuses None as an argument with a batch dimension.
    return torch.vmap(function, in_dims=(None, 0, None if batch is None else 0, *(0 for _ in others)))(
        t, y, batch, *others
    )
