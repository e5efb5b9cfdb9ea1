"""The command line of the rotational field."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from experiments.framework.options import Options
from experiments.framework.penalty_options import PenaltyOptions
from experiments.framework.planar_fields import rotation_matrix
from odegan import games, vector_field
from odegan.utils.checks import check_int, check_number


@dataclass
class Rotational(PenaltyOptions, Options):
    """The rotational field, and how it is integrated."""

    damping: float = 1.0
    """a, the rate at which the flow converges."""
    rotation: float = 25.0
    """b of the plotted trajectories."""
    step_size: float = 0.01
    """Step size h."""
    time: float = 0.6
    """Duration of the trajectories."""
    steps: int = 50
    """Number of steps after which we decide whether a solver diverges."""
    digits: float = 1e-6
    """Relative accuracy of the measured thresholds."""

    def times(self, end: float, steps: int) -> torch.Tensor:
        """From 0 to the end, (steps + 1,) float64, on the device of the run."""
        return torch.linspace(0, end, steps + 1, dtype=torch.float64, device=self.device)

    def quick_form(self) -> Rotational:
        """Fewer steps, and thresholds to three digits."""
        return replace(self, steps=5, digits=1e-3)

    def check(self) -> None:
        """Refuse what is not a field that converges and a solver that moves."""
        for name in ("damping", "step_size", "time", "digits"):
            check_number(name, getattr(self, name), low=0.0, strict=True)
        check_number("rotation", self.rotation)
        check_int("steps", self.steps, low=1)
        for game in (games.quadratic(rotation_matrix(1.0, 1.0)), games.bilinear()):
            vector_field(game, self.chosen_penalties())(0.0, torch.zeros(2, dtype=torch.float64))
