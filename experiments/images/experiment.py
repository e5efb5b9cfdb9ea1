"""Image GANs trained by ODE solvers: the published networks and settings as presets, scores, samples.

train trains a preset, compare trains it under several solvers at equal cost; evaluate, sample and interpolate read a
checkpoint; presets lists the presets.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any

import torch
from einops import rearrange, repeat
from tyro.conf import subcommand

from experiments.framework import processes, runner
from experiments.framework.command_line import called
from experiments.framework.endings import WRONG_OPTION, Diverged
from experiments.framework.folder import Folder, Row
from experiments.framework.options import Options
from experiments.images import figures, listing, pictures, training
from experiments.images.board import make_boards
from experiments.images.checkpoint_options import Evaluate, Interpolate, OfCheckpoint, Sample
from experiments.images.checkpoints import TrainingCheckpoint
from experiments.images.compare import compare
from experiments.images.compare_options import Compare
from experiments.images.equipment import equip
from experiments.images.ingredients import names_of_classes, open_data, split_of
from experiments.images.integration import refuse
from experiments.images.monitor import Limits, counted
from experiments.images.options import Machine, Train
from experiments.images.sampling import grid, interpolations, of_class, sampler
from experiments.images.scores import RECOGNITION, Score, Scorer, label, loss, values
from experiments.images.training import TrainingRun
from odegan import ArgumentError
from odegan.games.sampling import GameSampler
from odegan.utils.checks import choose


def train(options: Train, folder: Folder) -> list[Row]:
    """One run of one preset."""
    preset = options.resolved()
    equipment = equip(options, preset, folder)
    refuse(preset, equipment, options.seed)
    wanted = {"tensorboard": options.tensorboard, "wandb": options.wandb} if folder.writes else {}
    equipment = replace(equipment, boards=make_boards(folder, wanted))
    run = training.train(
        preset,
        equipment,
        folder,
        name=f"seed{options.seed}",
        seed=options.seed,
        save_every=options.save_every,
        limits=Limits(minutes=options.minutes, patience=options.patience),
    )
    if equipment.scorer is None:
        return []
    pictures.animate(list(training.frames(folder, run).values()), folder.own("figures/over_time.gif"))
    training.save_grid(sampler(run.game, run.y, preset), preset, equipment, folder.own("figures/samples.png"))
    for name, figure in figures.of_run(run, equipment.scorer).items():
        folder.save(figure, name)
    training.export(folder, run)
    rows = [row(run, equipment.scorer, options)]
    folder.facts |= facts(run, equipment.scorer)
    truncated = {} if run.diverged else scores_truncated(run, equipment.scorer, options)
    for a, found in truncated.items():
        folder.log({"run": f"{run.name}, truncation {a:g}", "step": run.monitor.step, "weights": run.weights} | found)
    if truncated:
        folder.tables["Truncated latents"] = [{"truncation": a} | values(found) for a, found in truncated.items()]
    if by_class := recognition_by_class(run, equipment.scorer, truncated):
        folder.tables["Recognition by class"] = by_class
    if run.diverged:
        # Raised last: everything that can be shown of the run has been written.
        raise Diverged(run.ending, rows)
    return rows


def row(run: TrainingRun, scorer: Scorer, options: Train) -> Row:
    """The scores at the end, with the time and memory that they took."""
    memory = {"peak memory, MiB": torch.cuda.max_memory_allocated() / 2**20} if "cuda" in options.device else {}
    return {
        "preset": options.preset,
        "solver": run.preset.solver,
        "steps": run.monitor.step,
        "field evaluations": run.monitor.evaluations,
        **values(run.reports[-1].scores if run.reports and not run.diverged else scorer.nothing()),
        "steps a second": run.monitor.step / max(run.monitor.seconds, 1e-9),
        **memory,
        **({} if run.weights == run.preset.scored else {"weights": run.weights}),  # of an average that never began
        "diverged": int(run.diverged),
    }


def facts(run: TrainingRun, scorer: Scorer) -> dict[str, float]:
    """Further measurements: the classifier's accuracy, and the scores of real halves and of other parameters."""
    found = {} if scorer.classifier is None else {"classifier, right on held-out images": scorer.classifier.accuracy}
    found |= {
        f"{label(name)} of real halves": floor for name in scorer.names if (floor := scorer.floor(name)) is not None
    }
    if run.diverged or not run.reports:
        return found
    last = run.reports[-1]
    for weights, scores in last.others.items():
        found |= {f"{label(metric)} of {weights} parameters": value for metric, value in values(scores).items()}
    if scorer.names:
        name = scorer.names[0]
        best = min(counted(run.reports), key=lambda report: loss(name, report.scores[name]["value"]))
        found |= {f"best {label(name)}": best.scores[name]["value"], "evaluations of the best": best.evaluations}
    return found


def scores_truncated(run: TrainingRun, scorer: Scorer, options: Train) -> dict[float, dict[str, Score]]:
    """By truncation of the latents, the scores of the parameters that the run scored."""
    return {a: scorer(sampler(run.game, run.y, run.preset, truncation=a), options.seed) for a in options.truncations}


def recognition_by_class(run: TrainingRun, scorer: Scorer, truncated: Mapping[float, Mapping[str, Score]]) -> list[Row]:
    """One row per class: the share of recognized samples, for all scored parameters and truncations, and of real images."""
    if run.diverged or not run.reports or RECOGNITION not in scorer.names:
        return []
    assert scorer.classifier is not None
    last = run.reports[-1]
    shares = {weights: scores[RECOGNITION]["per_class"] for weights, scores in last.others.items()}
    columns = {run.weights: last.scores[RECOGNITION]["per_class"]}
    columns |= {f"truncated to {a:g}": scores[RECOGNITION]["per_class"] for a, scores in truncated.items()} | shares
    columns |= {"real, held-out images": scorer.classifier.per_class}
    names = names_of_classes(run.preset)
    return [{"class": name} | {key: shares[i] for key, shares in columns.items()} for i, name in enumerate(names)]


def evaluate(options: Evaluate, folder: Folder) -> list[Row]:
    """Scores of a checkpoint's generator."""
    trained, draw = sampler_of(options)
    preset = options.preset(trained.preset)
    data = open_data(preset, preset.reference)
    scorer = Scorer(preset, data, options.cache, options.device, options.progress, quick=options.quick)
    scores = scorer(draw, options.seed)
    weights = trained.weights(options.average)
    named = {"checkpoint": str(options.checkpoint), "weights": weights, "step": trained.step, "split": split_of(data)}
    named |= {} if options.truncation is None else {"truncation": options.truncation}
    folder.log({"run": "evaluate", "t": trained.t} | named | scores)
    shown = {f"{name} std": score["std"] for name, score in scores.items() if "std" in score}
    settings = {"samples": preset.samples, "extractor": scorer.extractor.name} if scorer.extractor else {}
    return [named | values(scores) | shown | settings]


def sample(options: Sample, folder: Folder) -> list[Row]:
    """Images of a checkpoint's generator."""
    trained, draw = sampler_of(options)
    shown = grid(draw, trained.preset, options.n, options.seed)
    images = (
        shown.images
        if options.label is None
        else of_class(draw, trained.preset, options.n, options.seed, options.label)
    )
    if options.separate:
        for i, image in enumerate(images):
            pictures.save(image[None], folder.own(f"figures/sample_{i:05d}.png"))
    else:
        pictures.save(images, folder.own("figures/samples.png"), shown.columns if options.label is None else None)
    weights = trained.weights(options.average)
    return [{"checkpoint": str(options.checkpoint), "weights": weights, "step": trained.step, "images": len(images)}]


def interpolate(options: Interpolate, folder: Folder) -> list[Row]:
    """Images between pairs of latents of a checkpoint's generator."""
    trained, draw = sampler_of(options)
    ends = draw.latents(2 * options.rows, options.seed)
    latents = interpolations(ends[: options.rows], ends[options.rows :], options.columns)
    labels = None if trained.preset.classes is None else torch.arange(options.rows) % trained.preset.classes
    images = draw.images(
        rearrange(latents, "row column d -> (row column) d"),
        None if labels is None else repeat(labels, "row -> (row column)", column=options.columns),
    )
    pictures.save(images, folder.own("figures/interpolation.png"), columns=options.columns)
    weights = trained.weights(options.average)
    return [{"checkpoint": str(options.checkpoint), "weights": weights, "step": trained.step, "rows": options.rows}]


def sampler_of(options: OfCheckpoint) -> tuple[TrainingCheckpoint, GameSampler]:
    """A checkpoint, and a sampler of its generator."""
    trained = options.trained()
    return trained, sampler(trained.game, trained.state(options.average), trained.preset, options.truncation)


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


LISTING = "presets"


def _check_command(arguments: Sequence[str]) -> None:
    """Refuse anything but a command, or an option such as --help, as the first word."""
    names = [*(command.__name__.lower() for command in COMMANDS), LISTING]
    if not arguments or not arguments[0].startswith("-"):
        choose("command", arguments[0] if arguments else None, names)


def run(options: Options, folder: Folder) -> list[Row]:
    """The command whose options these are."""
    if isinstance(options, Machine) and options.threads is not None:
        torch.set_num_threads(options.threads)
    return COMMANDS[type(options)](options, folder)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the experiment from the command line; return the exit code."""
    arguments = sys.argv[1:] if argv is None else argv
    # Not a subcommand of tyro: a list has no output folder, and none of the options of a run.
    if arguments[:1] == [LISTING]:
        return listing.main(arguments[1:])
    try:
        _check_command(arguments)
    except ArgumentError as error:
        print(f"{called('experiments.images')}: {error}", file=sys.stderr)
        return WRONG_OPTION
    # Under torchrun every process trains, and the first alone writes.
    with processes.group() as rank:
        return runner.main(Command, run, arguments, writes=rank == 0)  # type: ignore[arg-type]


if __name__ == "__main__":
    sys.exit(main())
