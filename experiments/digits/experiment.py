"""A small convolutional GAN on scikit-learn's 1,797 handwritten digits of 8x8 pixels, trained by an ODE solver.

An exponential average of the generator is scored along the way: FID and per-class coverage in the 32 features of a small
classifier trained on the same digits. Such an FID is a scale of its own, not the literature's; the table gives that of one
half of the real digits against the other for reference. For several solvers side by side there is
``python -m experiments.images compare --preset digits``.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch

from experiments.digits.figures import figures
from experiments.digits.scores import Judge, Score
from experiments.digits.training import Monitor, Trained, averaging
from experiments.framework import runner
from experiments.framework.runner import Folder, Options, SolverOptions
from experiments.framework.solver_options import evaluations_per_step
from odegan import Game, gan, losses, odeint_gan
from odegan.nets import digits
from odegan.utils.checks import whole


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
    save_every: int = 100
    """Steps between checkpoints."""
    threads: int = 1
    """CPU threads; networks this small gain little from a second one."""

    own_penalty: ClassVar[tuple[str, ...]] = ("generator_gradient:0.05",)

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
            "save_every",
            "threads",
        )
        for name in counts:
            whole(name, getattr(self, name), low=1)


def run(options: Digits, folder: Folder) -> list[dict[str, Any]]:
    """Train, score and draw."""
    torch.set_num_threads(options.threads)
    judge = Judge.trained(folder.checkpoint("classifier"), options.seed, options.device, options.progress)
    pair = digits.Generator(options.latent, options.channels), digits.Discriminator(options.channels)
    game = gan(*pair, loss=options.loss)
    trained = train(options, game, judge, folder)
    for name, figure in figures(game, judge, trained).items():
        folder.save(figure, name)
    folder.facts["classifier, right on held-out digits"] = judge.accuracy
    return [row(options.solver, trained, judge)]


def train(options: Digits, game: Game, judge: Judge, folder: Folder) -> Trained:
    """Train, or take the run from its checkpoint, and log its scores."""
    keywords = options.keywords()
    label = f"{options.solver}, seed {options.seed}"
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


def row(name: str, trained: Trained, judge: Judge) -> dict[str, Any]:
    """Scores at the end; nan of a run that diverged, whatever it scored before."""
    diverged = trained.solution.stats["stopped_at"] is not None
    end = Score(math.nan, math.nan, [math.nan]) if diverged else trained.scores[-1]
    return {
        "solver": name,
        "field evaluations": trained.solution.stats["nfe"],
        "FID": end.fid,
        "FID of real halves": judge.floor(),
        "coverage": end.coverage,
        "worst class": min(end.coverage_per_class),
        "seconds": trained.seconds,
        "diverged": int(diverged),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """The command line."""
    return runner.main(Digits, run, argv)


if __name__ == "__main__":
    sys.exit(main())
