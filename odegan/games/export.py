"""Modules out of a game: fresh ones with the parameters of a state."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from odegan.games.latents import placed
from odegan.modules.pure_module import PureModule
from odegan.modules.running_statistics import estimate_both, use_batch_statistics
from odegan.utils.checks import argument_error


def export(
    generator: PureModule,
    discriminator: PureModule,
    theta_g: torch.Tensor,
    theta_d: torch.Tensor,
    batches: Iterable[Any] | None,
) -> tuple[nn.Module, nn.Module]:
    """Fresh (generator, discriminator). Norms in eval mode keep their running statistics; those of norms in train mode are
    averages over the batches, an iterable of (real, latent), or stay those of the batch they see without any.
    """
    made_g = generator.module(theta_g)
    made_d = discriminator.module(theta_d)
    if batches is None:
        return use_batch_statistics(made_g), use_batch_statistics(made_d)
    listed = list(batches) if isinstance(batches, Iterable) else []
    pairs = [_pair(batch, theta_g) for batch in listed]
    if not pairs or None in pairs:
        argument_error("batches", batches, "None, or at least one (real, latent)")
    estimate_both(made_g, made_d, [pair for pair in pairs if pair is not None])
    return made_g, made_d


def _pair(batch: Any, like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor] | None:
    try:
        real, latent = batch
    except (TypeError, IndexError, KeyError):
        return None
    if not (isinstance(real, torch.Tensor) and isinstance(latent, torch.Tensor)):
        return None
    return real.to(like), placed(latent, like)
