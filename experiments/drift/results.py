"""The result of training one setting of the drift experiment."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from odegan.metrics import MixtureScores


@dataclass(frozen=True)
class Trained:
    """One setting: times (T,), states (T, E, P), NaN where a member diverged, scores (T, E), and field evaluations."""

    times: torch.Tensor
    states: torch.Tensor
    scores: MixtureScores
    evaluations: int

    @property
    def diverged(self) -> torch.Tensor:
        """Whether each member became non-finite, (E,)."""
        return ~self.states[-1].isfinite().all(-1)

    def at(self, t: float) -> torch.Tensor:
        """The states at a reported time, (E, P)."""
        return self.states[int((self.times - t).abs().argmin())]
