"""One preset under several solvers, each with the same number of field evaluations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch

from experiments.framework.folder import Folder, Row
from experiments.framework.solver_options import evaluations_per_step
from experiments.images import figures
from experiments.images.equipment import equip
from experiments.images.options import Compare
from experiments.images.preset import Preset, changed
from experiments.images.solvers import with_solver
from experiments.images.training import TrainingRun, refuse, train
from odegan import solvers
from odegan.utils.checks import argument_error


def variant(preset: Preset, text: str, evaluations: int | None, reports: int) -> Preset:
    """The preset with the solver NAME or NAME@STEP_SIZE, as long as its field evaluations pay for.

    The exponential average spans as many evaluations as the preset's own. ``evaluations`` None: those of the preset.

    >>> from experiments.images.presets import get
    >>> variant(get("digits"), "rk4_classic", None, 10).steps
    1500
    """
    name, _, size = text.partition("@")
    if solvers.get(name).adaptive:
        argument_error("solvers", name, "fixed-step solvers, whose evaluations can be counted beforehand")
    own = evaluations_per_step(preset.keywords())
    new = with_solver(preset, name)
    if size:
        try:
            new = changed(new, {"step_size": (float(size),)})
        except ValueError:
            argument_error("solvers", text, "NAME or NAME@STEP_SIZE")
    each = evaluations_per_step(new.keywords())
    steps = max(1, (evaluations or preset.steps * own) // each)
    decay = max(0.0, 1 - (1 - preset.decay) * each / own)
    return replace(new, steps=steps, every=math.ceil(steps / reports), decay=decay, averages=preset.averages[:1])


def compare(options: Compare, folder: Folder) -> list[Row]:
    """Train them all, and return a row for each."""
    base = options.resolved()
    presets = {text: variant(base, text, options.evaluations, options.reports) for text in options.solvers}
    equipment = equip(options, base, folder)
    for preset in presets.values():
        refuse(preset, equipment)
    runs: dict[str, list[TrainingRun]] = {}
    for text, preset in presets.items():
        seeds = range(options.seed, options.seed + options.seeds)
        names = {seed: f"{text.replace('@', '_')}_seed{seed}" for seed in seeds}
        runs[text] = [train(preset, equipment, folder, name=name, seed=seed) for seed, name in names.items()]
    if equipment.scorer is None:
        return []
    for metric in equipment.scorer.names:
        figure = figures.compared(runs, metric, equipment.scorer.floor(metric))
        folder.save(figure, f"{metric}_over_evaluations")
    folder.save(figures.samples(runs, options.grid), "samples")
    return [row(seeds, equipment.scorer.names) for seeds in runs.values()]


def row(runs: Sequence[TrainingRun], metrics: Sequence[str]) -> Row:
    """Scores at the end, mean and standard deviation over the seeds; nan where one of them diverged."""
    preset = runs[0].preset
    ends: Row = {}
    for metric in metrics:
        last = [math.nan if run.diverged else run.reports[-1].scores[metric]["value"] for run in runs]
        values = torch.tensor(last, dtype=torch.float64)
        ends[metric] = (values.mean().item(), values.std().item()) if len(runs) > 1 else values.item()
    return {
        "solver": preset.solver,
        "step size": ", ".join(f"{h:g}" for h in preset.step_size),
        "penalty": " ".join(preset.penalty),
        "steps": preset.steps,
        "field evaluations": max(run.solution.stats["nfe"] for run in runs),
        "seeds": len(runs),
        **ends,
        "seconds": sum(run.monitor.seconds for run in runs) / len(runs),
        "diverged": sum(run.diverged for run in runs),
    }
