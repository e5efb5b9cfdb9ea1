"""Inception Score: how confident a classifier is for each sample, and how diverse its predictions are."""

import math

import torch
from torch import Tensor

from odegan.metrics.kid import Mean
from odegan.utils.ambient import unaffected
from odegan.utils.checks import argument_error, check_int


@unaffected
@torch.no_grad()
def inception_score(logits: Tensor, splits: int = 10) -> Mean:
    """exp(mean_x KL(p(y|x) || p(y))) with p(y) the mean of p(y|x): mean and standard deviation over splits of the samples.

    It ranges from 1, if all predictions are equal, to the number of classes. Computed in float64 from log-probabilities. The
    splits are consecutive and nearly equal in size; smaller splits lower the score.

    Args:
        logits: (n, classes) of generated samples; the score is nan if any is not finite.
        splits: number of splits, at most n.

    Source: Salimans et al. 2016, "Improved Techniques for Training GANs", section 4.

    Examples:
        >>> inception_score(100.0 * torch.eye(4), splits=1)
        Mean(value=4.0, std=0.0)
    """
    if not isinstance(logits, Tensor) or logits.dim() != 2 or len(logits) == 0:
        argument_error("logits", logits, "of shape (n, classes), with n > 0")
    if not 1 <= check_int("splits", splits) <= len(logits):
        argument_error("splits", splits, f"from 1 to {len(logits)}, the samples there are")
    values = torch.stack([_score(part) for part in logits.double().log_softmax(1).tensor_split(splits)])
    return Mean(float(values.mean()), float(values.std(correction=0)))


def _score(log_p: Tensor) -> Tensor:
    """(n, classes) log-probabilities -> exp of the mutual information."""
    p = log_p.exp()
    log_marginal = log_p.logsumexp(0) - math.log(len(log_p))
    divergence = torch.where(p == 0, 0.0, p * (log_p - log_marginal)).sum(1)  # 0 log 0 = 0
    return divergence.mean().exp()
