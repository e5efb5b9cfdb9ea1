"""One preset under several solvers, step sizes and penalties, each with the same number of field evaluations."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch

from experiments.framework.folder import Folder, Row, file_name
from experiments.images import comparison_figures as figures
from experiments.images.compare_options import Compare
from experiments.images.equipment import Equipment, equip
from experiments.images.integration import begin, refuse
from experiments.images.monitor import counted
from experiments.images.preset import Preset
from experiments.images.sampling import sampler
from experiments.images.scores import Scorer, label, loss
from experiments.images.solvers import OPTIMIZERS
from experiments.images.training import TrainingRun, train

Runs = Mapping[str, Sequence[TrainingRun]]  # by setting, of each seed
TRAINED = 0.1  # of the untrained generator's FID, below which a run has trained, unless said otherwise
Cell = float | tuple[float, float]


def compare(options: Compare, folder: Folder) -> list[Row]:
    """Train every variant, and return a row for each; with --resume, finished runs are not trained again."""
    presets = options.variants()
    equipment = equip(options, options.resolved(), folder)
    for preset in presets.values():
        # All before the first training: an error in the last variant should not come after hours.
        refuse(preset, equipment, options.seed)
    seeds = range(options.seed, options.seed + options.seeds)
    runs = {
        title: [train(preset, equipment, folder, name=f"{file_name(title)}_seed{seed}", seed=seed) for seed in seeds]
        for title, preset in presets.items()
    }
    if equipment.scorer is None:
        return []
    scorer = equipment.scorer
    floors = {metric: scorer.floor(metric) for metric in scorer.names}
    folder.facts |= {f"{label(metric)} of real halves": floor for metric, floor in floors.items() if floor is not None}
    for metric in scorer.names:
        for axis, figure in figures.over(runs, metric, floors[metric]).items():
            folder.save(figure, f"{metric}_over_{axis}")
        if len(options.step_sizes) > 1:
            folder.save(figures.over_step_size(runs, metric), f"{metric}_over_step_size")
    if len(runs) <= figures.MANY:
        folder.save(figures.samples(runs, options.grid), "samples")
    times = options.compared_at()
    if "fid" in scorer.names:
        below = trained_below(options, equipment, folder)
        folder.tables["The largest step that trains"] = largest_steps(runs, below)
    return [row(of_seeds, scorer, times) for of_seeds in runs.values()]


def row(runs: Sequence[TrainingRun], scorer: Scorer, times: Sequence[float]) -> Row:
    """Scores at the end, the best with the evaluations at which they were reached, and at equal times: means and standard
    deviations over the seeds; nan where one diverged."""
    preset = runs[0].preset
    found: Row = {}
    for metric in scorer.names:
        found[metric] = over_seeds([end(run, metric) for run in runs])
        values, at = zip(*(best(run, metric) for run in runs), strict=True)
        found |= {f"best {metric}": over_seeds(values), f"evaluations at best {metric}": over_seeds(at)}
        # An optimizer's steps do not measure time, so it has no score at a time.
        timed = runs if preset.solver not in OPTIMIZERS else []
        found |= {f"{metric} at t = {t:g}": over_seeds([at_time(run, metric, t) for run in timed]) for t in times}
    return {
        "solver": preset.solver,
        "step size": steps_of(preset),
        "penalty": " ".join(preset.penalty) or "none",
        "steps": preset.steps,
        "field evaluations": max(run.solution.stats["nfe"] for run in runs),
        "seeds": len(runs),
        **found,
        "t": preset.time(preset.steps),
        "seconds": sum(run.monitor.seconds for run in runs) / len(runs),
        "diverged": sum(run.diverged for run in runs),
    }


def steps_of(preset: Preset) -> str:
    """The step sizes as text, separated by commas."""
    return ", ".join(f"{h:g}" for h in preset.step_size)


def over_seeds(values: Sequence[float]) -> Cell:
    """Mean and standard deviation; of one seed its value, of none nan."""
    if not values:
        return math.nan
    found = torch.tensor(values, dtype=torch.float64)
    return (found.mean().item(), found.std().item()) if len(values) > 1 else found.item()


def end(run: TrainingRun, metric: str) -> float:
    """The last score; nan of a run that diverged."""
    return math.nan if run.diverged else float(run.reports[-1].scores[metric]["value"])


def best(run: TrainingRun, metric: str) -> tuple[float, float]:
    """The best of the scores that can be compared and the field evaluations at which it was reached, also of a run that
    diverged later; nan where there is none."""
    values = [(float(report.scores[metric]["value"]), float(report.evaluations)) for report in counted(run.reports)]
    return min(values, key=lambda value: loss(metric, value[0]), default=(math.nan, math.nan))


def at_time(run: TrainingRun, metric: str, t: float) -> float:
    """The score at time t, interpolated linearly between the two reports around it; nan if there are none.

    A horizon that rounding has shortened counts as reached.
    """
    points = [(report.t, report.scores[metric]["value"]) for report in counted(run.reports)]
    for (before, low), (after, high) in pairwise(points):
        if before <= t <= after + 1e-9 * t:
            return float(low + (high - low) * min(1.0, (t - before) / (after - before)))
    return math.nan


def trained_below(options: Compare, equipment: Equipment, folder: Folder) -> float:
    """The FID below which a run counts as trained; a fact of the run."""
    assert equipment.scorer is not None
    preset = options.resolved()
    game, start = begin(preset, options.seed, equipment.device)
    untrained = equipment.scorer(sampler(game, start, preset), options.seed)["fid"]["value"]
    below = TRAINED * untrained if options.trained_below is None else options.trained_below
    folder.facts |= {"FID of the untrained generator": untrained, "FID below which a run has trained": below}
    return below


def largest_steps(runs: Runs, below: float) -> list[Row]:
    """For each solver and penalty the largest step with which every seed trains, and the step of the lowest FID at the end."""
    kinds: dict[tuple[str, str], list[Sequence[TrainingRun]]] = {}
    for of_seeds in runs.values():
        preset = of_seeds[0].preset
        kinds.setdefault((preset.solver, " ".join(preset.penalty) or "none"), []).append(of_seeds)
    return [{"solver": solver, "penalty": penalty} | _steps(found, below) for (solver, penalty), found in kinds.items()]


def _steps(settings: Sequence[Sequence[TrainingRun]], below: float) -> Row:
    """The cells of one solver with one penalty."""
    worst = {max(runs[0].preset.step_size): [end(run, "fid") for run in runs] for runs in settings}
    # nan compares as false, so a diverged seed counts as one that does not train.
    trains = [h for h, values in worst.items() if all(value < below for value in values)]
    means = {h: sum(values) / len(values) for h, values in worst.items()}
    finite = {h: mean for h, mean in means.items() if math.isfinite(mean)}
    lowest = min(finite, key=lambda h: finite[h]) if finite else None
    return {
        "largest step that trains": max(trains, default=None),
        "largest step tried": max(worst),
        "step of the lowest FID": lowest,
        "FID at the end": None if lowest is None else over_seeds(worst[lowest]),
    }
