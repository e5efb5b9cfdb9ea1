"""The command line of the mixture of 16 Gaussians."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, ClassVar, Literal, NamedTuple

from tyro.conf import UseAppendAction

from experiments.framework.options import Options
from experiments.framework.penalty_options import NONE
from experiments.framework.solver_defaults import ByFamily, by_family
from experiments.framework.solver_options import SolverOptions, evaluations_per_step
from odegan import losses, solvers
from odegan.utils.checks import argument_error, check_int, check_number, choose

FULL_STEPS = 30_000  # the authors'
FULL_EVALUATIONS = 4 * FULL_STEPS  # of their solver, RK4
PENALIZED = "generator_gradient"
PENALTY = f"{PENALIZED}:0.07"  # the authors'
FREE = {"penalty": (NONE,)}
# Baselines whose steps are normalized: their penalty is in the gradient that they normalize.
ADAM = {"solver": "adam", "step_size": 1e-3, "option": ("betas=0.5,0.999",), "placement": "field"}
RMSPROP = {"solver": "rmsprop", "step_size": 1e-3, "placement": "field"}

# What each setting of the comparison changes in the options of the command line.
SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "rk4_classic": {},
    "euler": {"solver": "euler"},
    "heun2": {"solver": "heun2"},
    # As many evaluations a unit of time as Euler's method takes at h = 0.1.
    "rk4_classic h=0.4": {"step_size": 0.4},
    "heun2 h=0.2": {"solver": "heun2", "step_size": 0.2},
    "adam": ADAM | FREE,
    "alternating": {"solver": "alternating"},
    "no penalty": FREE,
    "euler, no penalty": {"solver": "euler"} | FREE,
    "heun2, no penalty": {"solver": "heun2"} | FREE,
    "alternating, no penalty": {"solver": "alternating"} | FREE,
    "adam, penalty": ADAM | {"penalty": (PENALTY,)},
    "rmsprop": RMSPROP | FREE,
    "rmsprop, penalty": RMSPROP | {"penalty": (PENALTY,)},
    "optimistic": {"solver": "optimistic"},
    "extragradient": {"solver": "extragradient"},
    "dopri5": {"solver": "dopri5"},
    "players frozen": {"players": "frozen"},
    "placement field": {"placement": "field"},
    "placement first_stage": {"placement": "first_stage"},
    "rk4": {"solver": "rk4"},
    "refresh stage": {"refresh": "stage"},
    "refresh never": {"refresh": "never"},
}


class Place(NamedTuple):
    """Where a run of the map lies: a setting's name, the step size, and the penalty's weight, 0 without one."""

    setting: str
    step_size: float
    weight: float

    def __str__(self) -> str:
        return f"{self.setting}, h = {self.step_size}, weight {self.weight}"


@dataclass
class Mog16(SolverOptions, Options):
    """The mixture of 16 Gaussians, the networks and the length of training."""

    penalty: UseAppendAction[tuple[str, ...]] = ()
    """NAME:WEIGHT[,KEY=VALUE...]; may be repeated. none: no penalty. Left out: the authors' generator_gradient:0.07."""
    seeds: int = 8
    """Members of the ensemble, with seeds --seed, --seed + 1, and so on; each has its own start, data and latents."""
    evaluations: int = 24_000
    """Field evaluations of each member: 6,000 steps of rk4_classic, some minutes on one CPU core with 8 seeds."""
    full: bool = False
    """The authors' 30,000 steps of the chosen solver (120,000 field evaluations of rk4_classic) in place of --evaluations;
    with --compare see --equal."""
    equal: Literal["time", "evaluations"] = "time"
    """What is the same for all settings of --full --compare: the time, with 30,000 steps each, or the 120,000 field evaluations
    of the authors' solver."""
    batch_size: int = 512
    """Samples per minibatch, a multiple of 16, so that every mode has equally many."""
    loss: str = "non_saturating"
    """A name of odegan.losses.names()."""
    reports: int = 20
    """Number of times at which the ensemble is scored, evenly spaced."""
    samples: int = 5120
    """Samples per member for each score."""
    compare: bool = False
    """Train a table of settings, each with the same number of field evaluations, and compare them."""
    settings: tuple[str, ...] = tuple(SETTINGS)
    """Settings to compare, with names in quotation marks; you may add more when resuming."""
    step_sizes: tuple[float, ...] = ()
    """With --compare, --settings and --weights, train each setting with each of these step sizes; the settings must not have a
    step size or a penalty of their own. By default each has its own."""
    weights: tuple[float, ...] = ()
    """With --compare, --settings and --step-sizes, train each setting with each of these weights of the authors' penalty; 0: no
    penalty. By default each has its own."""
    compile: bool = False
    """Compile a step with torch.compile: slow to start, then faster."""

    free: ClassVar[frozenset[str]] = Options.free | {"settings", "step_sizes", "weights"}
    defaults: ClassVar[ByFamily] = by_family(0.1, (PENALTY,), euler=0.1, adam=1e-3, rmsprop=1e-3)

    def length(self) -> int:
        """Field evaluations of each member.

        >>> Mog16(full=True).length(), Mog16(full=True, compare=True, equal="evaluations", solver="euler").length()
        (120000, 120000)
        """
        if not self.full:
            return self.evaluations
        return FULL_EVALUATIONS if self.equal == "evaluations" else FULL_STEPS * evaluations_per_step(self.keywords())

    def used(self) -> dict[str, Any]:
        """Every option; with --full --compare at equal time each setting has its own number of evaluations."""
        at_equal_time = self.full and self.equal == "time"
        steps = {"steps": FULL_STEPS} if at_equal_time else {}
        return super().used() | {"evaluations": None if at_equal_time and self.compare else self.length()} | steps

    def name(self, experiment: str) -> str:
        """A map has a folder and a page of its own, mog16_map, and so has a comparison with --full, mog16_time or
        mog16_evaluations; a map with --full has both endings."""
        if not self.compare:
            return experiment
        return "_".join([experiment, *["map"] * bool(self.places()), *[self.equal] * self.full])

    def places(self) -> list[Place]:
        """The runs of the map; none without --step-sizes and --weights."""
        each = product(self.settings, self.step_sizes, self.weights)
        return [Place(*place) for place in dict.fromkeys(each)]

    def compared(self) -> dict[str, Mog16]:
        """The options of each run of the comparison, by title."""
        if not self.places():
            return {name: replace(self, **SETTINGS[name]) for name in self.settings}
        found = {}
        for place in self.places():
            penalty = f"{PENALIZED}:{place.weight}" if place.weight else NONE
            changes = {"step_size": place.step_size, "penalty": (penalty,)}
            found[str(place)] = replace(self, **{**SETTINGS[place.setting], **changes})
        return found

    def quick_form(self) -> Mog16:
        """Two seeds, a few steps, small minibatches."""
        return replace(self, seeds=2, evaluations=64, full=False, batch_size=32, reports=4, samples=256)

    def check(self) -> None:
        """Refuse wrong options and lengths."""
        super().check()
        losses.get(self.loss)
        facts = solvers.get(self.solver)
        if facts.adaptive and not facts.one_step:
            argument_error(
                "solver",
                self.solver,
                "one that a budget of field evaluations can end; this one calls back only at its end",
            )
        if self.equal != "time" and not (self.full and self.compare):
            argument_error("equal", self.equal, "left out without --full --compare")
        for name in ("seeds", "evaluations", "reports", "samples"):
            check_int(name, getattr(self, name), low=1)
        # The setting that changes nothing is named after this solver.
        if self.compare and self.solver != "rk4_classic":
            argument_error("solver", self.solver, "left out with --compare: --settings decides it")
        for name in self.settings:
            choose("settings", name, SETTINGS)
        self._check_map()
        if self.batch_size < 16 or self.batch_size % 16:
            argument_error("batch_size", self.batch_size, "a multiple of 16, one sample or more for every mode")

    def _check_map(self) -> None:
        """Refuse maps that lack an axis, or whose settings have a step size or a penalty of their own."""
        if bool(self.step_sizes) != bool(self.weights):
            missing = "weights" if self.step_sizes else "step_sizes"
            argument_error(missing, "none", "at least one, as --step-sizes and --weights belong together")
        if not self.step_sizes:
            return
        if not self.compare:
            argument_error("step_sizes", self.step_sizes, "left out without --compare")
        for h in self.step_sizes:
            check_number("step_sizes", h, low=0.0, strict=True)
        for weight in self.weights:
            check_number("weights", weight, low=0.0)
        for name, default in {"penalty": (PENALTY,), "step_size": 0.1}.items():
            if getattr(self, name) != default:
                allowed = "left out with --step-sizes: --step-sizes and --weights decide it"
                argument_error(name, getattr(self, name), allowed)
        for name in self.settings:
            changes = SETTINGS[name]
            if {"step_size", "penalty"} & changes.keys():
                allowed = "one without a step size or a penalty of its own, which --step-sizes and --weights set"
                argument_error("settings", name, allowed)
            if solvers.get(changes.get("solver", self.solver)).adaptive:
                argument_error("settings", name, "one of a fixed-step solver, with --step-sizes")
        for one in self.compared().values():
            SolverOptions.check(one)
