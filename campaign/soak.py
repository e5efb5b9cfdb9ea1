"""A soak: a training of an hour with checkpoints, metrics and figures. Memory, open files and disk must stay flat.

    python -m campaign.soak --minutes 60 --docs docs

Exit code 1, and a sentence for each, where something grew. Needs Linux, whose /proc it reads.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

import torch

import odegan
from campaign import soak_page
from campaign.soak_samples import Sample, failures, sample
from experiments.framework.folder import Folder
from experiments.framework.mixture import MODES, MOG16, score
from odegan import nets, penalties, plots

STEP = 0.1
FOREVER = 1e9  # in the game's time; the clock ends the run


@dataclass(frozen=True)
class Plan:
    """How long, at least how many steps, and how many seconds pass between what is written; ``kept`` figures are kept, older
    ones overwritten.
    """

    minutes: float = 60.0
    least: int = 0
    checkpoint: float = 10.0
    metrics: float = 2.0
    figure: float = 20.0
    sample: float = 10.0
    kept: int = 5


class Soaked(NamedTuple):
    """What came of it: samples, and how many of each were written."""

    samples: list[Sample]
    steps: int
    checkpoints: int
    metrics: int
    figures: int


class Every:
    """Call ``action(state, info)`` when ``seconds`` have passed since the last time, at the first call too."""

    def __init__(self, seconds: float, action: Callable[[Any, Any], None]) -> None:
        self.seconds, self.action = seconds, action
        self.count, self.last = 0, -float("inf")

    def __call__(self, state: Any, info: Any) -> None:
        """After a refresh interval."""
        if time.monotonic() - self.last >= self.seconds:
            self.last = time.monotonic()
            self.count += 1
            self.action(state, info)


class Saves:
    """Counts the versions of a file that it sees."""

    def __init__(self, path: Path) -> None:
        self.path, self.count, self.seen = path, 0, 0

    def __call__(self, state: Any, info: Any) -> None:
        """After a refresh interval."""
        now = self.path.stat().st_mtime_ns if self.path.exists() else 0
        self.count, self.seen = self.count + (now != self.seen), now


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

    saves, metrics, figure = Saves(path), Every(plan.metrics, log), Every(plan.figure, draw)
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


def parsed(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser("python -m campaign.soak", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    for field in fields(Plan):
        parser.add_argument(f"--{field.name}", type=type(field.default), default=field.default)
    parser.add_argument("--docs", type=Path, help="also write the page and the figure into this documentation folder")
    parser.add_argument(
        "--output", type=Path, help="an empty folder for what the run writes; by default one that is removed"
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """The command line's exit code."""
    options = parsed(argv)
    if options.output is not None and options.output.exists() and any(options.output.iterdir()):
        print(f"output: got {str(options.output)!r}, which is not empty; it must be a new folder", file=sys.stderr)
        return 2
    torch.set_num_threads(1)
    plan = Plan(**{field.name: getattr(options, field.name) for field in fields(Plan)})
    command = shlex.join(["python", "-m", "campaign.soak", *(sys.argv[1:] if argv is None else argv)])
    with tempfile.TemporaryDirectory() as scratch:
        folder = Folder(options.output or Path(scratch), "soak", command)
        soaked = soak(plan, folder)
        folder.finish([one._asdict() for one in soaked.samples])
    print(soak_page.table(soaked.samples))
    if options.docs is not None:
        soak_page.publish(options.docs, command, soaked)
    grown = failures(soaked.samples)
    print("\n".join(grown) or "nothing grew")
    return 1 if grown else 0


if __name__ == "__main__":
    sys.exit(main())
