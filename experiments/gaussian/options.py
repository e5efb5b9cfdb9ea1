"""The command line of the isotropic Gaussian."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from experiments.framework.options import Options
from experiments.framework.penalty_options import PenaltyOptions
from odegan import games, vector_field
from odegan.utils.checks import check_int, check_number


@dataclass
class Gaussian(PenaltyOptions, Options):
    """The game, the weights, and the training on minibatches."""

    v: tuple[float, ...] = (0.0, 2.0)
    """The mean of the data."""
    sigma: float = 0.7
    """The standard deviation of the data."""
    per_decade: int = 2
    """Weights gamma per decade, from 0.01 to 1000."""
    fraction: float = 0.5
    """Step for the exact game as a fraction of the largest stable Euler step; at 1 nothing converges."""
    target: float = 1e-3
    """Converged: |y - y*| below this share of its start."""
    limit: int = 2000
    """Maximum steps of such a run; it is skipped if the linear prediction is longer."""
    gamma: float = 10.0
    """Weight of the training on minibatches."""
    train_steps: int = 5000
    """Plain steps of the training on minibatches."""
    step_size: float = 1e-3
    """Of the training on minibatches."""
    batch_size: int = 128
    """Of the training on minibatches."""
    seeds: int = 4
    """Runs of the training on minibatches."""
    full: bool = False
    """The paper's 15,000 steps."""

    def __post_init__(self) -> None:
        """Replace the defaults by those of the full form, if it is asked for."""
        super().__post_init__()
        self.train_steps = 15_000 if self.full else self.train_steps

    def quick_form(self) -> Gaussian:
        """Weights 0.01, 0.1, ..., few steps."""
        return replace(self, per_decade=1, limit=30, train_steps=20, seeds=2, full=False)

    def check(self) -> None:
        """Refuse what is not a Gaussian, a grid and steps."""
        game = games.gaussian(self.v, self.sigma)
        vector_field(game, self.chosen_penalties())(0.0, game.init())
        for name in ("fraction", "target", "step_size", "gamma"):
            check_number(name, getattr(self, name), low=0.0, strict=True)
        for name in ("per_decade", "limit", "train_steps", "batch_size", "seeds"):
            check_int(name, getattr(self, name), low=1)

    def equilibrium(self) -> torch.Tensor:
        """The equilibrium (0, v), in float64."""
        mean = torch.tensor(self.v, dtype=torch.float64, device=self.device)
        return torch.cat([torch.zeros_like(mean), mean])
