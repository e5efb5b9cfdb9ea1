"""The command line of the step-size experiment."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from tyro.conf import UseAppendAction

from experiments.framework.options import Options
from experiments.framework.penalty_options import PenaltyOptions
from odegan import solvers
from odegan.solvers import stability
from odegan.utils.checks import argument_error, check_int, check_number, choose

APART = 1000  # the seeds of the minibatches of advice and trials, from those of the training


def fixed_solvers() -> list[str]:
    """The fixed-step solvers that have a stability function."""
    return [name for name in stability.names() if not solvers.get(name).adaptive]


@dataclass
class StepSize(PenaltyOptions, Options):
    """The rotational field; the mixture's training, and what is tried from its states."""

    damping: float = 1.0
    """a of the rotational field y' = (-a I + b J) y."""
    rotation: float = 20.0
    """b of the rotational field."""
    digits: float = 1e-6
    """Relative accuracy of the measured step on the rotational field."""
    penalty: UseAppendAction[tuple[str, ...]] = ()
    """NAME:WEIGHT[,KEY=VALUE...], of the mixture; may be repeated. none: no penalty. Left out: generator_gradient:0.07.
    After the step in training, in the field where steps are advised and tried."""
    seeds: int = 4
    """Number of runs of the mixture."""
    time: float = 160.0
    """Duration of each training, in units of t."""
    moments: int = 8
    """Number of times during training, besides the start, at which steps are advised."""
    steps: tuple[float, ...] = (0.1, 0.05, 0.2)
    """Step sizes of the training; the first, the authors', is the one from whose states solvers are tried."""
    tried_at: tuple[float, ...] = (20.0, 60.0, 160.0)
    """Times of these states: moments of the training."""
    batch_size: int = 512
    """Samples per minibatch, a multiple of 16."""
    solvers: tuple[str, ...] = ("euler", "extragradient", "heun2", "heun3", "rk4_classic")
    """Solvers to try: fixed-step ones with a stability function."""
    grid: tuple[float, float, int] = (0.035, 1.6, 12)
    """Smallest and largest step to try, and the number of steps, at equal ratios."""
    span: float = 4.0
    """Duration of each trial."""
    reference: float = 0.0125
    """Step of rk4_classic for the reference trajectories."""
    factor: float = 2.0
    """A trial went wrong when its largest field norm exceeds this multiple of the reference's."""
    k: int = 20
    """Number of eigenvalues of largest modulus on which the advice is based."""

    own_penalty: ClassVar[tuple[str, ...]] = ("generator_gradient:0.07",)

    def minibatch_seed(self, member: int) -> int:
        """Of advice and trials, away from those of the training."""
        return self.seed + APART + member

    def quick_form(self) -> StepSize:
        """One seed, a few steps, two solvers."""
        return replace(
            self,
            digits=1e-3,
            seeds=2,
            time=1.0,
            moments=1,
            steps=(0.1, 0.2),
            tried_at=(0.0, 1.0),
            batch_size=32,
            solvers=("euler", "rk4_classic"),
            grid=(0.1, 3.2, 3),
            span=1.0,
            reference=0.1,
            k=6,
        )

    def check(self) -> None:
        """Refuse what is no field that converges, no moment of the training, and no solver with a prediction."""
        for name in ("damping", "digits", "time", "span", "reference"):
            check_number(name, getattr(self, name), low=0.0, strict=True)
        check_number("rotation", self.rotation)
        check_number("factor", self.factor, low=1.0, strict=True)
        for name in ("seeds", "moments", "k"):
            check_int(name, getattr(self, name), low=1)
        if self.batch_size < 16 or self.batch_size % 16:
            argument_error("batch_size", self.batch_size, "a multiple of 16, one sample or more for every mode")
        for name in self.solvers:
            choose("solvers", name, fixed_solvers())
        for name, values in {"steps": self.steps, "tried_at": self.tried_at, "solvers": self.solvers}.items():
            if len(set(values)) < len(values):
                argument_error(name, values, "each of them once")
        for h in self.steps:
            check_number("steps", h, low=0.0, strict=True)
        known = self.time * torch.arange(self.moments + 1, dtype=torch.float64) / self.moments
        for t in self.tried_at:
            if not bool((known - t).abs().min() < 1e-9):
                argument_error(
                    "tried_at",
                    t,
                    f"moments of the training: 0 to {self.time:g} in steps of {self.time / self.moments:g}",
                )
        for made in self.chosen_penalties():
            if made.replay is not None or made.noise:
                argument_error(
                    "penalty", made, "one that the minibatch alone decides: advice is computed outside a run"
                )
        low, high, count = self.grid
        if not 0 < low < high or count < 2:
            argument_error("grid", self.grid, "smallest and largest step, and how many, at least 2")
