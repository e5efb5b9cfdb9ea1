"""What one image experiment is: data, networks, loss, integration, averages, scores and length."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from experiments.framework.solver_options import SolverOptions
from odegan import nets
from odegan.field import schedules
from odegan.utils.checks import argument_error, check_int, check_number, choose

AVERAGES = ("exponential", "uniform")
RAW = "raw"  # the parameters themselves


class AsTheyAre(SolverOptions):
    """Options of which none is left out: a preset says them all."""

    def __post_init__(self) -> None:
        """Leave every option as it was given."""


@dataclass(frozen=True, kw_only=True)
class Preset:
    """One experiment: data, networks, loss, how the field is integrated, what is averaged and measured, how long."""

    data: str = "cifar10"
    """cifar10, celeba, imagenet, digits, fashion_mnist, mnist, kmnist, emnist_letters, emnist_mnist, or a path."""
    flip: bool = False
    """Mirror images at random."""
    crop: str = "center"
    """center: the largest square; none: images must be square; or pixels of a square in the middle."""
    dequantize: bool = False
    """Add uniform noise below one gray level."""
    networks: str
    """A name of odegan.nets.names()."""
    latent: int = 128
    """Width of N(0, I)."""
    loss: str = "non_saturating"
    solver: str
    step_size: tuple[float, ...]
    """One, or several in turn."""
    change: tuple[int, ...] = ()
    """Steps after which the next step size holds."""
    option: tuple[str, ...] = ()
    """The solver's own options, NAME=VALUE."""
    penalty: tuple[str, ...] = ()
    """NAME:WEIGHT[,KEY=VALUE...]."""
    placement: str = "field"
    refresh: str = "step"
    players: str = "joint"
    rates: tuple[float, float] = (1.0, 1.0)
    clip: float | None = None
    rtol: float = 1e-4
    atol: float = 1e-6
    batch_size: int = 64
    steps: int
    """Refresh intervals: steps, unless the refresh is a time of its own."""
    averages: tuple[str, ...] = ()
    """exponential, uniform: averages of the parameters. The first one is what is scored; none: the parameters themselves."""
    decay: float = 0.999
    """Decay of the exponential average per step."""
    uniform_from: int = 0
    """Steps before the uniform average begins."""
    metrics: tuple[str, ...] = ("fid",)
    """fid, kid, inception_score, precision, recall; coverage on the digits; recognition of class-conditional samples; none."""
    extractor: str = "inception"
    """What sees features for the metrics: inception, or classifier, a small one that is trained on the data's classes."""
    reference: str = "train"
    """Split of the real images that scores compare with."""
    samples: int = 10_000
    """Number of generated images for a score."""
    every: int
    """Steps between scores and sample grids."""
    batch_statistics: bool = False
    """Sample with the statistics of the batch, not with those estimated over many."""
    remarks: str = ""

    @property
    def own_networks(self) -> bool:
        """Whether the networks are a pair of the user's own, MODULE:PAIR."""
        return ":" in self.networks

    @property
    def size(self) -> int:
        """Pixels of an image's side."""
        return nets.get(self.networks).size

    @property
    def channels(self) -> int:
        """The number of color channels, 1 or 3."""
        return nets.get(self.networks).channels

    @property
    def classes(self) -> int | None:
        """Classes of class-conditional networks; None of others."""
        return nets.get(self.networks).classes

    @property
    def scored(self) -> str:
        """Which parameters the scores and the samples are of."""
        return self.averages[0] if self.averages else RAW

    def check(self) -> None:
        """Refuse values that no run can have, with ``ArgumentError``."""
        nets.get(self.networks)
        for name in ("latent", "batch_size", "steps", "every"):
            check_int(name, getattr(self, name), low=1)
        check_int("samples", self.samples, low=2)
        check_int("uniform_from", self.uniform_from)
        for name in self.averages:
            choose("averages", name, AVERAGES)
        if len(set(self.averages)) < len(self.averages):
            argument_error("averages", self.averages, "different ones")
        if not self.step_size or len(self.step_size) != len(self.change) + 1:
            argument_error("step_size", self.step_size, f"one more than the {len(self.change)} changes")
        for h in self.step_size:
            check_number("step_size", h, low=0.0, strict=True)
        if list(self.change) != sorted(set(self.change)) or min(self.change, default=1) < 1:
            argument_error("change", self.change, "increasing whole numbers >= 1")
        if self.crop not in ("center", "none") and not self.crop.isdecimal():
            argument_error("crop", self.crop, "center, none or a number of pixels")

    def time(self, step: int) -> float:
        """The time after so many steps of the schedule.

        >>> scheduled = Preset(networks="dcgan", solver="euler", step_size=(0.01, 0.04), change=(500,), steps=600, every=100)
        >>> scheduled.time(501)
        5.04
        """
        starts = (0, *self.change)
        ends = (*self.change, max(step, *starts))
        return sum(
            h * max(0, min(step, end) - start) for h, start, end in zip(self.step_size, starts, ends, strict=True)
        )

    def keywords(self) -> dict[str, Any]:
        """The keyword arguments for ``odeint_gan`` that say how the field is integrated.

        >>> scheduled = Preset(networks="dcgan", solver="euler", step_size=(0.01, 0.04), change=(500,), steps=600, every=100)
        >>> scheduled.keywords()["step_size"](5.0)
        0.04
        """
        shared = {f.name: getattr(self, f.name) for f in fields(SolverOptions)}
        keywords = AsTheyAre(**shared | {"step_size": self.step_size[0]}).keywords()
        if self.change:
            keywords["step_size"] = schedules.piecewise(self.step_size, [self.time(step) for step in self.change])
        return keywords


def changed(preset: Preset, changes: Mapping[str, Any]) -> Preset:
    """The preset with the changes that are not None; a single step size stands for the whole schedule."""
    given = {name: value for name, value in changes.items() if value is not None}
    if len(given.get("step_size", ())) == 1:
        given.setdefault("change", ())
    new = replace(preset, **given)
    new.check()
    return new
