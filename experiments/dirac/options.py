"""The command line of the Dirac GAN."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from tyro.conf import UseAppendAction

from experiments.framework.options import Options
from experiments.framework.penalty_options import PenaltyOptions
from odegan import games, solvers, vector_field
from odegan.utils.checks import argument_error, check_int, check_number


@dataclass
class Dirac(PenaltyOptions, Options):
    """The gallery, and how its trajectories are integrated."""

    penalty: UseAppendAction[tuple[str, ...]] = ()
    """NAME:WEIGHT[,KEY=VALUE...], as jare:10; may be repeated. The gallery is then every loss with these, together. Left
    out: each penalty in turn."""
    points: tuple[float, ...] = (0.0, 1.0)
    """Positions c of the data, with a gallery for each."""
    weight: float = 1.0
    """Weight of every penalty in the gallery."""
    solver: str = "rk4"
    """A name of odegan.solvers.names(); Euler's method and alternating steps are run beside it."""
    step_size: float = 0.2
    """Step size h of the trajectories."""
    steps: int = 500
    """Length of the trajectories in steps."""
    lambdas: tuple[float, ...] = (0.0, 0.5, 2.0, 5.0)
    """Strengths of the feedback for the responses."""
    long_steps: int = 20_000
    """Number of steps of 0.01 for the undamped loop."""
    response_steps: int = 400
    """Steps of each response, over 20 units of time."""
    per_decade: int = 4
    """Weights per decade, from 0.01 to 100, at which eigenvalues are measured."""
    full: bool = False
    """Run the undamped loop for 200,000 steps, as published."""

    def __post_init__(self) -> None:
        """Replace the defaults by those of the full form, if it is asked for."""
        super().__post_init__()
        self.long_steps = 200_000 if self.full else self.long_steps

    def quick_form(self) -> Dirac:
        """Few steps, one gallery, two feedbacks."""
        return replace(
            self,
            points=self.points[-1:],
            steps=20,
            lambdas=(0.0, 2.0),
            long_steps=200,
            response_steps=20,
            per_decade=1,
            full=False,
        )

    def check(self) -> None:
        """Refuse what odeint_gan would refuse, before anything is written."""
        solvers.get(self.solver)
        check_number("step_size", self.step_size, low=0.0, strict=True)
        check_number("weight", self.weight, low=0.0)
        for name in ("steps", "long_steps", "response_steps", "per_decade"):
            check_int(name, getattr(self, name), low=1)
        for name in ("points", "lambdas"):
            values = getattr(self, name)
            if len(set(values)) < len(values):
                argument_error(name, values, "numbers, each once")
        for value in self.lambdas:
            check_number("lambdas", value, low=0.0)
        vector_field(games.dirac("minimax", 1.0), self.chosen_penalties())(0.0, torch.zeros(2, dtype=torch.float64))
