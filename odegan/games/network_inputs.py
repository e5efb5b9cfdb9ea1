"""Checks of the batch that a game of networks is given, and of the logits of its discriminator."""

from __future__ import annotations

import torch

from odegan.games.batch import Batch, as_batch
from odegan.games.labels import check_labels
from odegan.utils.checks import ArgumentError, argument_error


def read_batch(
    batch: Batch | tuple[torch.Tensor, torch.Tensor] | None, conditional: bool, classes: int | None = None
) -> Batch:
    """The batch, refused unless it has real samples, latents, and in a conditional game labels, of these classes if known."""
    if not isinstance(batch, Batch):
        batch = as_batch(batch)
    if batch is None or batch.latent is None or batch.real is None:
        got = "None" if batch is None else "a part that is None"
        raise ArgumentError(f"batch: got {got}; a game of networks needs (real, latent)")
    if conditional:
        check_labels(batch, classes)
    return batch


def flat_logits(logits: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """One logit per sample x (n, ...), as (n,). A network that ends in squeeze() returns () for a single sample."""
    n = x.shape[0]
    if not isinstance(logits, torch.Tensor):
        argument_error(
            "discriminator", f"a {type(logits).__name__} from its forward pass", "a module that returns one tensor"
        )
    if logits.numel() != n or (n > 1 and logits.shape[0] != n):
        argument_error("discriminator", tuple(logits.shape), f"a map from ({n}, ...) to ({n},) or ({n}, 1)")
    return logits.reshape(n)
