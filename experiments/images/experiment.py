"""Image GANs trained by ODE solvers: the published networks and settings as presets, scores, samples.

train trains a preset, compare trains it under several solvers at equal cost; evaluate, sample and interpolate read a
checkpoint.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any

import torch
from einops import rearrange
from tyro.conf import subcommand

from experiments.framework import processes, runner
from experiments.framework.endings import Diverged
from experiments.framework.folder import Folder, Row
from experiments.framework.options import Options
from experiments.images import figures, pictures, training
from experiments.images.board import make_board
from experiments.images.checkpoints import TrainingCheckpoint, load
from experiments.images.compare import compare
from experiments.images.equipment import equip
from experiments.images.ingredients import open_data, split_of
from experiments.images.options import Compare, Evaluate, Interpolate, Machine, OfCheckpoint, Sample, Train
from experiments.images.preset import changed
from experiments.images.sampling import interpolations, sampler
from experiments.images.scores import Scorer, values
from experiments.images.training import TrainingRun, refuse
from odegan.games.sampling import GameSampler


def train(options: Train, folder: Folder) -> list[Row]:
    """One run of one preset."""
    preset = options.resolved()
    equipment = equip(options, preset, folder)
    refuse(preset, equipment)
    equipment = replace(equipment, board=make_board(folder, options.tensorboard and folder.writes))
    run = training.train(
        preset, equipment, folder, name=f"seed{options.seed}", seed=options.seed, save_every=options.save_every
    )
    if equipment.scorer is None:
        return []
    pictures.animate(list(training.frames(folder, run).values()), folder.own("figures/over_time.gif"))
    grid = sampler(run.game, run.y, preset)(options.grid, training.GRID_SEED)
    pictures.save(grid, folder.own("figures/samples.png"))
    for name, figure in figures.of_run(run, equipment.scorer).items():
        folder.save(figure, name)
    training.export(folder, run)
    rows = [row(run, equipment.scorer, options)]
    if run.diverged:
        raise Diverged(run.ending, rows)
    return rows


def row(run: TrainingRun, scorer: Scorer, options: Train) -> Row:
    """The scores at the end, and what they took."""
    memory = {"peak memory, MiB": torch.cuda.max_memory_allocated() / 2**20} if "cuda" in options.device else {}
    return {
        "preset": options.preset,
        "solver": run.preset.solver,
        "steps": run.monitor.step,
        "field evaluations": run.monitor.evaluations,
        **values(run.reports[-1].scores if run.reports and not run.diverged else scorer.nothing()),
        "steps a second": run.monitor.step / max(run.monitor.seconds, 1e-9),
        **memory,
        "diverged": int(run.diverged),
    }


def evaluate(options: Evaluate, folder: Folder) -> list[Row]:
    """Scores of a checkpoint's generator."""
    trained, draw = sampler_of(options)
    names = ("data", "metrics", "extractor", "samples")
    preset = changed(trained.preset, {name: getattr(options, name) for name in names})
    data = open_data(preset, options.split)
    scorer = Scorer(preset, data, options.cache, options.device, options.progress)
    scores = scorer(draw, options.seed)
    weights = options.average or preset.scored
    named = {"checkpoint": str(options.checkpoint), "weights": weights, "step": trained.step, "split": split_of(data)}
    folder.log({"run": "evaluate", "t": trained.t} | named | scores)
    shown = {f"{name} std": score["std"] for name, score in scores.items() if "std" in score}
    settings = {"samples": preset.samples, "extractor": scorer.extractor.name} if scorer.extractor else {}
    return [named | values(scores) | shown | settings]


def sample(options: Sample, folder: Folder) -> list[Row]:
    """Images of a checkpoint's generator."""
    trained, draw = sampler_of(options)
    images = draw(options.n, options.seed)
    if options.separate:
        for i, image in enumerate(images):
            pictures.save(image[None], folder.own(f"figures/sample_{i:05d}.png"))
    else:
        pictures.save(images, folder.own("figures/samples.png"))
    weights = options.average or trained.preset.scored
    return [{"checkpoint": str(options.checkpoint), "weights": weights, "step": trained.step, "images": len(images)}]


def interpolate(options: Interpolate, folder: Folder) -> list[Row]:
    """Images between pairs of latents of a checkpoint's generator."""
    trained, draw = sampler_of(options)
    ends = draw.latents(2 * options.rows, options.seed)
    latents = interpolations(ends[: options.rows], ends[options.rows :], options.columns)
    images = draw.images(rearrange(latents, "row column d -> (row column) d"))
    pictures.save(images, folder.own("figures/interpolation.png"), columns=options.columns)
    weights = options.average or trained.preset.scored
    return [{"checkpoint": str(options.checkpoint), "weights": weights, "step": trained.step, "rows": options.rows}]


def sampler_of(options: OfCheckpoint) -> tuple[TrainingCheckpoint, GameSampler]:
    """A checkpoint and its generator's images."""
    trained = load(options.checkpoint, options.device)
    return trained, sampler(trained.game, trained.state(options.average), trained.preset)


COMMANDS: Mapping[type[Options], Callable[[Any, Folder], list[Row]]] = {
    Train: train,
    Compare: compare,
    Evaluate: evaluate,
    Sample: sample,
    Interpolate: interpolate,
}
Command = (
    Annotated[Train, subcommand("train")]
    | Annotated[Compare, subcommand("compare")]
    | Annotated[Evaluate, subcommand("evaluate")]
    | Annotated[Sample, subcommand("sample")]
    | Annotated[Interpolate, subcommand("interpolate")]
)


def run(options: Options, folder: Folder) -> list[Row]:
    """The command whose options these are."""
    if isinstance(options, Machine) and options.threads is not None:
        torch.set_num_threads(options.threads)
    return COMMANDS[type(options)](options, folder)


def main(argv: Sequence[str] | None = None) -> int:
    """The command line."""
    with processes.group() as rank:
        return runner.main(Command, run, argv, writes=rank == 0)  # type: ignore[arg-type]


if __name__ == "__main__":
    sys.exit(main())
