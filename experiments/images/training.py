"""Training of one preset with one seed: scores and sample grids along the way, figures and an export at the end."""

from __future__ import annotations

import importlib.util
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from experiments.framework import runner
from experiments.framework.runner import Folder
from experiments.images import pictures
from experiments.images.presets import Preset
from experiments.images.run import make_game, to_plain
from experiments.images.sampling import sampler
from experiments.images.scores import Scorer, values
from odegan import ExponentialAverage, Solution, Stepper, UniformAverage, odeint_gan, solvers
from odegan.data.minibatches import Minibatches
from odegan.games.network import NetworkGame
from odegan.training import options as arguments
from odegan.utils import checkpoint

GRID_SEED = 0  # of the latents shown over time


@dataclass(frozen=True)
class Report:
    """What is known at one moment of a run."""

    step: int
    t: float
    evaluations: int
    losses: tuple[float, float]
    scores: dict[str, dict[str, Any]]


class Monitor:
    """A callback that reports every so many steps and at the end; its checkpoint holds the reports so far and the preset.

    Args:
        preset: of the run.
        parameters: state -> the parameters to score.
        score: parameters (P,), step -> scores; draws the sample grid, too.
        tell: called with every report.
    """

    def __init__(
        self,
        preset: Preset,
        parameters: Callable[[Any], torch.Tensor],
        score: Callable[[torch.Tensor, int], dict[str, Any]],
        tell: Callable[[Report], None],
    ) -> None:
        self.preset, self.parameters, self.score, self.tell = preset, parameters, score, tell
        self.counts_intervals = solvers.get(preset.solver).adaptive
        self.end = preset.time(preset.steps)
        self.step, self.evaluations, self.seconds = 0, 0, 0.0
        self.reports: list[Report] = []
        self._clock = time.perf_counter()

    def __call__(self, state: Any, info: Any) -> None:
        """After a refresh interval."""
        before = self.step
        self.step += 1 if self.counts_intervals else info.accepted
        self.evaluations += info.nfe
        over = state.t >= self.end
        if over or self.step // self.preset.every > before // self.preset.every:
            disc, gen = info.losses.tolist()
            self.seconds += time.perf_counter() - self._clock
            scores = self.score(self.parameters(state), self.step)
            self.reports.append(Report(self.step, state.t, self.evaluations, (disc, gen), scores))
            self.tell(self.reports[-1])
            self._clock = time.perf_counter()

    def state_dict(self) -> dict[str, Any]:
        """For checkpoints."""
        now = time.perf_counter()
        self.seconds, self._clock = self.seconds + now - self._clock, now
        plain = {name: getattr(self, name) for name in ("step", "evaluations", "seconds")}
        return plain | {"preset": to_plain(self.preset), "reports": [vars(report) for report in self.reports]}

    def load_state_dict(self, kept: dict[str, Any]) -> None:
        """From a checkpoint."""
        for name in ("step", "evaluations", "seconds"):
            setattr(self, name, kept[name])
        self.reports = [Report(**report) for report in kept["reports"]]
        self._clock = time.perf_counter()


@dataclass(frozen=True)
class Outcome:
    """A run that is over, and who can draw from it."""

    preset: Preset
    game: NetworkGame
    solution: Solution
    y: torch.Tensor
    monitor: Monitor

    @property
    def diverged(self) -> bool:
        """Whether it ended in numbers that are not finite."""
        return self.solution.stats["stopped_at"] is not None


def refuse(preset: Preset, data: Any, device: str, for_game: dict[str, Any], for_run: dict[str, Any]) -> None:
    """Raise ``ArgumentError`` for what ``odeint_gan`` would refuse, while an earlier run in the folder is still whole."""
    game = make_game(preset, **for_game)
    start = game.init().to(device)
    known = arguments.parse(**preset.keywords(), **{key: v for key, v in for_run.items() if key != "workers"})
    known.check_run(has_data=True, members=None)
    Minibatches(data, preset.latent, preset.batch_size, 0, start, known.ranks, for_run.get("workers", 0))
    game.check(start, Minibatches(data, preset.latent, preset.batch_size, 0, start)(0))
    Stepper.from_arguments(game, known).check_divisible()


def averages(preset: Preset) -> dict[str, Any]:
    """The callbacks that average parameters, by name."""
    make = {
        "exponential": lambda: ExponentialAverage(preset.decay),
        "uniform": lambda: UniformAverage(preset.time(preset.uniform_from)),
    }
    return {name: make[name]() for name in preset.averages}


def train(
    preset: Preset,
    folder: Folder,
    *,
    name: str,
    seed: int,
    scorer: Scorer | None,
    data: Any,
    device: str = "cpu",
    grid: int = 64,
    save_every: int | None = None,
    progress: bool = False,
    for_game: dict[str, Any] | None = None,
    for_run: dict[str, Any] | None = None,
    board: Board | None = None,
) -> Outcome:
    """Train, or go on from the checkpoint of that name in the folder.

    Args:
        preset: what to train.
        folder: takes metrics, sample grids (samples/NAME/) and the checkpoint.
        name: of this run in the folder.
        seed: of everything random.
        scorer: measures samples; None where another process does.
        data: the images.
        device: where to compute.
        grid: images of each sample grid.
        save_every: steps between checkpoints; None: as between scores.
        progress: show a bar.
        for_game: further keyword arguments of ``gan``.
        for_run: further keyword arguments of ``odeint_gan``.
        board: takes every report and its grid, too.
    """
    game = make_game(preset, **for_game or {})
    kept = averages(preset)

    def parameters(state: Any) -> torch.Tensor:
        average = kept.get(preset.scored)
        return state.y if average is None or average.y is None else average.y

    def score(y: torch.Tensor, step: int) -> dict[str, Any]:
        if scorer is None:
            return {}
        if not y.isfinite().all():
            return scorer.nothing()
        draw = sampler(game, y, preset)
        pictures.save(draw(grid, GRID_SEED), frame(folder, name, step))
        return scorer(draw, seed)

    def tell(report: Report) -> None:
        disc, gen = report.losses
        row = {
            "step": report.step,
            "t": report.t,
            "evaluations": report.evaluations,
            "loss_disc": disc,
            "loss_gen": gen,
        }
        folder.log({"run": name, "seed": seed, "weights": preset.scored} | row | report.scores)
        if board is not None:
            board.add(name, row | values(report.scores), frame(folder, name, report.step))

    monitor = Monitor(preset, parameters, score, tell)
    start = game.init(seed=seed).to(device)
    path = folder.checkpoint(name)
    if folder.writes and not path.exists():
        pictures.save(sampler(game, start, preset)(grid, GRID_SEED), frame(folder, name, 0))
    solution = odeint_gan(
        game,
        start,
        torch.tensor([0.0, preset.time(preset.steps)], dtype=torch.float64),
        data=data,
        latent=preset.latent,
        batch_size=preset.batch_size,
        seed=seed,
        callback=[*kept.values(), monitor],
        checkpoint=path,
        checkpoint_every=save_every or preset.every,
        on_nonfinite="stop",
        progress=name if progress else False,
        **preset.keywords(),
        **for_run or {},
    )
    runner.finished(solution)
    average = kept.get(preset.scored)
    y = solution.y if average is None or average.y is None else average.y
    return Outcome(preset, game, solution, y, monitor)


def frame(folder: Folder, name: str, step: int) -> Path:
    """Where the sample grid of a step belongs."""
    return folder.own(f"samples/{name}/{step:08d}.png")


def frames(folder: Folder, outcome: Outcome, name: str) -> list[Path]:
    """The sample grids of a run, in order."""
    steps = [0, *(report.step for report in outcome.monitor.reports)]
    return [path for path in (frame(folder, name, step) for step in steps) if path.exists()]


def export(folder: Folder, outcome: Outcome) -> Path:
    """Write the generator as a state dict, BatchNorm statistics estimated for its parameters, beside the preset."""
    generator = sampler(outcome.game, outcome.y, outcome.preset).generator
    assert generator is not None
    path = folder.own("generator.pt")
    state = {key: value.cpu() for key, value in generator.state_dict().items()}
    checkpoint.save(path, {"preset": to_plain(outcome.preset), "weights": outcome.preset.scored, "generator": state})
    return path


class Board:
    """TensorBoard's event files, in a run's folder."""

    def __init__(self, path: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.writer = SummaryWriter(str(path))

    def add(self, name: str, row: dict[str, Any], picture: Path) -> None:
        """One report: its numbers, and its grid where there is one."""
        import numpy as np
        from PIL import Image

        for key, value in row.items():
            if isinstance(value, int | float):
                self.writer.add_scalar(f"{name}/{key}", value, row["step"])
        if picture.exists():
            pixels = np.atleast_3d(np.asarray(Image.open(picture)))
            self.writer.add_image(name, pixels, row["step"], dataformats="HWC")
        self.writer.flush()


def board(folder: Folder, wanted: bool) -> Board | None:
    """A board, or None with a line that says why."""
    if wanted and importlib.util.find_spec("tensorboard") is None:
        print(
            "tensorboard: not installed, so nothing is written for it (pip install 'odegan[tensorboard]')",
            file=sys.stderr,
        )
        return None
    if not wanted:
        return None
    found = Board(folder.path / "tensorboard")
    for file in (folder.path / "tensorboard").iterdir():
        folder.own(f"tensorboard/{file.name}")
    return found
