"""Training of one preset with one seed: scores and sample grids along the way, an export at the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from experiments.framework.endings import finished
from experiments.framework.folder import Folder
from experiments.images import pictures
from experiments.images.board import Board
from experiments.images.checkpoints import keep_best
from experiments.images.ingredients import Images, make_game
from experiments.images.monitor import Limits, Monitor, Report
from experiments.images.preset import RAW, Preset
from experiments.images.sampling import grid, sampler
from experiments.images.scores import Score, Scorer, values
from odegan import ExponentialAverage, Solution, Stepper, UniformAverage, odeint_gan
from odegan.data.minibatches import Minibatches
from odegan.games.network import NetworkGame
from odegan.games.sampling import GameSampler
from odegan.training.arguments import parse
from odegan.training.combinations import check_combination
from odegan.training.state import State
from odegan.utils import checkpoint

NO_LIMITS = Limits()
GRID_SEED = 0  # of the latents shown over time
Average = ExponentialAverage | UniformAverage


@dataclass(frozen=True)
class Equipment:
    """The means of training and measuring, for any preset. None of it changes the result, except for rounding.

    Args:
        data: the images.
        scorer: measures samples; None where another process does.
        device: where to compute.
        grid: images of each sample grid.
        progress: show a bar.
        for_game: further keyword arguments of ``gan``.
        for_run: further keyword arguments of ``odeint_gan``.
        boards: take every report and its grid, too.
        quick: sample grids say that they are of a quick form.
    """

    data: Images
    scorer: Scorer | None
    device: str = "cpu"
    grid: int = 64
    progress: bool = False
    for_game: dict[str, Any] = field(default_factory=dict)
    for_run: dict[str, Any] = field(default_factory=dict)
    boards: Sequence[Board] = ()
    quick: bool = False


@dataclass(frozen=True)
class TrainingRun:
    """A run that has ended, with the game that draws its samples; y (P,): the parameters that were scored."""

    name: str
    preset: Preset
    game: NetworkGame
    solution: Solution
    y: torch.Tensor
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


def refuse(preset: Preset, equipment: Equipment) -> None:
    """Raise ``ArgumentError`` for what ``odeint_gan`` would refuse, before an earlier run in the folder is replaced."""
    game = make_game(preset, **equipment.for_game)
    start = game.init().to(equipment.device)
    workers = equipment.for_run.get("workers", 0)
    known = parse(
        **preset.keywords(), **{name: value for name, value in equipment.for_run.items() if name != "workers"}
    )
    check_combination(known, has_data=True, members=None)
    drawn = (equipment.data, preset.latent, preset.batch_size, 0, start)
    labels = game.conditional
    # Made for its checks alone; the next one draws, without starting workers.
    Minibatches(*drawn, known.ranks, workers, labels)
    prepared = game.prepared(start, Minibatches(*drawn, labels=labels)(0))
    Stepper.from_options(prepared, known).check_divisible(prepared)


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
    game = make_game(preset, **equipment.for_game)
    start = game.init(seed=seed).to(equipment.device)
    averages = make_averages(preset)
    scored = averages.get(preset.scored)

    def parameters(state: State | Solution) -> dict[str, torch.Tensor]:
        raw = {RAW: state.y}
        # The scored ones first, as the monitor expects; before an average begins, the parameters themselves are scored.
        return raw if scored is None or scored.y is None else {preset.scored: scored.y} | raw

    def score(y: torch.Tensor, weights: str, step: int) -> dict[str, Score]:
        frame = frame_path(folder, name, step) if weights == preset.scored else None
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
    solution = odeint_gan(
        game,
        start,
        torch.tensor([0.0, preset.time(preset.steps)], dtype=torch.float64),
        data=equipment.data,
        latent=preset.latent,
        batch_size=preset.batch_size,
        seed=seed,
        callback=[*averages.values(), monitor],
        checkpoint=path,
        checkpoint_every=save_every or preset.every,
        on_nonfinite="stop",
        progress=name if equipment.progress else False,
        **preset.keywords(),
        **equipment.for_run,
    )
    return TrainingRun(name, preset, game, finished(solution), next(iter(parameters(solution).values())), monitor)


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
    folder.log({"run": name, "seed": seed, "weights": preset.scored} | numbers | report.scores | report.others)
    others = {
        f"{metric} of {weights}": value
        for weights, scores in report.others.items()
        for metric, value in values(scores).items()
    }
    for board in equipment.boards:
        board.add(name, numbers | values(report.scores) | others, frame_path(folder, name, report.step))


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
    checkpoint.save(path, {"preset": asdict(run.preset), "weights": run.preset.scored, "generator": state})
    return path
