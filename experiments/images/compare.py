"""One preset under several solvers, each with the same number of field evaluations."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from matplotlib.figure import Figure

from experiments.framework.runner import Folder
from experiments.framework.solver_options import NONE, evaluations_per_step
from experiments.images.options import Compare
from experiments.images.presets import Preset, changed
from experiments.images.run import open_data
from experiments.images.sampling import sampler
from experiments.images.scores import Scorer, label
from experiments.images.training import GRID_SEED, Outcome, refuse, train
from odegan import plots, solvers
from odegan.utils.checks import fail

# What an optimiser takes in the place of the preset's step size, options and penalty.
OPTIMISERS: Mapping[str, Mapping[str, Any]] = {
    "adam": {"step_size": (1e-3,), "option": ("betas=0.5,0.999",), "penalty": (NONE,), "placement": "field"},
    "rmsprop": {"step_size": (1e-3,), "option": ("alpha=0.99",), "penalty": (NONE,), "placement": "field"},
}


def variant(preset: Preset, text: str, evaluations: int | None, reports: int) -> Preset:
    """The preset with the solver NAME or NAME@STEP_SIZE, as long as its field evaluations pay for.

    The exponential average spans as many evaluations as the preset's own. ``evaluations`` None: those of the preset.

    >>> from experiments.presets import get
    >>> variant(get("digits"), "rk4_classic", None, 10).steps
    1500
    """
    name, _, size = text.partition("@")
    facts = solvers.get(name)
    if facts.adaptive:
        fail("solvers", name, "fixed-step solvers, whose evaluations can be counted beforehand")
    own = evaluations_per_step(preset.keywords())
    changes = dict(OPTIMISERS.get(name, {} if name == preset.solver else {"option": ()})) | {"solver": name}
    if size:
        try:
            changes |= {"step_size": (float(size),), "change": ()}
        except ValueError:
            fail("solvers", text, "NAME or NAME@STEP_SIZE")
    new = changed(preset, changes)
    each = evaluations_per_step(new.keywords())
    steps = max(1, (evaluations or preset.steps * own) // each)
    decay = max(0.0, 1 - (1 - preset.decay) * each / own)
    return replace(new, steps=steps, every=math.ceil(steps / reports), decay=decay, averages=preset.averages[:1])


def compare(options: Compare, folder: Folder) -> list[dict[str, Any]]:
    """Train them all, and return a row for each."""
    base = options.resolved()
    presets = {text: variant(base, text, options.evaluations, options.reports) for text in options.solvers}
    data = open_data(base)
    scorer = Scorer.of(base, data, options, folder)
    for preset in presets.values():
        refuse(preset, data, options.device, options.for_game(), options.for_run())
    ended: dict[str, list[Outcome]] = {}
    for text, preset in presets.items():
        ended[text] = [
            train(
                preset,
                folder,
                name=f"{text.replace('@', '_')}_seed{seed}",
                seed=seed,
                scorer=scorer,
                data=data,
                device=options.device,
                grid=options.grid,
                progress=options.progress,
                for_game=options.for_game(),
                for_run=options.for_run(),
            )
            for seed in range(options.seed, options.seed + options.seeds)
        ]
    if scorer is None:
        return []
    for metric in scorer.names:
        folder.save(over_evaluations(ended, metric, scorer.floor(metric)), f"{metric}_over_evaluations")
    folder.save(samples(ended, options.grid), "samples")
    return [row(runs, scorer.names) for runs in ended.values()]


def over_evaluations(ended: Mapping[str, Sequence[Outcome]], metric: str, floor: float | None) -> Figure:
    """A score of each solver over field evaluations: the mean over the seeds, and their range."""
    lines: dict[str, Any] = {}
    bands: dict[str, Any] = {}
    for text, runs in ended.items():
        length = min(len(run.monitor.reports) for run in runs)
        values = torch.tensor([[r.scores[metric]["value"] for r in run.monitor.reports[:length]] for run in runs])
        lines[text] = ([r.evaluations for r in runs[0].monitor.reports[:length]], values.mean(0))
        if len(runs) > 1:
            bands[text] = (values.amin(0), values.amax(0))
    if floor is not None:
        ends = [0, max((max(x, default=0) for x, _ in lines.values()), default=1)]
        lines["real halves"] = (ends, [floor, floor])
    figure = plots.curves(lines, "field evaluations", label(metric), log=metric == "fid", band=bands)
    figure.axes[0].legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    return figure


def samples(ended: Mapping[str, Sequence[Outcome]], count: int) -> Figure:
    """Images of the first seed of each solver, from the same latents."""
    shown = []
    for text, (first, *_) in ended.items():
        title = f"{text} (diverged)" if first.diverged else text
        shown.append((title, sampler(first.game, first.y, first.preset)(count, GRID_SEED).cpu()))
    return plots.image_grid_over_time(shown)


def row(runs: Sequence[Outcome], metrics: Sequence[str]) -> dict[str, Any]:
    """Scores at the end, mean and standard deviation over the seeds; nan where one of them diverged."""
    preset = runs[0].preset
    ends: dict[str, Any] = {}
    for metric in metrics:
        last = [math.nan if run.diverged else run.monitor.reports[-1].scores[metric]["value"] for run in runs]
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
