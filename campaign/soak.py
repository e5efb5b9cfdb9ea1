"""A soak: a training of an hour with checkpoints, metrics and figures. Memory, open files and disk must stay flat.

    python -m campaign.soak --minutes 60 --docs docs

Exit code 1, and a sentence for each, where something grew. Needs Linux, whose /proc it reads.
"""

from __future__ import annotations

import functools
import shlex
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import odegan
from campaign import soak_page
from campaign.soak_samples import Sample, Soaked, failures, sample
from experiments.framework import programs
from experiments.framework.folder import Folder
from experiments.framework.mixture import MODES, MOG16, score
from odegan import nets, penalties, plots
from odegan.utils.checks import argument_error

STEP = 0.1
FOREVER = 1e9  # in the game's time; the clock ends the run


@dataclass(frozen=True)
class Plan:
    """How long, and how often something is written."""

    minutes: float = 60.0
    """How long to train."""
    least: int = 0
    """Steps to take at least."""
    checkpoint: float = 10.0
    """Seconds between checkpoints."""
    metrics: float = 2.0
    """Seconds between lines of metrics."""
    figure: float = 20.0
    """Seconds between figures."""
    sample: float = 10.0
    """Seconds between samples of memory, files and disk."""
    kept: int = 5
    """Figures that are kept; older ones are overwritten."""


class Every:
    """Call ``action(state, info)`` when ``seconds`` have passed since the last time, at the first call too."""

    def __init__(self, seconds: float, action: Callable[[Any, Any], None]) -> None:
        self.seconds = seconds
        self.action = action
        self.count = 0
        self.last = -float("inf")

    def __call__(self, state: Any, info: Any) -> None:
        """Called after every refresh interval."""
        if time.monotonic() - self.last >= self.seconds:
            self.last = time.monotonic()
            self.count += 1
            self.action(state, info)


class Saves:
    """Counts the versions of a file that it sees."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.count = 0
        self.seen = 0

    def __call__(self, state: Any, info: Any) -> None:
        """Called after every refresh interval."""
        now = self.path.stat().st_mtime_ns if self.path.exists() else 0
        self.count = self.count + (now != self.seen)
        self.seen = now


def soak(plan: Plan, folder: Folder, also: Sequence[Callable[[Any, Any], Any]] = ()) -> Soaked:
    """Train the mixture of 16 Gaussians by Heun's method, with a replay buffer and an average, until the time is over."""
    torch.manual_seed(0)
    game = odegan.gan(*nets.mog16())
    average = odegan.ExponentialAverage(0.999)
    path = folder.checkpoint("run")
    samples: list[Sample] = []
    start = time.monotonic()

    def measure(state: Any, info: Any) -> None:
        samples.append(sample(time.monotonic() - start, state.aux["index"], folder.path))

    def log(state: Any, info: Any) -> None:
        scores = score(game, state.y[None], 512)
        folder.log({"step": state.aux["index"], "t": state.t, "losses": info.losses, **scores._asdict()})

    def draw(state: Any, info: Any) -> None:
        panels = [(name, game.sample(y, 2000), None) for name, y in {"now": state.y, "average": average.y}.items()]
        folder.save(plots.density_frames(panels, 2.0, MODES), f"samples_{figure.count % plan.kept}")

    def end(state: Any, info: Any) -> bool:
        return state.aux["index"] >= plan.least and time.monotonic() - start >= 60 * plan.minutes

    saves = Saves(path)
    metrics = Every(plan.metrics, log)
    figure = Every(plan.figure, draw)
    solution = odegan.odeint_gan(
        game,
        game.init(seed=0),
        torch.tensor([0.0, FOREVER], dtype=torch.float64),
        data=MOG16.draw,
        batch_size=64,
        solver="heun2",
        step_size=STEP,
        penalties=[penalties.generator_gradient(0.07), penalties.closed_loop(0.01, buffer=20)],
        callback=[average, saves, metrics, figure, *also, Every(plan.sample, measure), end],
        checkpoint=path,
        checkpoint_every=plan.checkpoint,
    )
    saves(None, None)
    return Soaked(samples, solution.stats["steps"], saves.count, metrics.count, figure.count)


@dataclass(frozen=True)
class Soak(Plan):
    """The plan, and where to write."""

    docs: Path | None = None
    """Also write the page and the figure into this documentation folder; by default neither."""
    output: Path | None = None
    """An empty folder for what the run writes; by default one that is removed."""

    def check(self) -> None:
        """Refuse a folder that holds something."""
        if self.output is not None and self.output.exists() and any(self.output.iterdir()):
            argument_error("output", str(self.output), "a new or empty folder")


def main(argv: Sequence[str] | None = None) -> int:
    """The command line's exit code."""
    command = shlex.join(["python", "-m", "campaign.soak", *(sys.argv[1:] if argv is None else argv)])
    return programs.main(Soak, functools.partial(run, command), "python -m campaign.soak", __doc__, argv)


def run(command: str, options: Soak) -> int:
    """Soak, and write what came of it; 1 where something grew."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Folder(options.output or Path(scratch), "soak", command)
        soaked = soak(options, folder)
        folder.finish([one._asdict() for one in soaked.samples])
    print(soak_page.table(soaked.samples).markdown())
    if options.docs is not None:
        soak_page.publish(options.docs, command, soaked)
    grown = failures(soaked.samples)
    print("\n".join(grown) or "nothing grew")
    return 1 if grown else 0


if __name__ == "__main__":
    sys.exit(main())
