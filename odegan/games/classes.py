"""How many classes the networks of a class-conditional game know."""

from __future__ import annotations

import math

import torch

from odegan.games.batch import Batch
from odegan.games.game import Game
from odegan.games.labels import labels_of
from odegan.games.latents import LatentShape, draw_latents
from odegan.modules.classes import followed, largest_number_taken
from odegan.modules.pure_module import PureModule

TRIED = 8  # samples of the forward passes


def known_classes(generator: PureModule, discriminator: PureModule, latent: LatentShape) -> int | None:
    """The number of classes that both networks look up in embeddings; None if neither does, as with one-hot labels.

    The discriminator gets the generator's samples. Where latents or samples are not known yet, other numbers take their place,
    with which a forward pass gets as far as its shapes allow.
    """
    drawn = torch.zeros(TRIED, 1) if latent is None else draw_latents(latent, TRIED, 0, generator.values)
    of_generator, fake = followed(generator, generator.values, drawn)
    # What is no tensor is refused elsewhere.
    given = fake if isinstance(fake, torch.Tensor) and fake.ndim else drawn
    of_discriminator, _ = followed(discriminator, discriminator.values, given)
    return min((one for one in (of_generator, of_discriminator) if one is not None), default=None)


def classes_for(game: Game, y: torch.Tensor, batch: Batch) -> int | None:
    """The number of classes that a game of networks takes: the one it knows, or else one found by trial at y (P,) on a batch.

    None if it takes any number, or if that cannot be tried.
    """
    known = getattr(game, "classes", None)
    generator, discriminator = (getattr(game, role, None) for role in ("generator", "discriminator"))
    if known is not None or not (isinstance(generator, PureModule) and isinstance(discriminator, PureModule)):
        return known
    theta_d, theta_g = game.split(y)
    label, fake_label = labels_of(batch)
    assert label is not None
    assert fake_label is not None
    tried = [
        largest_number_taken(module, theta, x, own)
        for module, theta, x, own in (
            (generator, theta_g, batch.latent, fake_label),
            (discriminator, theta_d, batch.real, label),
        )
    ]
    fewest = min((one for one in tried if one is not None), default=math.inf)
    return None if fewest == math.inf else int(fewest)
