"""The options of training on the command line of ``experiments.images``, and those that comparisons share."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from tyro.conf import UseAppendAction

from experiments.framework import processes
from experiments.framework.options import Options
from experiments.images import presets
from experiments.images.preset import Preset, changed
from experiments.images.solvers import with_solver
from odegan.training.arguments import parse
from odegan.training.combinations import check_combination
from odegan.utils.checks import argument_error, check_int, check_number

QUICK: dict[str, Any] = {"batch_size": 8, "steps": 4, "every": 2, "samples": 64, "uniform_from": 2}


@dataclass(kw_only=True)
class Overrides:
    """Settings that replace those of the preset."""

    left_out: ClassVar[str] = "the preset's"  # in the help of all options below

    preset: str
    """Name of a preset; odegan images presets lists them."""
    data: str | None = None
    """cifar10, celeba, imagenet (from the hub), digits, fashion_mnist and others of idx files, or the path of a local copy,
    a folder of images or of idx files, a parquet file."""
    flip: bool | None = None
    """Mirror images at random."""
    crop: str | None = None
    """center: the largest square; none: images must be square; or pixels of a square in the middle."""
    dequantize: bool | None = None
    """Add uniform noise below one gray level."""
    networks: str | None = None
    """A name of odegan.nets.names(), or my_module:PAIR, an odegan.nets.Pair of your own."""
    latent: int | None = None
    """Width of the generator's input."""
    loss: str | None = None
    """A name of odegan.losses.names()."""
    solver: str | None = None
    """A name of odegan.solvers.names()."""
    step_size: tuple[float, ...] | None = None
    """One, or several in turn; for adaptive solvers the time between fresh minibatches. If you choose another kind of solver
    than the preset's, the default suits that solver."""
    change: tuple[int, ...] | None = None
    """Steps after which the next step size holds."""
    option: UseAppendAction[tuple[str, ...]] = ()
    """NAME=VALUE, one of the solver's own options, as betas=0.5,0.999; may be repeated."""
    penalty: UseAppendAction[tuple[str, ...]] = ()
    """NAME:WEIGHT[,KEY=VALUE...], as jare:10; may be repeated. none: no penalty."""
    placement: str | None = None
    """Where penalties act: field, after_step or first_stage."""
    refresh: str | None = None
    """When minibatches are drawn afresh: step, stage, never, or a time."""
    players: str | None = None
    """joint, or frozen: each player alone against the opponent at the step's start."""
    rates: tuple[float, float] | None = None
    """Time scales of the discriminator and the generator."""
    clip: float | None = None
    """Largest norm of each player's part of the field."""
    rtol: float | None = None
    """Relative tolerance of adaptive solvers."""
    atol: float | None = None
    """Absolute tolerance of adaptive solvers."""
    batch_size: int | None = None
    """Images per minibatch, over all processes."""
    steps: int | None = None
    """Length of the run in steps."""
    averages: tuple[str, ...] | None = None
    """exponential, uniform: averages of the parameters to keep; the first one is scored."""
    decay: float | None = None
    """Decay of the exponential average per step."""
    uniform_from: int | None = None
    """Steps before the uniform average begins."""
    metrics: tuple[str, ...] | None = None
    """fid, kid, inception_score, precision, recall, coverage (of digits and idx files), recognition (of class-conditional
    networks); none: sample grids only. The first one chooses the best checkpoint."""
    extractor: str | None = None
    """Feature extractor of the metrics: inception, classifier (for digits and idx files), or the path of Inception's
    weights."""
    reference: str | None = None
    """Split of the real images that scores compare with."""
    samples: int | None = None
    """Number of generated images for a score."""
    every: int | None = None
    """Steps between scores and sample grids."""
    batch_statistics: bool | None = None
    """Sample with BatchNorm statistics of the batch."""

    def resolved(self) -> Preset:
        """The preset with these changes; ``ArgumentError`` for what no run can have."""
        names = {f.name for f in fields(Preset)} & {f.name for f in fields(self)}
        given = {name: getattr(self, name) for name in names}
        # Options that append are empty when left out, not None.
        given |= {name: given[name] or None for name in ("option", "penalty")}
        preset = presets.get(self.preset)
        return changed(preset if self.solver is None else with_solver(preset, self.solver), given)

    def used(self) -> dict[str, Any]:
        """Every option, with what the preset says for those that were left out."""
        preset = self.resolved()
        options = asdict(self)
        return options | {f.name: getattr(preset, f.name) for f in fields(Preset) if f.name in options}


@dataclass(kw_only=True)
class Machine:
    """Use of the machine; nothing here changes the result beyond rounding."""

    micro_batch: int | None = None
    """Images evaluated at once, to save memory; by default the whole minibatch."""
    workers: int = 0
    """Processes that load images."""
    autocast: Literal["no", "bfloat16", "float16"] = "no"
    """Precision within the networks; the state and the solver stay in float32."""
    channels_last: bool = False
    """Memory format of the images."""
    checkpointing: bool = False
    """Recompute activations in the backward pass to save memory."""
    compile: bool = False
    """Compile a step with torch.compile."""
    threads: int | None = None
    """CPU threads; by default torch's own number."""

    def for_game(self) -> dict[str, Any]:
        """Keyword arguments for ``gan``, those that are not its own defaults."""
        autocast = None if self.autocast == "no" else getattr(torch, self.autocast)
        return _given(autocast=autocast, channels_last=self.channels_last, checkpointing=self.checkpointing)

    def for_run(self) -> dict[str, Any]:
        """Keyword arguments for ``odeint_gan``, those that are not its own defaults."""
        together = processes.several()
        return _given(micro_batch=self.micro_batch, workers=self.workers, compile=self.compile, distributed=together)


def _given(**keywords: Any) -> dict[str, Any]:
    return {name: value for name, value in keywords.items() if value}


@dataclass(kw_only=True)
class Cached(Options):
    """Options that all runs with cached data share."""

    cache: Path = Path("runs/cache")
    """Folder for reusable results: statistics of real images, small feature networks."""

    free: ClassVar[frozenset[str]] = Options.free | {"cache"}


@dataclass(kw_only=True)
class Train(Overrides, Machine, Cached):
    """Train the preset's networks; writes samples over time, scores, and checkpoints that resume exactly."""

    save_every: int | None = None
    """Steps between checkpoints; by default the steps between scores."""
    grid: int = 64
    """Number of images in each sample grid."""
    truncations: tuple[float, ...] = ()
    """Numbers a; at the end, samples of latents truncated to [-a, a] are also scored. By default no such samples."""
    minutes: float | None = None
    """Minutes of training after which the run ends early; by default no limit."""
    patience: int | None = None
    """Number of consecutive scores without a new best one after which the run ends; by default no limit."""
    tensorboard: bool = False
    """Also write scores and sample grids for TensorBoard."""
    wandb: bool = False
    """Also send scores and sample grids to Weights & Biases (WANDB_MODE=offline: into the folder)."""

    free: ClassVar[frozenset[str]] = Cached.free | {
        *("workers", "threads", "tensorboard", "wandb", "save_every", "patience", "minutes", "truncations"),
        *("micro_batch", "checkpointing", "data", "device"),  # a checkpoint knows its data by their content
    }

    def name(self, experiment: str) -> str:
        """The name of the output folder: one for each preset."""
        return f"{experiment}_{self.preset}"

    def used(self) -> dict[str, Any]:
        """Every option, with what the preset and other options say for those that were left out."""
        return super().used() | {"save_every": self.save_every or self.resolved().every}

    def quick_form(self) -> Train:
        """The same run with a few steps only."""
        return replace(self, **{name: v for name, v in QUICK.items() if getattr(self, name) is None})

    def check(self) -> None:
        """Refuse what the run would refuse, before anything is written."""
        preset = self.resolved()
        check_int("grid", self.grid, low=1)
        for name in ("save_every", "micro_batch", "threads", "patience"):
            if getattr(self, name) is not None:
                check_int(name, getattr(self, name), low=1)
        if self.minutes is not None:
            check_number("minutes", self.minutes, low=0.0, strict=True)
        for limit in self.truncations:
            check_number("truncations", limit, low=0.0, strict=True)
        if self.truncations and preset.metrics == ("none",):
            argument_error("truncations", self.truncations, "left out with --metrics none")
        check_int("workers", self.workers)
        check_combination(parse(**preset.keywords()), has_data=True, members=None)
