"""The two players: their names, in the order of y, and the types of a pair of tensors and of a player's loss."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch

Player = Literal["disc", "gen"]
BOTH: tuple[Player, ...] = ("disc", "gen")
Players = tuple[torch.Tensor, torch.Tensor]  # one tensor for each player, the discriminator's first
# (theta_d, theta_g, batch) -> scalar. The batch is Any: games in closed form read none, others a ``Batch``.
PlayerLoss = Callable[[torch.Tensor, torch.Tensor, Any], torch.Tensor]
