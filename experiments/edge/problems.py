"""What the edge-of-stability experiment trains: a game of networks and its data."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from experiments.framework import mixture
from experiments.images import presets
from experiments.images.ingredients import make_game, training_data
from odegan import gan, nets
from odegan.data import load_digits
from odegan.games.network import NetworkGame

DIGITS = presets.get("digits")
FASHION = presets.get("odegan-fashion-small")


class Problem(NamedTuple):
    """How to make the game, the data and latents of its minibatches, and the samples that it is linearized on at most."""

    game: Callable[[], NetworkGame]
    data: Callable[[], Any]
    latent: int
    samples: int | None = None


PROBLEMS: Mapping[str, Problem] = {
    "mixture": Problem(lambda: gan(*nets.mog16()), lambda: mixture.draw, mixture.LATENT),
    "digits": Problem(
        lambda: make_game(DIGITS), functools.cache(lambda: load_digits()[0]), DIGITS.latent, DIGITS.batch_size
    ),
    "fashion": Problem(
        lambda: make_game(FASHION), functools.cache(lambda: training_data(FASHION)), FASHION.latent, FASHION.batch_size
    ),
}
