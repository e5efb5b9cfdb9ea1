"""A game's generator as a function (n, seed) -> samples, which says which batch-normalization statistics it uses."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from einops import repeat
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from odegan.games.batch import BatchLike
from odegan.games.game import Game, check_game
from odegan.games.labels import Label
from odegan.games.latents import draw_latents, truncated
from odegan.games.network import NetworkGame
from odegan.utils.ambient import pinned, unaffected
from odegan.utils.checks import argument_error, check_int, check_number


class GameSampler:
    """``sampler(n, seed)``: n samples of the generator of ``game`` at y (P,), determined by seed and y alone.

    For a class-conditional game ``sampler(n, seed, label)``, with the label as in ``game.sample``.

    Attributes:
        normalization: the statistics that the generator's batch norms use, "batch" or "running", or "none" if it has none; for
            scores.
        generator: the generator as a module in evaluation mode; None for a game that was not made by ``gan``.
        truncation: of the latents, None if there is none; for scores.

    Args:
        game: made by ``gan``, or any that draws samples.
        y: (P,), which may be an average of states; samples come from its device.
        batches: an iterable of (real, latent), or of ``Batch`` with labels: batch normalization then uses running
            statistics, estimated at this y over these batches. None: it uses those of the batch that is drawn, except
            for norms that were given in eval mode, which keep their running statistics.
        piece: samples drawn at once; None: all. With batch statistics, every piece has this size, and the surplus is
            dropped.
        truncation: a, to draw latents from the standard normal law truncated to [-a, a], as
            ``odegan.games.latents.truncated`` does; None: from the game's own law. Only for games made by ``gan`` whose
            latents are standard normal. With batch statistics, these are of truncated latents, too.

    Examples:
        >>> from odegan.games.network import gan
        >>> game = gan(nn.Linear(2, 3), nn.Linear(3, 1))
        >>> sampler = GameSampler(game, game.init())
        >>> sampler(5, seed=0).shape, sampler.normalization
        (torch.Size([5, 3]), 'none')
    """

    @unaffected
    def __init__(
        self,
        game: Game,
        y: Tensor,
        batches: Iterable[BatchLike] | None = None,
        piece: int | None = None,
        truncation: float | None = None,
    ) -> None:
        check_game(game)
        game.split(y)
        self._game = game
        self._y = y.detach()
        self._piece = None if piece is None else check_int("piece", piece, low=1)
        self.truncation = _check_truncation(game, truncation)
        self.generator: nn.Module | None = None
        self.normalization = "none"
        if isinstance(game, NetworkGame):
            self.generator = game.modules(self._y, batches)[0].eval()
            norms = [part for part in self.generator.modules() if isinstance(part, _BatchNorm)]
            if norms:
                # In evaluation mode a norm uses its running statistics if it has any, else those of the drawn batch.
                self.normalization = "batch" if any(norm.running_mean is None for norm in norms) else "running"

    def __call__(self, n: int, seed: int, label: Label = None) -> Tensor:
        """Samples (n, ...)."""
        with pinned(self._y):
            return self._samples(n, seed, label)

    def _samples(self, n: int, seed: int, label: Label) -> Tensor:
        n = check_int("n", n, low=1)
        if self.generator is None:
            return self._game.sample(self._y, n, seed, label)
        labels = self._game.labels_to_draw(label, n, self._y)
        # With batch statistics a smaller last piece would be normalized differently, so that scores depended on n.
        piece = self._piece if self._piece and self.normalization == "batch" else n
        total = -(-n // piece) * piece
        if labels is not None:
            # The samples that are cut off need labels, too.
            labels = repeat(labels, "n -> (copies n)", copies=-(-total // n))[:total]
        return self.images(self.latents(total, seed), labels)[:n]

    def latents(self, n: int, seed: int) -> Tensor:
        """n latents (n, ...), drawn on the CPU so that they do not depend on the device."""
        n = check_int("n", n, low=1)
        seed = check_int("seed", seed)
        latent = getattr(self._game, "latent", None)
        if latent is None:
            argument_error("latent", None, "passed to gan: it cannot be inferred from the generator's first layer")
        with pinned(self._y):
            drawn = draw_latents(latent, n, seed, self._y)
            return drawn if self.truncation is None else truncated(drawn, self.truncation)

    @torch.no_grad()
    def images(self, latents: Tensor, label: Label = None) -> Tensor:
        """Samples (n, ...) for latents (n, ...) and, in a class-conditional game, labels (n,)."""
        if self.generator is None:
            argument_error("game", self._game.name, "made by gan, to take latents")
        labels = self._game.labels_to_draw(label, len(latents), self._y)
        inputs = [latents] if labels is None else [latents, labels]
        pieces = zip(*(part.split(self._piece or len(latents)) for part in inputs), strict=True)
        with pinned(self._y):
            return torch.cat([self.generator(*piece) for piece in pieces])


def _check_truncation(game: Game, a: float | None) -> float | None:
    if a is None:
        return None
    limit = check_number("truncation", a, low=0.0, strict=True)
    if not isinstance(game, NetworkGame) or callable(game.latent):
        argument_error("truncation", a, "left out unless the game is made by gan and its latents are standard normal")
    return limit
