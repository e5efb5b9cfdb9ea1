"""What the edge-of-stability experiment trains: a game of networks and its data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from experiments.framework import mixture
from odegan import gan, nets
from odegan.data import load_digits
from odegan.games.network import NetworkGame

DIGITS_LATENT = 16  # that of the preset "digits"


class Problem(NamedTuple):
    """How to make the game, and the data and latents of its minibatches."""

    game: Callable[[], NetworkGame]
    data: Callable[[], Any]
    latent: int


def _digits() -> NetworkGame:
    pair = nets.get("digits")
    return gan(pair.generator(DIGITS_LATENT), pair.discriminator(), latent=DIGITS_LATENT)


PROBLEMS: Mapping[str, Problem] = {
    "mixture": Problem(lambda: gan(*nets.mog16()), lambda: mixture.draw, mixture.LATENT),
    "digits": Problem(_digits, lambda: load_digits()[0], DIGITS_LATENT),
}
