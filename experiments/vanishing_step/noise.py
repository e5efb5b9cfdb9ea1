"""Mean square deviations of minibatch ensembles against the step, the batch size and the refresh interval."""

from __future__ import annotations

import functools

import torch

from experiments.framework.folder import Folder, Row
from experiments.framework.power_laws import Mean, fit_power_law, mean_ratio
from experiments.vanishing_step.deterministic import noiseless
from experiments.vanishing_step.ensembles import Refresh, deviation, ends, measure
from experiments.vanishing_step.figures import Panel, Series
from experiments.vanishing_step.findings import SQUARE, STEP, Finding, order_of, row
from experiments.vanishing_step.options import VanishingStep
from experiments.vanishing_step.problems import Problem

# Solver -> sum b_i^2 of its weights: how much of the noise is left when every stage has a minibatch of its own.
FRESH_STAGES = {"heun2": 1 / 2, "rk4": 5 / 16, "rk4_classic": 5 / 18}


def against_step_and_batch(problem: Problem, options: VanishingStep, folder: Folder) -> tuple[list[Series], list[Row]]:
    """Euler's deviation against h and against B: (a series for each, rows)."""
    h = [options.time / steps for steps in options.noise_counts]
    over_h = [measure(problem, "euler", steps, options.batch_size, options, folder) for steps in options.noise_counts]
    sizes = options.batch_sizes
    over_b = [measure(problem, "euler", options.noise_steps, size, options, folder) for size in sizes]
    series = []
    rows = []
    for name, theory, x, y in (("h", 1, h, over_h), ("B", -1, sizes, over_b)):
        line = fit_power_law(x, y)
        series.append(Series(f"{problem.name}: slope {line.slope:.3f}", x, y, line.curve))
        rows.append(row(problem.name, f"{SQUARE}: slope in {name}", "euler", theory, Mean(line.slope, line.error), x))
    return series, rows


def fresh_stages(problem: Problem, options: VanishingStep, folder: Folder) -> Finding:
    """A minibatch for every stage of a step, against one for every step."""
    h = [options.time / steps for steps in options.noise_counts]
    series = []
    rows = []
    kinds: dict[str, Refresh] = {"step": None, "stage": "stage"}
    for solver, theory in FRESH_STAGES.items():
        pair = {}
        for kind, refresh in kinds.items():
            pair[kind] = [
                measure(problem, solver, steps, options.batch_size, options, folder, refresh)
                for steps in options.noise_counts
            ]
            line = fit_power_law(h, pair[kind])
            series.append(Series(f"{solver}, every {kind}: slope {line.slope:.3f}", h, pair[kind], line.curve))
        ratio = mean_ratio(pair["stage"], pair["step"])
        rows.append(row(problem.name, f"{SQUARE}: fresh every stage / every step", solver, theory, ratio, h))
    return Finding(Panel("fresh minibatches every step or stage", STEP, SQUARE, series), rows)


def fixed_refresh(problem: Problem, options: VanishingStep, folder: Folder) -> Finding:
    """Euler's method with fresh minibatches at the times of its longest step, whatever the step: the noise stays."""
    h = [options.time / steps for steps in options.noise_counts]
    series = []
    rows = []
    for name, refresh, theory in (("every step", None, 1), (f"every {h[0]:.4g}", h[0], 0)):
        found = [
            measure(problem, "euler", n, options.batch_size, options, folder, refresh) for n in options.noise_counts
        ]
        line = fit_power_law(h, found)
        series.append(Series(f"{name}: slope {line.slope:.3f}", h, found, line.curve))
        # Refreshed every step, the slope is already a row of ``against_step_and_batch``.
        if refresh is not None:
            what = f"{SQUARE}, minibatches {name}: slope in h"
            rows.append(row(problem.name, what, "euler", theory, Mean(line.slope, line.error), h))
    return Finding(Panel("Euler, fresh minibatches every step or at fixed times", STEP, SQUARE, series), rows)


def from_the_flow(problem: Problem, flow: torch.Tensor, options: VanishingStep, folder: Folder) -> Finding:
    """Mean square distance to the flow at T, beside C1 h / B + C2 h^(2p) with the constants of the two parts alone."""
    size = options.large_batch
    h = [options.time / steps for steps in options.noise_counts]
    series = []
    rows = []
    for solver in ("euler", "heun2"):
        power = 2 * order_of(solver)
        total, c1, c2 = distance_and_constants(problem, solver, flow[-1], options, folder)
        law = functools.partial(two_parts, noise=c1 / size, bias=c2, power=power)
        ratio = mean_ratio(total, [Mean(float(law(torch.tensor(x))), 0.0) for x in h])
        rows.append(row(problem.name, f"distance² to the flow / (C1 h/B + C2 h^{power})", solver, 1, ratio, h))
        series.append(Series(f"{solver}: {c1:.2g} h/B + {c2:.2g} h^{power}", h, total, law))
        about = {"run": f"{problem.name}, {solver}, from the flow", "C1": c1, "C2": c2}
        folder.log(about | {"distance": [t.value for t in total]})
    return Finding(Panel(f"{problem.name}, B = {size}", STEP, "mean square distance to the flow", series), rows)


def two_parts(h: torch.Tensor, noise: float, bias: float, power: int) -> torch.Tensor:
    """noise h + bias h^power."""
    return noise * h + bias * h**power


def distance_and_constants(
    problem: Problem, solver: str, end: torch.Tensor, options: VanishingStep, folder: Folder
) -> tuple[list[Mean], float, float]:
    """(mean square distance from the flow's end for every step, C1 from the noise alone, C2 from the finest step alone)."""
    counts = options.noise_counts
    size = options.large_batch
    found = [ends(problem, solver, steps, size, options, folder) for steps in counts]
    last = [noiseless(problem, solver, steps, options)[-1] for steps in counts]
    noise = [
        deviation(states, at).value * size * steps / options.time
        for states, at, steps in zip(found, last, counts, strict=True)
    ]
    # From the finest step, where terms of higher order in h matter least.
    bias = float(((last[-1] - end) ** 2).sum()) / (options.time / counts[-1]) ** (2 * order_of(solver))
    return [deviation(states, end) for states in found], sum(noise) / len(noise), bias
