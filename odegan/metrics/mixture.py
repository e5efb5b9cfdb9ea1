"""How well samples recover the modes of a known mixture of isotropic Gaussians."""

import math
from typing import NamedTuple

import torch
from einops import rearrange
from torch import Tensor

from odegan.utils.ambient import unaffected
from odegan.utils.checks import argument_error, check_number

_CHUNK = 1 << 16  # rows whose distances to all modes are computed at once


class MixtureScores(NamedTuple):
    """``modes_covered``, ``quality`` and ``histogram_kl``, of shape () for samples (n, d), or (E,) for an ensemble's (E, n, d).

    Examples:
        >>> modes = torch.tensor([[0.0, 0.0], [1.0, 0.0]])
        >>> mixture_scores(modes, modes, sigma=0.1).modes_covered
        tensor(2)
    """

    modes_covered: Tensor  # int64: number of modes with at least the given share of all samples
    quality: Tensor  # float64: share of all samples within the radius of their nearest mode
    histogram_kl: Tensor  # float64: KL(mode histogram || uniform) in nats, from 0 to log K


@unaffected
@torch.no_grad()
def mixture_scores(
    samples: Tensor, modes: Tensor, sigma: float, radius: float = 5.0, share: float = 0.01
) -> MixtureScores:
    """Modes covered, share of good samples, and divergence of the mode histogram from uniform.

    A sample is *good* if it lies within ``radius * sigma`` of its nearest mode, and then counts only for that mode. A mode is
    *covered* if the good samples that count for it make up at least the fraction ``share`` of all samples. With p_k the share
    of the good samples that count for mode k, the divergence is sum_k p_k log(K p_k) in nats: 0 if all modes have equally many,
    log K if one has all. Without any good sample it is set to that maximum. Samples that are not finite are not good. For the
    mixture itself, with d = 2, the share of good samples is 1 - exp(-radius^2 / 2).

    Args:
        samples: (n, d), or (E, n, d) for E members that are scored separately.
        modes: (K, d), the means of equally weighted modes.
        sigma: standard deviation of each mode.
        radius: in units of sigma.
        share: fraction of all samples that a mode needs to count as covered.

    Returns:
        MixtureScores of tensors of shape ``samples.shape[:-2]``, on the samples' device.

    Examples:
        >>> modes = torch.tensor([[-1.0, 0.0], [1.0, 0.0]])
        >>> samples = torch.tensor([[-1.0, 0.01], [-1.0, 0.0], [0.0, 0.0], [5.0, 5.0]])
        >>> covered, quality, kl = mixture_scores(samples, modes, sigma=0.02)
        >>> int(covered), float(quality), round(float(kl), 4)
        (1, 0.5, 0.6931)
    """
    if not isinstance(samples, Tensor) or samples.dim() not in (2, 3) or samples.shape[-2] == 0:
        argument_error("samples", samples, "of shape (n, d) or (E, n, d), with n > 0")
    if not isinstance(modes, Tensor) or modes.dim() != 2 or modes.shape[0] == 0 or modes.shape[1] != samples.shape[-1]:
        argument_error("modes", modes, f"of shape (K, {samples.shape[-1]}), with K > 0")
    limit = check_number("sigma", sigma, low=0, strict=True) * check_number("radius", radius, low=0, strict=True)
    if not 0 < check_number("share", share) <= 1:
        argument_error("share", share, "a number above 0 and up to 1")

    n = samples.shape[-2]
    k = len(modes)
    counts = _counts(samples if samples.dim() == 3 else samples[None], modes, limit)
    good = counts.sum(-1)
    p = counts / good.clamp(min=1)[:, None]
    kl = torch.where(good > 0, torch.xlogy(p, k * p).sum(-1), math.log(k))
    scores = ((counts / n >= share).sum(-1), good / n, kl)
    return MixtureScores(*(s.reshape(samples.shape[:-2]) for s in scores))


def _counts(samples: Tensor, modes: Tensor, limit: float) -> Tensor:
    """(E, n, d) -> (E, K) float64: how many samples have mode k as their nearest, within ``limit`` of it."""
    members, n, _ = samples.shape
    points = rearrange(samples, "member n d -> (member n) d")
    modes = modes.to(device=samples.device, dtype=torch.float64)
    counts = torch.zeros(members * len(modes), dtype=torch.int64, device=samples.device)
    for start in range(0, members * n, _CHUNK):
        rows = points[start : start + _CHUNK].double()
        distance, nearest = torch.cdist(rows, modes).min(1)
        member = torch.arange(start, start + len(rows), device=samples.device) // n
        cell = (member * len(modes) + nearest)[distance <= limit]
        # One flat histogram of (member, mode), since bincount has no batch dimension.
        counts += torch.bincount(cell, minlength=len(counts))
    return rearrange(counts, "(member mode) -> member mode", member=members).double()
