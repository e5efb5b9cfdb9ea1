"""The ring of 8 Gaussians in JARE's and CLC-GAN's settings: which method covers all modes, on how many seeds?

Every method of the two papers is trained as one ensemble over seeds, by RMSProp. The default is a short form: 2,000 steps of
0.001 in place of the papers' 20,000 of 0.0001, hidden layers a quarter as wide, and minibatches of 128; weights are the
papers'. --full is their length, learning rate, widths and minibatches. With --penalty one run of each setting, by any solver.
With --question another experiment: does JARE's penalty train differently when its squared norms are estimated without bias?
(1,500 steps.)

Scores: covered (a mode that holds at least 1 % of the samples within 5 sigma), which a shapeless cloud over the ring attains
too; resolved (at least half of its fair share, 1/16 of the samples, within 3 sigma), which it does not; and quality, the
share of samples within 5 sigma of a mode.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple

import torch
from tyro.conf import UseAppendAction

from experiments.framework import mixture, runner, solver_options
from experiments.framework.mixture import Trained
from experiments.framework.runner import Folder, Options, SolverOptions
from experiments.ring8 import figures as ring8_figures
from experiments.ring8 import question as ring8_question
from experiments.ring8.settings import PUBLISHED_RATE, PUBLISHED_STEPS, SETTINGS, Method, Setting
from odegan import Game, solvers
from odegan.utils.checks import choose, fail, number, whole

SHORT_STEPS = 2000
QUESTION_STEPS = 1500
RESOLVED = {"radius": 3.0, "share": 1 / 16}


@dataclass
class Ring8(SolverOptions, Options):
    """The ring of 8 Gaussians: settings, methods and the length of training."""

    solver: str = "rmsprop"
    """A name of odegan.solvers.names(); to compare the papers' methods, rmsprop or adam."""
    step_size: float = 0.001
    """Learning rate or length of a fixed step. Adaptive solvers choose their own: for them the time between minibatches."""
    placement: str = "field"
    """Where penalties act: field, after_step or first_stage."""
    penalty: UseAppendAction[tuple[str, ...]] = ()
    """NAME:WEIGHT[,KEY=VALUE...]; may be repeated; none: no penalty. Train with this alone, in place of the papers' methods."""
    setting: tuple[str, ...] = tuple(SETTINGS)
    """jare, clc, or both: whose ring, networks and loss."""
    methods: tuple[str, ...] = ()
    """Which of the papers' methods to compare, names in quotation marks; left out: all. More may be added on resuming."""
    seeds: int = 8
    """Members of the ensemble, with seeds --seed, --seed + 1, and so on; each has its own start, data and latents."""
    steps: int | None = None
    """Steps (refresh intervals of an adaptive solver); left out: 2,000, and 1,500 for --question."""
    shrink: int = 4
    """What the papers' hidden widths are divided by."""
    batch_size: int = 128
    """Samples a minibatch, a multiple of 8: every mode has the same number of them."""
    full: bool = False
    """The papers' 20,000 steps of 0.0001, widths and minibatches (128 and 512) in place of the options; some hours."""
    question: bool = False
    """Train JARE's setting with the biased and the unbiased penalty over --batch-sizes, and compare them in pairs."""
    batch_sizes: tuple[int, ...] = (8, 32, 128)
    """Of the question, multiples of --chunks; samples are independent there, modes included."""
    chunks: int = 4
    """Of the unbiased penalty in the question."""
    reports: int = 20
    """Moments at which the ensemble is scored, evenly spread over the training."""
    samples: int = 5120
    """Samples of each member for a score."""
    threads: int = 1
    """CPU threads; a second one saves a third of the time here, and nearly half with --full."""

    free: ClassVar[frozenset[str]] = Options.free | {"methods"}

    def __post_init__(self) -> None:
        """The lengths that belong to the chosen form."""
        super().__post_init__()
        if self.full:
            self.step_size, self.shrink, self.steps = PUBLISHED_RATE, 1, PUBLISHED_STEPS
        elif self.steps is None:
            self.steps = QUESTION_STEPS if self.question else SHORT_STEPS

    def name(self, experiment: str) -> str:
        """The question has a folder and pages of its own."""
        return f"{experiment}_question" if self.question else experiment

    def quick_form(self) -> Ring8:
        """Two seeds, a few steps, narrow networks, small minibatches."""
        few = replace(self, seeds=2, steps=4, reports=2, samples=256, full=False)
        return replace(few, shrink=32, batch_size=16, batch_sizes=self.batch_sizes[:2])

    def check(self) -> None:
        """Refuse wrong switches and lengths."""
        super().check()
        for name in ("seeds", "steps", "shrink", "reports", "samples", "threads"):
            whole(name, getattr(self, name), low=1)
        number("step_size", self.step_size, low=0.0, strict=True)
        if not self.setting:
            fail("setting", self.setting, f"one or more of {', '.join(SETTINGS)}")
        for name in self.setting:
            choose("setting", name, SETTINGS)
        known = dict.fromkeys(method for name in self.setting for method in SETTINGS[name].methods)
        for name in self.methods:
            choose("methods", name, known)
        if self.shrink > 32:
            fail("shrink", self.shrink, "at most 32: the narrowest layer has 128 units")
        if self.batch_size < 8 or self.batch_size % 8:
            fail("batch_size", self.batch_size, "a multiple of 8, one sample or more for every mode")
        if not self.penalty and "alternating" not in solvers.get(self.solver).options:
            fail("solver", self.solver, "rmsprop or adam to compare the papers' methods; others need --penalty")
        if self.question:
            ring8_question.check(self)


class Run(NamedTuple):
    """One method in one setting, trained; resolved: (R, E) modes resolved."""

    setting: Setting
    method: str
    game: Game
    trained: Trained
    resolved: torch.Tensor


def run(options: Ring8, folder: Folder) -> list[dict[str, Any]]:
    """The comparison, one penalty, or the question."""
    torch.set_num_threads(options.threads)
    if options.question:
        return ring8_question.run(options, folder)
    print(f"{options.steps:,} steps of {options.step_size:g}, hidden widths 1/{options.shrink}, {options.seeds} seeds")
    runs = []
    for name in options.setting:
        for method, how in chosen(options, name).items():
            runs.append(train(options, name, method, how, folder))
    for title, figure in ring8_figures.comparison(runs).items():
        folder.save(figure, title)
    return [row(one) for one in runs]


def chosen(options: Ring8, name: str) -> dict[str, Method]:
    """What to train in one setting: the papers' methods, or the penalty of the command line alone."""
    setting = SETTINGS[name]
    if options.penalty:
        return {" + ".join(options.penalty): Method(options.penalty)}
    wanted = options.methods or tuple(setting.methods)
    return {method: how for method, how in setting.methods.items() if method in wanted}


def keywords(options: Ring8, setting: Setting, how: Method) -> dict[str, Any]:
    """The solver's arguments under one method; D moves before G where the paper's does and the solver has turns."""
    turns = (setting.in_turn or how.in_turn) and "alternating" in solvers.get(options.solver).options
    given = replace(options, penalty=how.penalty).keywords()
    return given | {"options": ({"alternating": True} if turns else {}) | given["options"]}


def train(options: Ring8, name: str, method: str, how: Method, folder: Folder) -> Run:
    """Train one method, or take it from its checkpoint, and log its scores."""
    setting = SETTINGS[name]
    game, given = setting.game(options.shrink), keywords(options, setting, how)
    label = f"{name}, {method}"
    trained = mixture.train(
        game,
        torch.stack([game.init(seed=options.seed + e) for e in range(options.seeds)]).to(options.device),
        given,
        evaluations=(options.steps or 1) * solver_options.evaluations_per_step(given),
        reports=options.reports,
        samples=options.samples,
        checkpoint=folder.checkpoint(re.sub(r"\W+", "_", label)),
        target=setting.target,
        batch_size=setting.batch_size if options.full else options.batch_size,
        seed=options.seed,
        progress=label if options.progress else False,
    )
    resolved = mixture.scored(game, trained.states, options.samples, setting.target, **RESOLVED).modes_covered
    for step, (evaluations, strict, *scores) in enumerate(
        zip(trained.evaluations, resolved, *trained.scores, strict=True)
    ):
        named = dict(zip(trained.scores._fields, scores, strict=True))
        folder.log({"run": label, "step": step, "evaluations": int(evaluations), **named, "modes_resolved": strict})
    runner.finished(trained.solution)
    return Run(setting, method, game, trained, resolved)


def row(one: Run) -> dict[str, Any]:
    """Seeds that cover and resolve all modes at the end; means and standard deviations over the seeds."""
    trained, modes = one.trained, len(one.setting.target.modes)
    covered, quality, kl = (part[-1] for part in trained.scores)
    seeds = len(covered)
    return {
        "setting": one.setting.title,
        "method": one.method,
        "all modes covered": f"{int((covered == modes).sum())} of {seeds}",
        "all resolved": f"{int((one.resolved[-1] == modes).sum())} of {seeds}",
        "modes covered": mixture.spread(covered),
        "modes resolved": mixture.spread(one.resolved[-1]),
        "quality": mixture.spread(quality),
        "histogram KL": mixture.spread(kl),
        "diverged": f"{int(trained.diverged.sum())} of {seeds}",
        "evaluations": int(trained.evaluations[-1]),
        "seconds": round(trained.seconds, 1),
        "CPU seconds": round(trained.cpu, 1),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """The command line."""
    return runner.main(Ring8, run, argv)


if __name__ == "__main__":
    sys.exit(main())
