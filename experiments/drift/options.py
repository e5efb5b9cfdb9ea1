"""The command line of the drift experiment, and its settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, NamedTuple

from tyro.conf import UseAppendAction

from experiments.drift.modified import Drift
from experiments.framework.options import Options
from experiments.framework.penalty_options import PenaltyOptions
from odegan.utils.checks import argument_error, check_int, check_number, choose

FREE = ", no penalty"


class Kind(NamedTuple):
    """A setting: the solver, the drift added to the field, and how many equal steps make one of h, on one minibatch."""

    solver: str
    drift: Drift | None = None
    steps: int = 1


KINDS: Mapping[str, Kind] = {
    "euler": Kind("euler"),
    "rk4": Kind("rk4_classic"),
    "rk4 + drift": Kind("rk4_classic", Drift()),
    # Tells the drift from an instability of RK4 on it: where Euler's step is at its edge, h lambda = -2, that on the field
    # with the drift is -4, beyond RK4's region, and in half steps -2, within.
    "rk4 + drift, halves": Kind("rk4_classic", Drift(), steps=2),
    "rk4 + own drift": Kind("rk4_classic", Drift(interaction=False)),
    "rk4 + interaction": Kind("rk4_classic", Drift(own=False)),
    "euler - drift": Kind("euler", Drift(times=-1.0)),
}
SETTINGS = (*KINDS, *(name + FREE for name in KINDS))
EARLY = (2.0, 4.0, 8.0, 16.0, 32.0)  # times of reports before those at equal distances


@dataclass
class DriftOptions(PenaltyOptions, Options):
    """The mixture of 16 Gaussians, trained over equal times."""

    step_size: float = 0.2
    """Step size h of all settings, and of the added drift."""
    time: float = 600.0
    """Duration of each training, in units of t; a run resumed with a longer time continues."""
    every: float = 60.0
    """Time between reports, after some early ones."""
    settings: tuple[str, ...] = (*KINDS, "euler, no penalty", "rk4, no penalty", "rk4 + drift, no penalty")
    """Settings to train, with names in quotation marks; you may add more when resuming. Euler's method is always trained,
    because all others are compared with it."""
    penalty: UseAppendAction[tuple[str, ...]] = ()
    """NAME:WEIGHT[,KEY=VALUE...], after every step; may be repeated. Left out: generator_gradient:0.07, the authors'."""
    seeds: int = 8
    """Members of the ensemble, with seeds --seed, --seed + 1, and so on; each has its own start, data and latents."""
    batch_size: int = 256
    """Samples per minibatch, a multiple of 16."""
    samples: int = 5120
    """Samples per member for each score."""
    compile: bool = False
    """Compile a step with torch.compile: slow to start, then faster."""

    free: ClassVar[frozenset[str]] = Options.free | {"settings", "time"}
    own_penalty: ClassVar[tuple[str, ...]] = ("generator_gradient:0.07",)

    @property
    def times(self) -> list[float]:
        """The reported times."""
        regular = [self.every * k for k in range(int(self.time / self.every + 1e-9) + 1)]
        return sorted({*regular, *(t for t in EARLY if t < self.time), self.time})

    @property
    def wanted(self) -> list[str]:
        """The settings in the order of the table, with Euler's method where something is compared with it."""
        compared = {reference(name) for name in self.settings}
        return [name for name in SETTINGS if name in self.settings or name in compared]

    def quick_form(self) -> DriftOptions:
        """Two seeds, a few steps, small minibatches."""
        return replace(self, seeds=2, time=1.0, every=0.4, batch_size=32, samples=256)

    def check(self) -> None:
        """Refuse lengths and settings that there are not."""
        for name in ("step_size", "time", "every"):
            check_number(name, getattr(self, name), low=0.0, strict=True)
        for name in ("seeds", "samples"):
            check_int(name, getattr(self, name), low=1)
        for name in self.settings:
            choose("settings", name, SETTINGS)
        if self.batch_size < 16 or self.batch_size % 16:
            argument_error("batch_size", self.batch_size, "a multiple of 16, one sample or more for every mode")
        for made in self.chosen_penalties():
            if made.replay is not None or made.noise:
                argument_error("penalty", made, "one that the minibatch alone decides")


def reference(name: str) -> str:
    """The setting of Euler's method that another is compared with.

    >>> reference("rk4, no penalty")
    'euler, no penalty'
    """
    return "euler" + FREE * name.endswith(FREE)
