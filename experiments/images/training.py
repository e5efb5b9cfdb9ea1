"""Training of one preset with one seed: scores and sample grids along the way, an export at the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from experiments.framework.folder import Folder
from experiments.images import pictures
from experiments.images.checkpoints import keep_best
from experiments.images.equipment import Equipment
from experiments.images.integration import begin, integrate
from experiments.images.monitor import Limits, Monitor, Report
from experiments.images.preset import RAW, Preset
from experiments.images.sampling import grid, sampler
from experiments.images.scores import Score, values
from odegan import ExponentialAverage, Solution, UniformAverage
from odegan.games.network import NetworkGame
from odegan.games.sampling import GameSampler
from odegan.training.state import State
from odegan.utils import checkpoint

NO_LIMITS = Limits()
GRID_SEED = 0  # of the latents shown over time
Average = ExponentialAverage | UniformAverage


@dataclass(frozen=True)
class TrainingRun:
    """A run that has ended, with the game that draws its samples; y (P,): the parameters that were scored, and their name."""

    name: str
    preset: Preset
    game: NetworkGame
    solution: Solution
    y: torch.Tensor
    weights: str
    monitor: Monitor

    @property
    def diverged(self) -> bool:
        """Whether it ended in numbers that are not finite."""
        return self.solution.stats["stopped_at"] is not None

    @property
    def ending(self) -> str:
        """Why a run that diverged ended."""
        return f"diverged: {self.preset.solver}, {self.solution.message}; a smaller --step-size may help"

    @property
    def reports(self) -> Sequence[Report]:
        """The reports of the run, in order."""
        return self.monitor.reports


def make_averages(preset: Preset) -> dict[str, Average]:
    """The callbacks that average parameters, by name."""
    known: dict[str, Average] = {
        "exponential": ExponentialAverage(preset.decay),
        "uniform": UniformAverage(preset.time(preset.uniform_from)),
    }
    return {name: known[name] for name in preset.averages}


def train(
    preset: Preset,
    equipment: Equipment,
    folder: Folder,
    *,
    name: str,
    seed: int,
    save_every: int | None = None,
    limits: Limits = NO_LIMITS,
) -> TrainingRun:
    """Train, or resume from the checkpoint of that name in the folder.

    Args:
        preset: networks, data, solver and lengths.
        equipment: data, device, scorer and displays.
        folder: for metrics, sample grids (samples/NAME/) and the checkpoint.
        name: of this run in the folder.
        seed: of everything random.
        save_every: steps between checkpoints; None: as between scores.
        limits: limits that end the run before its last step.
    """
    game, start = begin(preset, seed, equipment.device, **equipment.for_game)
    averages = make_averages(preset)
    scored = averages.get(preset.scored)

    def parameters(state: State | Solution) -> dict[str, torch.Tensor]:
        raw = {RAW: state.y}
        # The scored ones first, as the monitor expects; before an average begins, the parameters themselves are scored.
        return raw if scored is None or scored.y is None else {preset.scored: scored.y} | raw

    def score(y: torch.Tensor, step: int, first: bool) -> dict[str, Score]:
        frame = frame_path(folder, name, step) if first else None
        return draw_and_score(preset, game, y, equipment, frame, seed)

    def tell(report: Report) -> None:
        log(report, preset, equipment, folder, name, seed)

    def keep(state: State) -> None:
        if folder.writes:
            keep_best(folder.checkpoint(f"{name}_best"), state, [*averages.values(), monitor])

    monitor = Monitor(preset, parameters, score, tell, keep, limits)
    path = folder.checkpoint(name)
    # Not when resuming: the grid of the start is there already.
    if folder.writes and not path.exists():
        save_grid(sampler(game, start, preset), preset, equipment, frame_path(folder, name, 0))
    solution = integrate(
        preset,
        equipment,
        game,
        start,
        seed,
        callback=[*averages.values(), monitor],
        checkpoint=path,
        checkpoint_every=save_every or preset.every,
        progress=name if equipment.progress else False,
    )
    weights, y = next(iter(parameters(solution).items()))
    return TrainingRun(name, preset, game, solution, y, weights, monitor)


def save_grid(draw: GameSampler, preset: Preset, equipment: Equipment, path: Path) -> None:
    """Write the images of a generator that are shown over time."""
    shown = grid(draw, preset, equipment.grid, GRID_SEED)
    pictures.save(shown.images, path, shown.columns, equipment.quick)


def draw_and_score(
    preset: Preset, game: NetworkGame, y: torch.Tensor, equipment: Equipment, frame: Path | None, seed: int
) -> dict[str, Score]:
    """Score the generator in y (P,), and write its sample grid if there is a path; nothing where another process does."""
    if equipment.scorer is None:
        return {}
    if not y.isfinite().all():
        return equipment.scorer.nothing()
    draw = sampler(game, y, preset)
    if frame is not None:
        save_grid(draw, preset, equipment, frame)
    return equipment.scorer(draw, seed)


def log(report: Report, preset: Preset, equipment: Equipment, folder: Folder, name: str, seed: int) -> None:
    """Write a report to the folder, and to the boards."""
    disc, gen = report.losses
    numbers = {
        "step": report.step,
        "t": report.t,
        "evaluations": report.evaluations,
        "loss_disc": disc,
        "loss_gen": gen,
    }
    weights = report.weights(preset)
    folder.log({"run": name, "seed": seed, "weights": weights} | numbers | report.scores | report.others)
    # A board draws a line for each name, which must not go from the parameters themselves to their average.
    named = {
        metric if one == preset.scored else f"{metric} of {one}": value
        for one, scores in ({weights: report.scores} | report.others).items()
        for metric, value in values(scores).items()
    }
    for board in equipment.boards:
        board.add(name, numbers | named, frame_path(folder, name, report.step))


def frame_path(folder: Folder, name: str, step: int) -> Path:
    """The path of the sample grid of a step."""
    return folder.own(f"samples/{name}/{step:08d}.png")


def frames(folder: Folder, run: TrainingRun) -> dict[int, Path]:
    """The sample grids of a run by the field evaluations before them, in order."""
    moments = {0: 0} | {report.step: report.evaluations for report in run.reports}
    paths = {evaluations: frame_path(folder, run.name, step) for step, evaluations in moments.items()}
    return {evaluations: path for evaluations, path in paths.items() if path.exists()}


def export(folder: Folder, run: TrainingRun) -> Path:
    """Write the generator as a state dict, BatchNorm statistics estimated for its parameters, beside the preset."""
    generator = sampler(run.game, run.y, run.preset).generator
    assert generator is not None
    path = folder.own("generator.pt")
    # On the CPU, so that the file loads on machines without this device.
    state = {key: value.cpu() for key, value in generator.state_dict().items()}
    checkpoint.save(path, {"preset": asdict(run.preset), "weights": run.weights, "generator": state})
    return path
