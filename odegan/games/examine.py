"""Checks of two networks before a run: whether they fit each other and the data, and what couples the samples of a batch."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch.utils._pytree import tree_map_only

from odegan.games.batch import Batch, BatchLike
from odegan.games.examine_loss import divides, takes_logits
from odegan.games.game import Game
from odegan.games.labels import check_classes, check_labels, labels_of
from odegan.games.latents import LatentShape, draw_latents
from odegan.games.losses import Loss
from odegan.modules.backward import refuse_hooked
from odegan.modules.coupling import couples, couples_beyond_norms
from odegan.modules.pure_module import PureModule
from odegan.modules.running_statistics import uses_batch_statistics
from odegan.modules.validate import CannotTakeError, Trial, What, close, one_line_errors, tried
from odegan.utils import distributed
from odegan.utils.checks import ArgumentError, argument_error
from odegan.utils.warn import warn

PROBED = 8  # samples of a batch that are looked at when a game is made
SIZE = 8  # samples tried on the CPU first
# Largest relative difference between a member's field in an ensemble and alone: autocast, and batch norms of nearly equal
# samples, magnify rounding, but a wrong field is further off.
MAPPED = 5e-2


class Examined(NamedTuple):
    """The findings of ``examine`` for batches of one size.

    Attributes:
        critic_couples: whether a sample's logit depends on the other samples of its batch; None: unknown.
        couples: the same for its loss.
        beyond_norms: the same for its loss if batch norms share their statistics; unknown without a process group, as only
            processes share them.
        generator, discriminator: the results of their trial runs.
    """

    critic_couples: bool | None
    couples: bool | None
    beyond_norms: bool | None
    generator: Trial
    discriminator: Trial


def examine(
    generator: PureModule,
    discriminator: PureModule,
    loss: Loss,
    thetas: tuple[torch.Tensor, torch.Tensor],
    batch: Batch,
    conditional: bool,
) -> Examined:
    """Run both modules on one minibatch at (theta_d, theta_g), and refuse networks, data or a loss that do not fit."""
    real, latent = samples(batch)
    label, fake_label = labels(batch) if conditional else ((), ())
    theta_d, theta_g = thetas
    on_latents = _tried(generator, theta_g, latent, "latents", *fake_label)
    fake = on_latents.output
    if fake.shape[:1] != latent.shape[:1]:
        raise ArgumentError(
            f"generator: got {tuple(fake.shape)} from {tuple(latent.shape)}; its first dimension must be the batch's"
        )
    if fake.shape != real.shape:
        raise CannotTakeError(
            "samples",
            f"data: got samples of shape {tuple(real.shape[1:])}; they must have the generator's {tuple(fake.shape[1:])}"
            f"{_misfit(tuple(real.shape[1:]), tuple(fake.shape[1:]))}",
        )
    on_real = _tried(discriminator, theta_d, real, "samples", *label)
    refuse_hooked(generator, theta_g, latent, *fake_label)
    refuse_hooked(discriminator, theta_d, real, *label)
    critic_couples = couples(discriminator, on_real, theta_d, real, *label)
    couples_fake = couples(generator, on_latents, theta_g, latent, *fake_label)
    # A loss can couple samples although the networks do not, as a relativistic average does.
    loss_couples = not divides(loss, theta_d, len(real))
    whole = _any(critic_couples, couples_fake, loss_couples)
    beyond: bool | None = None if whole else whole
    if whole and distributed.initialized():  # of large networks it takes longer than all the rest
        of_critic = couples_beyond_norms(discriminator, on_real, critic_couples, theta_d, real, *label)
        of_fake = couples_beyond_norms(generator, on_latents, couples_fake, theta_g, latent, *fake_label)
        beyond = _any(of_critic, of_fake, loss_couples)
    return Examined(critic_couples, whole, beyond, on_latents, on_real)


def _misfit(real: tuple[int, ...], fake: tuple[int, ...]) -> str:
    """What to do about samples of another shape than the generator's, where that shows."""
    if len(real) == 3 and (real[2], *real[:2]) == fake:
        return "; channels come first: permute(0, 3, 1, 2)"
    return "; are the two networks swapped in gan(generator, discriminator)?" if math.prod(fake) == 1 else ""


def _any(*verdicts: bool | None) -> bool | None:
    return True if True in verdicts else None if None in verdicts else False


@torch.no_grad()
def evaluate(
    field: Callable[[torch.Tensor, Batch | None], torch.Tensor],
    y: torch.Tensor,
    batch: Batch | None,
    what: str = "networks",
) -> torch.Tensor:
    """The field at (y, batch), or at the first member if y is an ensemble's (E, P), of which two are mapped.

    Raises:
        ArgumentError: torch cannot evaluate or map the field, or its value for a member differs from that of the member alone.
    """
    if y.ndim == 1:
        with one_line_errors("game: its gradient cannot be computed"):
            return field(y, batch)
    # One member first: a fault of the field itself should not read as one of vmap.
    first, own = tree_map_only(torch.Tensor, lambda x: x[0], (y, batch))
    alone = evaluate(field, first, own)
    # Two suffice: vmap fails, if it does, for any number of members.
    ys, batches = tree_map_only(torch.Tensor, lambda x: x[:2], (y, batch))
    with one_line_errors(f"y0: got an ensemble, but the {what} cannot be mapped over its members"):
        mapped = torch.vmap(field, in_dims=(0, None if batch is None else 0))
        same = close(mapped(ys, batches)[0], alone, MAPPED)
        if not same:
            # Near an equilibrium terms cancel, and their rounding differs; a wrong field differs elsewhere too.
            moved = _perturbed(ys)
            same = close(mapped(moved, batches)[0], field(moved[0], own), MAPPED)
    if not same:
        raise ArgumentError(
            f"y0: got an ensemble, but under torch.vmap the {what} give a member a different field than on its own; they "
            "must compute with the tensors themselves, not with .data or numpy arrays"
        )
    return alone


def _perturbed(y: torch.Tensor) -> torch.Tensor:
    """A state some tenths of its size away, or of 1 if it is zero."""
    noise = torch.randn(y.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float32).to(y)
    size = y.square().mean().sqrt()
    return y + 0.3 * torch.where(size > 0, size, 1.0) * noise


def refuse_swapped(discriminator: PureModule, latent: LatentShape) -> None:
    """Called after the generator failed on latents: if the discriminator accepts them, say that the two were swapped."""
    try:
        _tried(discriminator, discriminator.values, draw_latents(latent, 2, 0, discriminator.values), "latents")
    except ArgumentError:
        return
    raise ArgumentError(
        "generator: got a module that does not take latents, and the discriminator does; it must be "
        "gan(generator, discriminator)"
    )


def warn_of_sigmoid(loss: Loss, like: torch.Tensor) -> bool:
    """Warn if the loss takes logits, of which a discriminator that ends in a sigmoid has none; return whether it does."""
    if given := takes_logits(loss, like):
        warn("discriminator: got a final sigmoid with a loss of logits, which has one of its own; leave it out")
    return given


def couplings(game: Game) -> tuple[bool | None, bool | None, bool | None]:
    """(couples_batch, critic_couples_batch, couples_beyond_norms) of a game."""
    return game.couples_batch, game.critic_couples_batch, game.couples_beyond_norms


def by_structure(discriminator: PureModule, generator: PureModule) -> tuple[bool | None, bool | None]:
    """(critic_couples_batch, couples_batch) as far as structure tells without a batch: True with batch norms, else unknown."""
    critic = uses_batch_statistics(discriminator.skeleton)
    return critic or None, critic or uses_batch_statistics(generator.skeleton) or None


def take_over_couplings(game: Game, other: Game) -> None:
    """Merge into ``game`` the couplings of the same game prepared on other batches: unknown or true in either one counts."""
    pairs = zip(couplings(game), couplings(other), strict=True)
    game.couples_batch, game.critic_couples_batch, game.couples_beyond_norms = (_any(*pair) for pair in pairs)


def samples(batch: BatchLike) -> tuple[torch.Tensor, torch.Tensor]:
    """The real samples and latents of a batch, refused unless there are equally many."""
    if batch is None:
        raise ArgumentError("data: got None; a game of networks needs data and latents")
    real, latent = batch
    if not (isinstance(real, torch.Tensor) and isinstance(latent, torch.Tensor)):
        argument_error("batch", f"({type(real).__name__}, {type(latent).__name__})", "a pair of tensors (real, latent)")
    if real.shape[:1] != latent.shape[:1]:
        raise ArgumentError(
            f"batch: got {len(real)} real samples and {len(latent)} latents; it must have as many of both"
        )
    return real, latent


def _tried(module: PureModule, theta: torch.Tensor, x: torch.Tensor, what: What, *label: torch.Tensor) -> Trial:
    """``tried``, on an accelerator after a few samples on the CPU: there, a label out of range would abort the process."""
    for one in label:
        if one.device.type != "cpu":
            few = one[:SIZE].cpu()
            # With the extreme labels among the few, so that one out of range shows up on the CPU.
            few[0] = one.max()
            few[-1] = one.min()
            tried(module, theta.cpu(), x[:SIZE].cpu(), what, few)
    return tried(module, theta, x, what, *label)


def labels(batch: Batch) -> tuple[tuple[torch.Tensor, ...], tuple[torch.Tensor, ...]]:
    """The labels of the real and of the generated samples, checked, as further inputs of D and of G."""
    check_labels(batch)
    label, fake_label = labels_of(batch)
    assert label is not None
    assert fake_label is not None
    # On an accelerator too: this is the check before a run.
    check_classes("batch.label", label)
    check_classes("batch.fake_label", fake_label)
    return (label,), (fake_label,)


def probe_batch(generator: PureModule, latent: LatentShape, n: int, label: torch.Tensor | None) -> Batch:
    """n latents, and as real samples the untrained generator's outputs plus unit noise, since data vary more than they do.

    Raises:
        CannotTakeError: the generator does not accept such latents or labels.
    """
    label = None if label is None else label.to(generator.values.device)
    drawn = draw_latents(latent, n, 0, generator.values)
    fake = tried(generator, generator.values, drawn, "latents", *(() if label is None else (label,))).output
    noise = torch.randn(fake.shape, generator=torch.Generator().manual_seed(1)).to(fake)
    return Batch(fake + noise, drawn, label)
