"""How many classes the networks of a class-conditional game know."""

from __future__ import annotations

import torch

from odegan.games.latents import LatentShape, draw_latents
from odegan.modules.classes import followed
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
