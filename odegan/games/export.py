"""Export a state of a game as two new modules."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import torch
from torch import nn

from odegan.games.batch import BatchLike, as_batch
from odegan.games.examine import labels
from odegan.games.latents import placed
from odegan.games.network_inputs import read_batch
from odegan.modules.pure_module import PureModule
from odegan.modules.running_statistics import Inputs, estimate_both, keep_unused, use_batch_statistics
from odegan.modules.validate import one_line_errors
from odegan.utils.checks import argument_error


def export(
    generator: PureModule,
    discriminator: PureModule,
    theta_g: torch.Tensor,
    theta_d: torch.Tensor,
    batches: Iterable[BatchLike] | None,
    conditional: bool,
) -> tuple[nn.Module, nn.Module]:
    """New modules (generator, discriminator) with these parameters.

    Norms in eval mode keep their running statistics. Norms in train mode get averages over ``batches``, an iterable of (real,
    latent) or of ``Batch`` with labels; without batches they go on using the statistics of each batch they see.
    """
    made_g = generator.module(theta_g)
    made_d = discriminator.module(theta_d)
    if batches is None:
        # The hooks come first: they note the buffers that the second function removes.
        return use_batch_statistics(keep_unused(made_g)), use_batch_statistics(keep_unused(made_d))
    listed = list(batches) if isinstance(batches, Iterable) else []
    inputs = [_inputs(batch, theta_g, conditional) for batch in listed]
    if not inputs or None in inputs:
        argument_error("batches", batches, "None, or a list of at least one minibatch (real, latent)")
    with one_line_errors("batches: got minibatches that the networks cannot take"):
        estimate_both(made_g, made_d, [pair for pair in inputs if pair is not None])
    return made_g, made_d


def _inputs(batch: object, like: torch.Tensor, conditional: bool) -> tuple[Inputs, Inputs] | None:
    """The inputs of the discriminator for real samples and of the generator, on the device of ``like``; None if not a batch."""
    try:
        real, latent = cast(Iterable[object], batch)
    except (TypeError, ValueError, IndexError, KeyError):
        return None
    if not (isinstance(real, torch.Tensor) and isinstance(latent, torch.Tensor)):
        return None
    # A row (2,) of a single tensor unpacks into two as well.
    if real.ndim == 0:
        return None
    own, of_fakes = labels(read_batch(as_batch(batch), True)) if conditional else ((), ())
    on_device = [tuple(label.to(like.device) for label in part) for part in (own, of_fakes)]
    return (real.to(like), *on_device[0]), (placed(latent, like), *on_device[1])
