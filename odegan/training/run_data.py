"""``RunData``: the arguments of a run that say what its minibatches are made of."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from einops import repeat
from torch.utils._pytree import tree_map

from odegan.data.given import Data, Latent
from odegan.data.minibatches import FAKE_LABELS, Minibatches
from odegan.games.classes import classes_for
from odegan.games.game import Game
from odegan.games.labels import note_unused
from odegan.training.options import Options
from odegan.utils.checks import argument_error, choose
from odegan.utils.random_streams import Seeds


@dataclass(frozen=True)
class RunData:
    """The data arguments of ``odeint_gan``; see there for their meaning. seeds: one, or one per member of an ensemble."""

    data: Data | None
    latent: Latent
    batch_size: int | None
    seeds: Seeds
    workers: int
    fake_labels: str

    def prepared(self, game: Game, y0: torch.Tensor, options: Options) -> tuple[Game, Minibatches | None]:
        """The run's own copy of the game, checked on the first minibatch, and the minibatches.

        Raises:
            ArgumentError: data that do not fit the game, or arguments about data without any data.
        """
        self._check(game)
        if self.data is None:
            return game.prepared(y0.detach(), None), None
        minibatches = Minibatches(
            self.data,
            self.latent_of(game),
            self.batch_size,
            self.seeds,
            y0.detach(),
            options.ranks,
            self.workers,
            game.conditional,
            self.fake_labels,
        )
        note_unused(game, minibatches.labeled)
        minibatches.allow(getattr(game, "classes", None))
        first = minibatches.trial()
        # Expanded, not drawn for each member: the check is of shapes and of properties of the modules, not of numbers.
        seen = first if y0.ndim == 1 else tree_map(lambda x: repeat(x, "... -> member ...", member=len(y0)), first)
        run = game.prepared(y0.detach(), seen)
        if game.conditional and not minibatches.labels_known:
            minibatches.allow(classes_for(game, y0.detach() if y0.ndim == 1 else y0[0].detach(), first))
        return run, minibatches

    def latent_of(self, game: Game) -> Latent:
        """The latents of the run: the given ones, or the game's own."""
        if self.latent is None and self.data is not None:
            return getattr(game, "latent", None)
        return self.latent

    def _check(self, game: Game) -> None:
        choose("fake_labels", self.fake_labels, FAKE_LABELS)
        if self.fake_labels == "same" and not game.conditional:
            argument_error(
                "fake_labels", self.fake_labels, f"left out with the game {game.name!r}, which takes no labels"
            )
        without_data = self.latent is None and self.batch_size is None and self.workers == 0
        if self.data is None and not without_data:
            argument_error("data", None, "given when latent, batch_size or workers is")
