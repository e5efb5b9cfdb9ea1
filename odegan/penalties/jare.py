"""JARE: penalize each player by the norm of the opponent's gradient."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from einops import rearrange
from torch.utils._pytree import tree_map

from odegan.field.penalty_terms import BatchMeanTerm, Statistic, Term
from odegan.games.batch import Batch
from odegan.games.game import Game
from odegan.penalties.base import Penalty, Weight, checked_weight
from odegan.penalties.reg import half_norms
from odegan.utils.checks import ArgumentError, argument_error, check_bool, check_int
from odegan.utils.keywords import keywords

Gradient = Callable[[torch.Tensor, torch.Tensor, Batch], torch.Tensor]


@keywords()
def jare(weight: Weight, chunks: int | None = None, unbiased: bool = False) -> Penalty:
    """Penalize G by (weight/2) ||g_D||^2 and D by (weight/2) ||g_G||^2, where g_p = d loss_p / d theta_p.

    Args:
        weight: a number, a tensor (differentiable) or a function of time; the paper's gamma.
        chunks: None: g_p is the gradient of the whole minibatch. K >= 2: g_1, ..., g_K are the gradients of K equal chunks, and
            ||g||^2 is estimated by ||mean_k g_k||^2.
        unbiased: with chunks, estimate ||g||^2 by (||sum_k g_k||^2 - sum_k ||g_k||^2) / (K (K - 1)) instead. Its expectation
            over independent chunks is the squared norm of the expected gradient, without the bias trace(Cov) / B; it may be
            negative.

    Raises:
        ArgumentError: the chunks do not divide the batch; or a layer couples the batch (BatchNorm), so that the chunks'
            gradients do not average to that of the batch.

    Source: JARE (Nie and Patel 2019, "Towards a Better Understanding and Regularization of GAN Training Dynamics"); the biased
    estimate is the public code's, the unbiased one the U-statistic of the same gradients.

    Examples:
        >>> from odegan.games import bilinear
        >>> disc, gen = jare(0.5)(bilinear())
        >>> disc(torch.tensor([3.0]), torch.tensor([2.0]), None, 0.0), gen(torch.tensor([3.0]), torch.tensor([2.0]), None, 0.0)
        (tensor(2.2500), tensor(1.))
    """
    check_bool("unbiased", unbiased)
    if chunks is not None:
        check_int("chunks", chunks, low=2)
    elif unbiased:
        argument_error("chunks", None, "a whole number >= 2 for the unbiased estimate")

    def terms(game: Game) -> tuple[Term, Term]:
        # None, which means unknown, passes here: a run's first batch decides it before the penalty is evaluated.
        if chunks is not None and game.couples_batch:
            _refuse_coupled(game)

        if chunks is None:
            # Gradient terms: the field has both gradients already. Chunks need gradients of their own, see below.
            return half_norms(game, ("gen",)), half_norms(game, ("disc",))

        def half_norm(gradient: Gradient) -> Term:
            def of_part(parts: int) -> Statistic:
                return lambda d, g, batch, t: _chunk_means(game, gradient, d, g, batch, chunks, parts)

            return BatchMeanTerm(
                lambda means, t: _estimate(means[0], means[1], chunks, unbiased) / 2,
                statistic=of_part(1),
                of_part=of_part,
            )

        grad_d = partial(game.player_gradient, "disc")
        grad_g = partial(game.player_gradient, "gen")
        return half_norm(grad_g), half_norm(grad_d)

    return Penalty("jare", checked_weight(weight), terms, {"chunks": chunks, "unbiased": unbiased})


def _estimate(mean: torch.Tensor, square: torch.Tensor, k: int, unbiased: bool) -> torch.Tensor:
    """||g||^2 from the means over K chunks of g_k and of ||g_k||^2."""
    # ||sum g||^2 - sum ||g||^2 over K (K - 1), written with means so that parts of a batch can be averaged.
    squared = (mean**2).sum()
    return (k * squared - square) / (k - 1) if unbiased else squared


def _chunk_means(
    game: Game,
    gradient: Gradient,
    theta_d: torch.Tensor,
    theta_g: torch.Tensor,
    batch: Batch | None,
    chunks: int,
    parts: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The means of g_k (n,) and of ||g_k||^2 over the chunks of a batch, or of one of its ``parts`` equal parts.

    One vmap computes all chunks' gradients.
    """
    if game.couples_batch is not False:
        _refuse_coupled(game)
    if batch is None:
        raise ArgumentError("chunks: got a batch of None; there is nothing to divide")
    if chunks % parts:
        argument_error(
            "chunks", chunks, f"a multiple of the {parts} parts (ranks, micro-batches) that a batch is divided into"
        )
    own = chunks // parts

    def divided(x: torch.Tensor) -> torch.Tensor:
        if x.shape[0] % own:
            argument_error("chunks", chunks, f"a divisor of the batch size {x.shape[0] * parts}")
        return rearrange(x, "(chunk sample) ... -> chunk sample ...", chunk=own)

    # Buffers have no sample dimension, and JARE reads no replay: neither can be divided.
    samples = tree_map(divided, replace(batch, replay=None, buffers=None))
    gradients = torch.vmap(lambda chunk: gradient(theta_d, theta_g, replace(chunk, buffers=batch.buffers)))(samples)
    # The two means that ``_estimate`` needs, instead of the K gradients, which need K times the memory between the parts.
    return gradients.mean(0), (gradients**2).sum() / own


def _refuse_coupled(game: Game) -> None:
    if game.couples_batch:
        raise ArgumentError(
            f"chunks: got a number with the game {game.name!r}, in which a layer couples the batch (BatchNorm?); a chunk is "
            "then not a part of the whole: use chunks=None"
        )
    raise ArgumentError(
        f"chunks: it is not known whether a layer of the game {game.name!r} couples the batch; call game.check(y, batch) once, "
        "or give gan(..., latent=...)"
    )
