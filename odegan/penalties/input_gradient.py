"""The discriminator's gradient with respect to its input, which several penalties use."""

from __future__ import annotations

import torch

from odegan.games.batch import Batch
from odegan.games.game import Game
from odegan.penalties.base import need
from odegan.utils.autodiff import gradient_and_value
from odegan.utils.checks import ArgumentError


def input_gradient(
    game: Game, theta_d: torch.Tensor, batch: Batch | None, x: torch.Tensor, label: torch.Tensor | None
) -> torch.Tensor:
    """grad_x D(x, label) for each sample, flattened: x (n, ...) -> (n, numel of one sample)."""
    if game.critic_couples_batch:
        _refuse_coupled(game, "input_gradient")
    # Checked when the penalty is made too, but before the first batch a game may not know yet.
    critic = game.critic_fn(theta_d, batch)
    # The gradient of the sum holds every sample's own gradient, because no layer couples the samples.
    return gradient_and_value(lambda own: critic(own, label).sum(), x)[0].flatten(1)


def check_critic(game: Game, penalty: str, *parts: str) -> None:
    """Refuse a game that lacks a critic or another of these parts, or whose critic couples the batch."""
    need(game, penalty, "critic", *parts)
    if game.critic_couples_batch:
        _refuse_coupled(game, penalty)


def _refuse_coupled(game: Game, penalty: str) -> None:
    raise ArgumentError(
        f"penalties: {penalty} needs D's gradient at each sample, but a layer of the discriminator of the game {game.name!r} "
        "couples the batch (BatchNorm?)"
    )
