"""Results of training on a ring: one method, or a pair of runs."""

from __future__ import annotations

from typing import NamedTuple

import torch

from experiments.framework.mixture import EnsembleRun
from experiments.ring8.rings import Ring
from odegan import Game


class MethodRun(NamedTuple):
    """One method in one ring, trained.

    name: of the ring on the command line; method: with @WEIGHT if a weight was given; weight: None without a penalty or
    with several; resolved: (R, E) modes resolved.
    """

    name: str
    ring: Ring
    method: str
    weight: float | None
    game: Game
    trained: EnsembleRun
    resolved: torch.Tensor


class Pair(NamedTuple):
    """The two runs at one batch size; bias: (R, E, 2) trace(Cov) / (B ||g||^2) of D and of G along the biased ones."""

    batch_size: int
    biased: EnsembleRun
    unbiased: EnsembleRun
    bias: torch.Tensor
