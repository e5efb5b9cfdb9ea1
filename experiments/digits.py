"""A small convolutional GAN on scikit-learn's 1,797 handwritten digits of 8x8 pixels, trained by an ODE solver.

An exponential average of the generator is scored along the way: FID and per-class coverage in the 32 features of a small
classifier trained on the same digits. Such an FID is a scale of its own, not the literature's; the table gives that of one
half of the real digits against the other for reference. With --compare several solvers are trained for the same number of
field evaluations (penalties are not counted).
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch

from experiments import runner
from experiments.digits_figures import comparison_figures, single_figures
from experiments.digits_scores import Judge, Score
from experiments.digits_training import Monitor, Trained, averaging
from experiments.runner import Folder, Options, SolverOptions
from experiments.switches import NONE, evaluations_per_step
from odegan import Game, gan, losses, odeint_gan
from odegan.checks import whole
from odegan.nets import digits


@dataclass
class Digits(SolverOptions, Options):
    """The digits, the networks and the length of training."""

    solver: str = "heun2"
    """A name of odegan.solvers.names(): euler, heun2, rk4, dopri5, adam, and so on."""
    step_size: float = 0.4
    """Length of a fixed step. Adaptive solvers choose their own: for them it is the time between fresh minibatches."""
    evaluations: int = 6000
    """Field evaluations: 3,000 steps of heun2, about two minutes on one CPU core; more than this did not lower FID."""
    batch_size: int = 64
    """Digits a minibatch."""
    latent: int = 16
    """Width of the generator's input."""
    channels: int = 32
    """Width of both networks."""
    loss: str = "non_saturating"
    """A name of odegan.losses.names()."""
    average: int = 1000
    """Field evaluations over which the generator that is scored and shown is averaged."""
    reports: int = 9
    """Moments at which the averaged generator is scored, besides the start."""
    compare: bool = False
    """Train a table of solvers, each with the same number of field evaluations, and compare them."""
    seeds: int = 1
    """Runs of each setting under --compare, with seeds --seed, --seed + 1, and so on."""
    save_every: int = 100
    """Steps between checkpoints."""
    threads: int = 1
    """CPU threads; networks this small gain little from a second one."""

    own_penalty: ClassVar[tuple[str, ...]] = ("generator_gradient:0.05",)

    def name(self, experiment: str) -> str:
        """The comparison has a folder and pages of its own."""
        return f"{experiment}_compared" if self.compare else experiment

    def quick_form(self) -> Digits:
        """A few steps on small minibatches."""
        return replace(self, evaluations=80, batch_size=16, channels=8, average=10, reports=3, save_every=5)

    def check(self) -> None:
        """Refuse settings that no run can have."""
        super().check()
        losses.get(self.loss)

    def __post_init__(self) -> None:
        """Refuse numbers that no run can have."""
        super().__post_init__()
        counts = (
            "evaluations",
            "batch_size",
            "latent",
            "channels",
            "average",
            "reports",
            "seeds",
            "save_every",
            "threads",
        )
        for name in counts:
            whole(name, getattr(self, name), low=1)


# What each setting of the comparison changes in the options of the command line.
SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "heun2": {},
    "euler": {"solver": "euler"},
    "euler, h = 0.2": {"solver": "euler", "step_size": 0.2},
    "rk4": {"solver": "rk4"},
    "alternating": {"solver": "alternating"},
    "adam": {"solver": "adam", "step_size": 1e-3, "option": ("betas=0.5,0.999",), "penalty": (NONE,)},
}

LOST = Score(math.nan, math.nan, [math.nan])  # of a run that diverged, whatever it scored before


def run(options: Digits, folder: Folder) -> list[dict[str, Any]]:
    """One run, or the comparison."""
    torch.set_num_threads(options.threads)
    judge = Judge.trained(folder.checkpoint("classifier"), options.seed, options.device, options.progress)
    pair = digits.Generator(options.latent, options.channels), digits.Discriminator(options.channels)
    game = gan(*pair, loss=options.loss)
    settings = SETTINGS if options.compare else {options.solver: {}}
    members = range(options.seeds if options.compare else 1)
    trained = {
        name: [train(replace(options, **change, seed=options.seed + e), game, judge, folder, name) for e in members]
        for name, change in settings.items()
    }
    if options.compare:
        figures = comparison_figures(game, judge, trained)
    else:
        figures = single_figures(game, judge, trained[options.solver][0])
    for name, figure in figures.items():
        folder.save(figure, name)
    folder.facts["classifier, right on held-out digits"] = judge.accuracy
    return [row(name, runs, judge) for name, runs in trained.items()]


def train(options: Digits, game: Game, judge: Judge, folder: Folder, name: str) -> Trained:
    """Train one setting with one seed, or take it from its checkpoint, and log its scores."""
    keywords = options.keywords()
    label = f"{name}, seed {options.seed}"
    setting = {"run": label, "seed": options.seed, "setting": named(options)} | judge.named()

    def report(step: int, evaluations: int, t: float, score: Score) -> None:
        folder.log({**setting, "step": step, "t": t, "evaluations": evaluations, **score._asdict()})

    average = averaging(keywords, options.average)
    monitor = Monitor(average, lambda y: judge.score(game, y), report, options.evaluations, options.reports)
    start = game.init(seed=options.seed).to(options.device)
    solution = odeint_gan(
        game,
        start,
        torch.tensor([0.0, duration(options)]),
        data=judge.images,
        latent=options.latent,
        batch_size=options.batch_size,
        seed=options.seed,
        callback=[average, monitor.start(start)],
        checkpoint=folder.checkpoint(re.sub(r"\W+", "_", label)),
        checkpoint_every=options.save_every,
        on_nonfinite="stop",
        progress=label if options.progress else False,
        **keywords,
    )
    return monitor.trained(runner.finished(solution))


def duration(options: Digits) -> float:
    """The time that the budget pays for: of an adaptive solver, with one accepted step between fresh minibatches."""
    return options.step_size * max(1, options.evaluations // evaluations_per_step(options.keywords()))


def named(options: Digits) -> dict[str, Any]:
    """The switches of a run, as they stand beside its scores."""
    names = (
        "solver",
        "step_size",
        "penalty",
        "placement",
        "players",
        "refresh",
        "rates",
        "loss",
        "batch_size",
        "average",
    )
    return {name: getattr(options, name) for name in names}


def row(name: str, runs: Sequence[Trained], judge: Judge) -> dict[str, Any]:
    """Scores at the end, means over the seeds, and the range of FID where there are several; nan where one diverged."""
    diverged = [one.solution.stats["stopped_at"] is not None for one in runs]
    ends = [LOST if gone else one.scores[-1] for gone, one in zip(diverged, runs, strict=True)]
    fids = [end.fid for end in ends]
    spread = {"lowest": min(fids), "highest": max(fids)} if len(runs) > 1 else {}
    return {
        "solver": name,
        "field evaluations": max(one.solution.stats["nfe"] for one in runs),
        "FID": sum(fids) / len(fids),
        **spread,
        "FID of real halves": judge.floor(),
        "coverage": sum(end.coverage for end in ends) / len(ends),
        "worst class": min(min(end.coverage_per_class) for end in ends),
        "seconds": sum(one.seconds for one in runs) / len(runs),
        "diverged": sum(diverged),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """The command line."""
    return runner.main(Digits, run, argv)


if __name__ == "__main__":
    sys.exit(main())
