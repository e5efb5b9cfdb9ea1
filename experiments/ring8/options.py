"""The command line of the ring of 8 Gaussians."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

from tyro.conf import UseAppendAction

from experiments.framework.options import Options
from experiments.framework.solver_defaults import ByFamily, by_family
from experiments.framework.solver_options import SolverOptions
from experiments.ring8.rings import PUBLISHED_RATE, PUBLISHED_STEPS, RINGS
from odegan import solvers
from odegan.utils.checks import argument_error, check_int, check_number, choose

SHORT_STEPS = 2000
QUESTION_STEPS = 1500
SHORT_SHRINK = 4
PAPERS = ("jare", "clc")  # the rings of the two papers


@dataclass
class Ring8(SolverOptions, Options):
    """The ring of 8 Gaussians: settings, methods and the length of training."""

    solver: str = "rmsprop"
    """A name of odegan.solvers.names(); to compare the papers' methods, rmsprop or adam."""
    penalty: UseAppendAction[tuple[str, ...]] = ()
    """NAME:WEIGHT[,KEY=VALUE...]; may be repeated; none: no penalty. Train with this alone. Left out: the papers'
    methods in turn."""
    rings: tuple[str, ...] = PAPERS
    """Mixtures to train on, each with its paper's networks and loss: jare, clc, jare_narrow and jare_wide (sigma 0.02 and 0.1),
    clc_grid (25 modes)."""
    methods: tuple[str, ...] = ()
    """The papers' methods to compare, with names in quotation marks, as NAME or, for a weight that is not the paper's,
    NAME@WEIGHT; by default all. You may add more when resuming."""
    weights: tuple[float, ...] = ()
    """Train every method that has a penalty at each of these weights; by default only at its paper's weight. You may add more
    when resuming."""
    seeds: int = 8
    """Members of the ensemble, with seeds --seed, --seed + 1, and so on; each has its own start, data and latents."""
    steps: int | None = None
    """Steps (refresh intervals of an adaptive solver); left out: 2,000, and 1,500 for --question."""
    shrink: int | None = None
    """Divisor of the papers' hidden widths; left out: 4, and 1 with --full."""
    batch_size: int = 128
    """Samples per minibatch, a multiple of 8, so that every mode has equally many; in clc_grid modes are drawn at random."""
    full: bool = False
    """Use the papers' 20,000 steps of 0.0001 and minibatches (128 and 512) in place of --steps, --step-size and
    --batch-size; with the papers' widths a method takes hours."""
    question: bool = False
    """Train JARE's setting with the biased and the unbiased penalty over --batch-sizes, and compare them in pairs."""
    batch_sizes: tuple[int, ...] = (8, 32, 128)
    """Batch sizes of --question, multiples of --chunks; its samples and their modes are drawn independently."""
    chunks: int = 4
    """Number of chunks of the unbiased penalty of --question."""
    reports: int = 20
    """Number of times at which the ensemble is scored, evenly spaced."""
    samples: int = 5120
    """Samples per member for each score."""
    threads: int = 1
    """CPU threads; two take two thirds of the time of one, and about half with the papers' widths."""
    compile: bool = False
    """Compile a step with torch.compile: slow to start, then faster."""

    free: ClassVar[frozenset[str]] = Options.free | {"methods", "weights"}
    defaults: ClassVar[ByFamily] = by_family(0.1, placement="field", euler=0.1, adam=1e-3, rmsprop=1e-3)

    @property
    def divisor(self) -> int:
        """Of the papers' hidden widths, as the run uses it."""
        assert self.shrink is not None
        return self.shrink

    def __post_init__(self) -> None:
        """The lengths that belong to the chosen form."""
        super().__post_init__()
        self.shrink = (1 if self.full else SHORT_SHRINK) if self.shrink is None else self.shrink
        if self.full:
            self.step_size = PUBLISHED_RATE
            self.steps = PUBLISHED_STEPS
        elif self.steps is None:
            self.steps = QUESTION_STEPS if self.question else SHORT_STEPS

    def name(self, experiment: str) -> str:
        """The question, the weights, the full length and a choice of rings have folders and pages of their own."""
        if self.question:
            return f"{experiment}_question"
        forms = {"weights": bool(self.weights), "full": self.full}
        some = () if set(self.rings) == set(PAPERS) else self.rings
        return "_".join([experiment, *(form for form, chosen in forms.items() if chosen), *some])

    def used(self) -> dict[str, Any]:
        """Every option; with --full the minibatches are those of each ring's paper."""
        full = {name: RINGS[name].batch_size for name in self.rings}
        return super().used() | {"batch_size": full if self.full else self.batch_size}

    def quick_form(self) -> Ring8:
        """Two seeds, a few steps, narrow networks, small minibatches."""
        few = replace(self, seeds=2, steps=4, reports=2, samples=256, full=False)
        return replace(few, shrink=32, batch_size=16, batch_sizes=self.batch_sizes[:2])

    def check(self) -> None:
        """Refuse wrong options and lengths."""
        super().check()
        for name in ("seeds", "steps", "shrink", "reports", "samples", "threads"):
            check_int(name, getattr(self, name), low=1)
        check_number("step_size", self.h, low=0.0, strict=True)
        if not self.rings:
            argument_error("rings", self.rings, f"one or more of {', '.join(RINGS)}")
        for name in self.rings:
            choose("rings", name, RINGS)
        known = {method: how for name in self.rings for method, how in RINGS[name].methods.items()}
        for text in self.methods:
            method, weight = split(text)
            choose("methods", method, known)
            if weight is not None and (self.weights or not known[method].penalty):
                argument_error(
                    "methods", text, "NAME without a weight, because --weights gives them or the method has no penalty"
                )
        for weight in self.weights:
            check_number("weights", weight, low=0.0, strict=True)
        if self.shrink is not None and self.shrink > 32:
            argument_error("shrink", self.shrink, "at most 32: the narrowest layer has 128 units")
        if self.batch_size < 8 or self.batch_size % 8:
            argument_error("batch_size", self.batch_size, "a multiple of 8, one sample or more for every mode")
        if self.penalty and (self.methods or self.weights):
            argument_error("penalty", self.penalty, "left out with --methods or --weights")
        if not self.penalty and "alternating" not in solvers.get(self.solver).options:
            argument_error(
                "solver", self.solver, "rmsprop or adam to compare the papers' methods; others need --penalty"
            )
        if self.question:
            self._check_question()

    def _check_question(self) -> None:
        """Refuse what the question cannot vary."""
        if self.penalty:
            argument_error("penalty", self.penalty, "left out with --question, which compares JARE's two penalties")
        for name in ("methods", "weights"):
            if getattr(self, name):
                argument_error(name, getattr(self, name), "left out with --question")
        if self.seeds < 2:
            argument_error("seeds", self.seeds, "at least 2 with --question, for a standard error")
        check_int("chunks", self.chunks, low=2)
        if len(set(self.batch_sizes)) < len(self.batch_sizes):
            argument_error("batch_sizes", self.batch_sizes, "numbers, each once")
        for size in self.batch_sizes:
            if size < 1 or size % self.chunks:
                argument_error("batch_sizes", size, f"a multiple of {self.chunks} chunks")


def split(text: str) -> tuple[str, float | None]:
    """A method of the command line, NAME or NAME@WEIGHT, in two.

    >>> split("reg-D1@0.1"), split("JARE")
    (('reg-D1', 0.1), ('JARE', None))
    """
    name, at, weight = text.partition("@")
    try:
        return name, check_number("methods", float(weight), low=0.0, strict=True) if at else None
    except ValueError:
        argument_error("methods", text, "NAME or NAME@WEIGHT with a positive weight")
