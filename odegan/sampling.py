"""A game's generator as a function (n, seed) -> samples, that says which batch-normalisation statistics it uses."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from odegan.game import Game
from odegan.network import NetworkGame


def game_sampler(game: Game, y: Tensor, batches: Iterable[Any] | None = None) -> GameSampler:
    """A sampler of the generator of ``game`` at y (P,), which may be an average of states.

    Args:
        game: made by ``gan``, or any that draws samples.
        y: (P,).
        batches: an iterable of (real, latent): batch normalisation then uses running statistics, estimated at this y over
            these batches. None: it uses those of the batch that is drawn.

    Examples:
        >>> from odegan.network import gan
        >>> game = gan(nn.Linear(2, 3), nn.Linear(3, 1))
        >>> sampler = game_sampler(game, game.init())
        >>> sampler(5, seed=0).shape, sampler.normalisation
        (torch.Size([5, 3]), 'none')
    """
    return GameSampler(game, y, batches)


class GameSampler:
    """(n, seed) -> n samples; made by ``game_sampler``. ``normalisation`` says which statistics they are made with."""

    def __init__(self, game: Game, y: Tensor, batches: Iterable[Any] | None) -> None:
        self._game, self._y = game, y.detach()
        self._module: nn.Module | None = None
        self.normalisation = "none"
        if not isinstance(game, NetworkGame):
            return
        module, _ = game.modules(self._y, batches)
        if any(isinstance(part, _BatchNorm) for part in module.modules()):
            self.normalisation = "batch" if batches is None else "running"
        if self.normalisation == "running":
            self._module = module.eval()

    @torch.no_grad()
    def __call__(self, n: int, seed: int) -> Tensor:
        """Samples (n, C, H, W)."""
        if self._module is None:
            return self._game.sample(self._y, n, seed)
        draw, latent = torch.Generator().manual_seed(seed), cast(NetworkGame, self._game).latent
        z = latent(n, draw) if callable(latent) else torch.randn(n, *latent, generator=draw)
        return self._module(z.to(self._y))
