"""The command line of the digits experiment."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

from experiments.framework.solver_defaults import ByFamily
from experiments.framework.solver_options import SolverOptions, evaluations_per_step
from experiments.images.options import Cached
from experiments.images.preset import Preset, changed
from experiments.images.presets import get
from experiments.images.solvers import DIGITS
from odegan import losses
from odegan.utils.checks import check_int

COUNTS = ("evaluations", "batch_size", "latent", "average", "reports", "save_every", "threads")


@dataclass(kw_only=True)
class Digits(SolverOptions, Cached):
    """The digits, the networks and the length of training."""

    solver: str = "heun2"
    """A name of odegan.solvers.names(): euler, heun2, rk4, dopri5, adam, and so on."""
    evaluations: int = 6000
    """Field evaluations: 3,000 steps of heun2, about two minutes on one CPU core; more than this did not lower FID."""
    batch_size: int = 64
    """Digits per minibatch."""
    latent: int = 16
    """Width of the generator's input."""
    loss: str = "non_saturating"
    """A name of odegan.losses.names()."""
    average: int = 1000
    """Field evaluations over which the scored generator is averaged."""
    reports: int = 9
    """Number of times at which the averaged generator is scored."""
    save_every: int = 100
    """Steps between checkpoints."""
    threads: int = 1
    """CPU threads; networks this small gain little from a second one."""

    defaults: ClassVar[ByFamily] = DIGITS

    def quick_form(self) -> Digits:
        """A few steps on small minibatches."""
        return replace(self, evaluations=80, batch_size=16, average=10, reports=3, save_every=5)

    def check(self) -> None:
        """Refuse numbers and names that no run can have."""
        for name in COUNTS:
            check_int(name, getattr(self, name), low=1)
        super().check()
        self.preset()
        losses.get(self.loss)

    def preset(self) -> Preset:
        """The preset of the digits with these options, as long as its field evaluations pay for.

        An adaptive solver gets the time that one accepted step between fresh minibatches would take.
        """
        each = evaluations_per_step(self.keywords())
        steps = max(1, self.evaluations // each)
        shared = ("solver", "option", "penalty", "placement", "refresh", "players", "rates", "clip", "rtol", "atol")
        own = ("batch_size", "latent", "loss")
        return changed(
            get("digits"),
            {name: getattr(self, name) for name in (*shared, *own)}
            | {
                "step_size": (self.h,),
                "steps": steps,
                "every": math.ceil(steps / self.reports),
                "averages": ("exponential",),
                "decay": max(0.0, 1 - each / self.average),
            },
        )
