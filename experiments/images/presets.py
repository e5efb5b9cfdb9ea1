"""The settings of published image experiments, as data.

Values come from the papers' public programs where there are any. What a preset's remarks call recalled is a figure of the
publication that was not checked against it; what they call our choice is known from neither.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from experiments.framework.solver_options import NONE, SolverOptions
from experiments.framework.tables import of_cells
from odegan import nets
from odegan.training import schedules
from odegan.utils.checks import choose, fail, number, whole

AVERAGES = ("exponential", "uniform")
RAW = "raw"  # the parameters themselves


@dataclass(frozen=True, kw_only=True)
class Preset:
    """One experiment: data, networks, loss, how the field is integrated, what is averaged and measured, how long."""

    data: str = "cifar10"
    """cifar10, celeba, imagenet, digits, or a path."""
    flip: bool = False
    """Mirror images at random."""
    crop: str = "center"
    """center: the largest square; none: images must be square; or pixels of a square in the middle."""
    dequantise: bool = False
    """Add uniform noise below one grey level."""
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
    """Of the exponential average, each step."""
    uniform_from: int = 0
    """Steps before the uniform average begins."""
    metrics: tuple[str, ...] = ("fid",)
    """Names of odegan.metrics.evaluation.SCORES."""
    extractor: str = "inception"
    """What sees features for the metrics: inception, or digits, a small classifier."""
    samples: int = 10_000
    """Generated images a score is made of."""
    every: int
    """Steps between scores and sample grids."""
    batch_statistics: bool = False
    """Sample with the statistics of the batch, not with those estimated over many."""
    remarks: str = ""

    @property
    def size(self) -> int:
        """Pixels of an image's side."""
        return nets.get(self.networks).size

    @property
    def channels(self) -> int:
        """1 or 3."""
        return nets.get(self.networks).channels

    @property
    def scored(self) -> str:
        """Which parameters the scores and the samples are of."""
        return self.averages[0] if self.averages else RAW

    def check(self) -> None:
        """Refuse values that no run can have, with ``ArgumentError``."""
        nets.get(self.networks)
        for name in ("latent", "batch_size", "steps", "every"):
            whole(name, getattr(self, name), low=1)
        whole("samples", self.samples, low=2)
        whole("uniform_from", self.uniform_from)
        for name in self.averages:
            choose("averages", name, AVERAGES)
        if not self.step_size or len(self.step_size) != len(self.change) + 1:
            fail("step_size", self.step_size, f"one more than the {len(self.change)} changes")
        for h in self.step_size:
            number("step_size", h, low=0.0, strict=True)
        if list(self.change) != sorted(set(self.change)) or min(self.change, default=1) < 1:
            fail("change", self.change, "increasing whole numbers >= 1")
        if self.crop not in ("center", "none") and not self.crop.isdecimal():
            fail("crop", self.crop, "center, none or a number of pixels")

    def time(self, step: int) -> float:
        """The time after so many steps of the schedule.

        >>> PRESETS["odegan-cifar10"].time(501)
        5.04
        """
        starts = (0, *self.change)
        ends = (*self.change, max(step, *starts))
        return sum(
            h * max(0, min(step, end) - start) for h, start, end in zip(self.step_size, starts, ends, strict=True)
        )

    def keywords(self) -> dict[str, Any]:
        """The keyword arguments for ``odeint_gan`` that say how the field is integrated.

        >>> PRESETS["odegan-cifar10"].keywords()["step_size"](5.0)
        0.04
        """
        shared = {f.name: getattr(self, f.name) for f in fields(SolverOptions)}
        keywords = SolverOptions(**shared | {"step_size": self.step_size[0]}).keywords()
        if self.change:
            keywords["step_size"] = schedules.piecewise(self.step_size, [self.time(step) for step in self.change])
        return keywords


_ODEGAN = Preset(
    networks="dcgan",
    solver="rk4_classic",
    step_size=(0.01, 0.04, 0.02),
    change=(500, 400_000),
    penalty=("generator_gradient:0.02",),
    placement="first_stage",
    refresh="stage",
    steps=1_200_000,
    metrics=("fid", "inception_score"),
    every=1000,
    remarks="Settings of the authors' public program, in which rk4 is one of the solvers and heun2 another; that "
    "this one is what the publication reports is recalled. The program's BatchNorm keeps moving "
    "averages, ours are estimated anew for every export.",
)
_JARE = Preset(
    networks="conv4",
    solver="adam",
    step_size=(1e-4,),
    option=("betas=0.5,0.999",),
    penalty=("jare:100",),
    steps=500_000,
    metrics=("fid", "inception_score"),
    samples=12_800,
    every=5000,
    batch_statistics=True,
    remarks="Settings of the authors' public code, whose seed is 125 and which takes the Inception Score of "
    "50,000 samples.",
)
_CLC = Preset(
    networks="clc_resnet32",
    latent=256,
    flip=True,
    dequantise=True,
    loss="wasserstein",
    solver="rmsprop",
    step_size=(1e-4,),
    option=("alpha=0.99", "alternating=True"),
    penalty=("closed_loop:10,kind=square,buffer=100",),
    steps=1_250_000,
    averages=("exponential",),
    metrics=("inception_score", "fid"),
    samples=60_000,
    every=10_000,
    remarks="Settings of the authors' public code; no label enters.",
)
_RMSPROP = (
    " TensorFlow's RMSProp has decay 0.9, starts its average at 1 and adds 1e-10 below the root; ours starts at 0."
)

PRESETS: dict[str, Preset] = {
    "odegan-cifar10": _ODEGAN,
    "odegan-cifar10-resnet": replace(
        _ODEGAN,
        networks="odegan_resnet32",
        penalty=("generator_gradient:0.002",),
        remarks="No public program. Recalled: SN-GAN's topologies without spectral normalisation, this penalty "
        "weight, the step schedule of the DCGAN. Our choice, after the DCGAN: everything else, "
        "initialisation among it, and a mean over the pixels for a sum at the discriminator's end, with "
        "which these steps diverge.",
    ),
    "odegan-imagenet128": replace(
        _ODEGAN,
        data="imagenet",
        networks="odegan_resnet128",
        penalty=("generator_gradient:0.002",),
        every=10_000,
        remarks="No public program. Recalled: SN-GAN's topologies without spectral normalisation, this penalty "
        "weight, the step schedule of the DCGAN, no labels. Our choice: everything else, as in the smaller "
        "one; batch size and length among it.",
    ),
    "jare-cifar10-1": _JARE,
    "jare-cifar10-2": replace(_JARE, networks="conv4_no_bn", batch_statistics=False),
    "jare-cifar10-3": replace(_JARE, networks="dcgan4", batch_statistics=False),
    "jare-cifar10-4": replace(
        _JARE,
        networks="dcgan4",
        batch_statistics=False,
        solver="rmsprop",
        option=("alpha=0.9", "eps=1e-10"),
        remarks=_JARE.remarks + _RMSPROP,
    ),
    "jare-cifar10-5": replace(_JARE, networks="resnet_v1", batch_statistics=False),
    "jare-cifar10-6": replace(_JARE, networks="resnet_v2", batch_statistics=False),
    "clc-cifar10": _CLC,
    "clc-celeba64": replace(
        _CLC,
        data="celeba",
        networks="clc_resnet64",
        metrics=("fid",),
        samples=10_000,
        remarks="Settings of the authors' public code. Our choice: length and metrics.",
    ),
    "clc-imagenet128": replace(
        _CLC,
        data="imagenet",
        networks="clc_resnet128",
        batch_size=128,
        penalty=("closed_loop:100,kind=square,buffer=100",),
        metrics=("inception_score", "fid"),
        samples=10_000,
        remarks="Penalty weight and batch of the authors' public code. Our choice: the networks' widths (those of "
        "its conditional configuration), length and metrics.",
    ),
    "sngan-cifar10": Preset(
        networks="sngan32",
        loss="hinge",
        solver="adam",
        step_size=(2e-4,),
        option=("betas=0.0,0.9", "alternating=True", "disc_steps=5"),
        refresh="stage",
        steps=100_000,
        metrics=("inception_score", "fid"),
        every=5000,
        remarks="A baseline without an ODE solver. Recalled: hinge loss, Adam's settings, five discriminator steps "
        "to one of the generator, batch. Our choice: a constant step size, the generator's batch (as large "
        "as the discriminator's), length.",
    ),
    "r3gan-small": Preset(
        networks="clc_resnet32",
        flip=True,
        loss="relativistic",
        solver="adam",
        step_size=(2e-4,),
        option=("betas=0.0,0.99", "alternating=True"),
        penalty=("r1:0.05", "r2:0.05"),
        steps=200_000,
        averages=("exponential",),
        every=5000,
        remarks="The loss of R3GAN: relativistic pairing with R1 and R2 on both kinds of samples. Our choice: "
        "everything else.",
    ),
    "digits": Preset(
        data="digits",
        networks="digits",
        latent=16,
        solver="heun2",
        step_size=(0.4,),
        penalty=("generator_gradient:0.05",),
        placement="after_step",
        steps=3000,
        averages=("exponential", "uniform"),
        decay=0.998,
        uniform_from=1500,
        extractor="digits",
        samples=1797,
        every=300,
        remarks="Small enough for one CPU core: scikit-learn's 1,797 digits of 8x8 pixels. Our choice: everything.",
    ),
}


def get(name: str) -> Preset:
    """The preset of that name, or ``ArgumentError``.

    >>> get("jare-cifar10-3").penalty
    ('jare:100',)
    """
    return PRESETS[choose("preset", name, PRESETS)]


def changed(preset: Preset, changes: Mapping[str, Any]) -> Preset:
    """The preset with the changes that are not None; a single step size stands for the whole schedule."""
    given = {name: value for name, value in changes.items() if value is not None}
    if len(given.get("step_size", ())) == 1:
        given.setdefault("change", ())
    new = replace(preset, **given)
    new.check()
    return new


def table() -> str:
    """All presets as a Markdown table, and their remarks."""
    rows = {name: _cells(preset) for name, preset in PRESETS.items()}
    head = ["preset", *next(iter(rows.values()))]
    lines = [head, *([f"`{name}`", *cells.values()] for name, cells in rows.items())]
    remarks = [f"- `{name}`: {preset.remarks}" for name, preset in PRESETS.items()]
    return "\n".join([of_cells(lines), "", *remarks])


def _cells(p: Preset) -> dict[str, str]:
    extras = [word for word, on in {"flips": p.flip, "dequantised": p.dequantise}.items() if on]
    until = [f" to {step:,}" for step in p.change] + [""]
    sizes = ", ".join(f"{h:g}{end}" for h, end in zip(p.step_size, until, strict=True))
    penalty = [text for text in p.penalty if text != NONE]
    options = f" ({', '.join(p.option)})" if p.option else ""
    decay = {"exponential": f" {p.decay:g}", "uniform": f" from {p.uniform_from:,}"}
    return {
        "data": ", ".join([p.data, f"{p.size} px", *extras]),
        "networks": p.networks,
        "loss": p.loss,
        "solver": p.solver + options,
        "step size": sizes,
        "penalty": f"{' '.join(penalty)}, {p.placement}" if penalty else "-",
        "refresh": p.refresh,
        "batch": str(p.batch_size),
        "latent": str(p.latent),
        "average": ", ".join(name + decay[name] for name in p.averages) or "-",
        "metrics": f"{', '.join(p.metrics).replace('_', ' ')} of {p.samples:,}",
        "steps": f"{p.steps:,}",
    }
