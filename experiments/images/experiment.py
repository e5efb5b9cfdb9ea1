"""Image GANs trained by ODE solvers: the published networks and settings as presets, scores, samples.

train trains a preset, compare trains it under several solvers at equal cost; evaluate, sample and interpolate read a
checkpoint.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import torch
from tyro.conf import subcommand

from experiments.framework import processes, runner
from experiments.framework.runner import Folder, Options
from experiments.images import pictures, training
from experiments.images.compare import compare
from experiments.images.options import Compare, Evaluate, Interpolate, Machine, Sample, Train
from experiments.images.presets import changed
from experiments.images.run import Trained, load, open_data, split_of
from experiments.images.sampling import interpolations, sampler
from experiments.images.scores import Scorer, label, values
from odegan import plots
from odegan.games.sampling import GameSampler

Rows = list[dict[str, Any]]


def train(options: Train, folder: Folder) -> Rows:
    """One run of one preset."""
    preset = options.resolved()
    data = open_data(preset)
    scorer = Scorer.of(preset, data, options, folder)
    training.refuse(preset, data, options.device, options.for_game(), options.for_run())
    name = f"seed{options.seed}"
    outcome = training.train(
        preset,
        folder,
        name=name,
        seed=options.seed,
        scorer=scorer,
        data=data,
        device=options.device,
        grid=options.grid,
        save_every=options.save_every,
        progress=options.progress,
        for_game=options.for_game(),
        for_run=options.for_run(),
        board=training.board(folder, options.tensorboard and folder.writes),
    )
    if scorer is None:
        return []
    drawn = training.frames(folder, outcome, name)
    pictures.animate(drawn, folder.own("figures/over_time.gif"))
    draw = sampler(outcome.game, outcome.y, preset)
    pictures.save(draw(options.grid, training.GRID_SEED), folder.own("figures/samples.png"))
    reports = outcome.monitor.reports
    evaluations = [report.evaluations for report in reports]
    if len(reports) > 1:
        losses = {
            name: (evaluations, [report.losses[i] for report in reports])
            for i, name in enumerate(("discriminator", "generator"))
        }
        folder.save(plots.curves(losses, "field evaluations", "loss of one minibatch"), "losses")
        for metric in scorer.names:
            line = {preset.scored: (evaluations, [report.scores[metric]["value"] for report in reports])}
            folder.save(plots.curves(line, "field evaluations", label(metric), log=metric == "fid"), metric)
    training.export(folder, outcome)
    memory = {"peak memory, MiB": torch.cuda.max_memory_allocated() / 2**20} if "cuda" in options.device else {}
    scores = values(reports[-1].scores if reports else scorer.nothing())
    return [
        {
            "preset": options.preset,
            "solver": preset.solver,
            "steps": outcome.monitor.step,
            "field evaluations": outcome.monitor.evaluations,
            **scores,
            "steps a second": outcome.monitor.step / max(outcome.monitor.seconds, 1e-9),
            **memory,
            "diverged": int(outcome.diverged),
        }
    ]


def evaluate(options: Evaluate, folder: Folder) -> Rows:
    """Scores of a checkpoint's generator."""
    trained, draw = _sampler(options)
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


def sample(options: Sample, folder: Folder) -> Rows:
    """Images of a checkpoint's generator."""
    trained, draw = _sampler(options)
    images = draw(options.n, options.seed)
    if options.separate:
        for i, image in enumerate(images):
            pictures.save(image[None], folder.own(f"figures/sample_{i:05d}.png"))
    else:
        pictures.save(images, folder.own("figures/samples.png"))
    weights = options.average or trained.preset.scored
    return [{"checkpoint": str(options.checkpoint), "weights": weights, "step": trained.step, "images": len(images)}]


def interpolate(options: Interpolate, folder: Folder) -> Rows:
    """Images between pairs of latents of a checkpoint's generator."""
    trained, draw = _sampler(options)
    ends = draw.latents(2 * options.rows, options.seed)
    latents = interpolations(ends[: options.rows], ends[options.rows :], options.columns)
    images = draw.images(latents.flatten(0, 1))
    pictures.save(images, folder.own("figures/interpolation.png"), columns=options.columns)
    weights = options.average or trained.preset.scored
    return [{"checkpoint": str(options.checkpoint), "weights": weights, "step": trained.step, "rows": options.rows}]


def _sampler(options: Any) -> tuple[Trained, GameSampler]:
    trained = load(options.checkpoint, options.device)
    return trained, sampler(trained.game, trained.state(options.average), trained.preset)


COMMANDS: Mapping[type[Options], Callable[[Any, Folder], Rows]] = {
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


def run(options: Options, folder: Folder) -> Rows:
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
