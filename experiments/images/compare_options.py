"""The options of comparisons on the command line of ``experiments.images``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

from experiments.framework.penalty_options import NONE
from experiments.images import presets
from experiments.images.options import QUICK, Cached, Machine, Overrides
from experiments.images.preset import Preset
from experiments.images.settings import Cost, evaluations, variants
from experiments.images.solvers import OPTIMIZERS
from odegan.training.arguments import parse
from odegan.training.combinations import check_combination
from odegan.utils.checks import argument_error, check_int, check_number

# What decides an option of the settings of a comparison in its stead.
DECIDES = {"option": "--solvers", "penalty": "--penalties and --solvers", "placement": "--solvers"}


@dataclass(kw_only=True)
class Compare(Overrides, Machine, Cached):
    """Train one preset with several solvers, step sizes and penalties at equal field evaluations, and compare the scores."""

    solvers: tuple[str, ...] = ("euler", "heun2", "rk4_classic", "alternating", "adam")
    """Fixed-step solvers, NAME or NAME@STEP_SIZE. Unless the next two options are given, Adam and RMSProp get a learning rate
    and no penalty, Euler's method shorter steps, and the others the preset's settings."""
    step_sizes: tuple[float, ...] = ()
    """Try each of these with each solver; with Adam and RMSProp the same multiples of their learning rate. Left out: one step
    size, as suits the solver."""
    penalties: tuple[str, ...] = ()
    """Try each of these with each solver: NAME:WEIGHT, or none. By default a penalty that suits the solver."""
    seeds: int = 3
    """Number of runs of each setting, with seeds --seed, --seed + 1, and so on."""
    evaluations: int | None = None
    """Field evaluations of each run; by default those of the preset."""
    reports: int = 10
    """Number of scores of each run."""
    times: tuple[float, ...] = ()
    """Times at which scores are also compared, except those of optimizers; by default the end of the shortest run."""
    trained_below: float | None = None
    """FID at the end below which a run counts as trained; by default a tenth of the untrained generator's."""
    grid: int = 64
    """Number of images in each sample grid."""

    free: ClassVar[frozenset[str]] = Cached.free | {
        *("workers", "threads", "micro_batch", "checkpointing", "data", "device"),
    }

    def name(self, experiment: str) -> str:
        """The name of the output folder: one for each preset, kind of comparison, penalty if all settings have the same, and
        number of evaluations if it is not the preset's."""
        kind = "steps" if self.step_sizes else "compared"
        same = [penalty.partition(":")[0] for penalty in self.penalties] if len(self.penalties) == 1 else []
        # A quick run has a folder of its own.
        other = (
            [str(self.length())] if self.length() != evaluations(presets.get(self.preset)) and not self.quick else []
        )
        return "_".join([experiment, self.preset, kind, *same, *other])

    def length(self) -> int:
        """Field evaluations of each run."""
        return self.evaluations or evaluations(self.resolved())

    def used(self) -> dict[str, Any]:
        """Every option, with what the preset says for those that were left out."""
        return super().used() | {"evaluations": self.length(), "times": self.compared_at()}

    def compared_at(self) -> tuple[float, ...]:
        """Times at which scores are compared: by default the end of the shortest run; an optimizer's steps are no times."""
        ends = [one.time(one.steps) for one in self.variants().values() if one.solver not in OPTIMIZERS]
        # ``ends`` is empty where all solvers are optimizers.
        return self.times or tuple(ends and [min(ends)])

    def quick_form(self) -> Compare:
        """The same run with a few steps only."""
        quick = {name: v for name, v in QUICK.items() if getattr(self, name) is None and name not in ("steps", "every")}
        evaluations = self.evaluations or (16 if self.steps is None else None)
        return replace(self, **quick, evaluations=evaluations, reports=2, seeds=min(self.seeds, 2))

    def check(self) -> None:
        """Refuse what the runs would refuse."""
        for name in ("seeds", "reports", "grid"):
            check_int(name, getattr(self, name), low=1)
        if self.evaluations is not None:
            check_int("evaluations", self.evaluations, low=1)
        for t in self.times:
            check_number("times", t, low=0.0, strict=True)
        self._check_given()
        for preset in self.variants().values():
            check_combination(parse(**preset.keywords()), has_data=True, members=None)

    def _check_given(self) -> None:
        """Refuse options that no setting would have, because others decide what they say."""
        if self.steps is not None and self.evaluations is not None:
            argument_error("steps", self.steps, "left out with --evaluations, which sets the length of each run")
        if self.every is not None:
            argument_error("every", self.every, "left out: --reports sets how often runs are scored")
        if self.averages is not None and len(self.averages) > 1:
            argument_error("averages", self.averages, "one of them: comparisons score one average")
        for name in ("option", "penalty", "placement"):
            given = getattr(self, name)
            if (
                given
                and given != (NONE,)
                and all(getattr(preset, name) != given for preset in self.variants().values())
            ):
                argument_error(name, given, f"left out: none of these settings has it; see {DECIDES[name]}")

    def variants(self) -> dict[str, Preset]:
        """The presets to train, by name."""
        cost = Cost(self.evaluations, self.reports)
        return variants(self.resolved(), self.solvers, self.step_sizes, self.penalties, cost)
