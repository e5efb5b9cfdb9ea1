"""The vanishing step: how training sequences tend to the flow as the step goes to zero, without and with minibatch noise.

Sup distances to a reference flow against the step, for Runge-Kutta methods and minimizing movements, on an exact game and on a
small network GAN with fixed data; mean square deviations of minibatch ensembles from the noiseless sequence and from the flow,
against the step and the batch size; the shift of the field that a penalty on minibatch norms makes.
"""

from __future__ import annotations

import functools
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from experiments.framework import runner
from experiments.framework.runner import Folder, Options, finished
from experiments.vanishing_step.figures import Panel, Series, side_by_side
from experiments.vanishing_step.noise import (
    SHIFTING,
    Mean,
    deviation,
    ends,
    exact_shift,
    fitted,
    mean_ratio,
    noiseless,
    shifts,
)
from experiments.vanishing_step.problems import Problem, gaussian, network
from odegan import odeint_gan, solvers
from odegan.flows import minimizing_movement
from odegan.utils.checks import fail, number, whole

RUNGE_KUTTA = ("euler", "heun2", "rk4", "rk4_classic")
MOVEMENTS = {"minimizing movement": "simultaneous", "minimising, alternating": "discriminator_first"}
# Solver -> sum b_i^2 of its weights: how much of the noise is left when every stage has a minibatch of its own.
FRESH_STAGES = {"heun2": 1 / 2, "rk4": 5 / 16, "rk4_classic": 5 / 18}
STEP, BATCH, SUP, SQUARE = "step h", "batch size B", "sup distance to the flow", "mean square deviation"


@dataclass
class VanishingStep(Options):
    """The horizon, the steps, and the ensembles."""

    time: float = 2.0
    """T, the horizon."""
    counts: tuple[int, ...] = (64, 128, 256, 512)
    """Numbers of steps over T without noise; each divides the last."""
    noise_counts: tuple[int, ...] = (16, 32, 64, 128, 256)
    """Numbers of steps over T with minibatches; each divides the last, and is a multiple of the first."""
    noise_steps: int = 64
    """Steps over T where the batch size varies."""
    batch_size: int = 32
    """B where the step varies."""
    batch_sizes: tuple[int, ...] = (8, 16, 32, 64, 128)
    """The batch sizes where these vary."""
    large_batch: int = 512
    """B of the distance to the flow, where the error of the step shall show beside the noise."""
    members: int = 256
    """Independent runs of each ensemble."""
    shift_sizes: tuple[int, ...] = (4, 8, 16, 32)
    """The batch sizes of the penalties' shift of the field; multiples of 4."""
    batches: int = 200_000
    """Minibatches over which that is averaged."""

    def quick_form(self) -> VanishingStep:
        """Two steps, two batch sizes, few members."""
        return replace(
            self,
            counts=(16, 32),
            noise_counts=(8, 16),
            noise_steps=8,
            batch_size=8,
            batch_sizes=(8, 16),
            shift_sizes=(4, 8),
            large_batch=64,
            members=8,
            batches=1000,
        )

    def check(self) -> None:
        """Refuse steps that do not share their times, and batches that do not divide."""
        number("time", self.time, low=0.0, strict=True)
        for name in ("noise_steps", "batch_size", "large_batch", "batches"):
            whole(name, getattr(self, name), low=1)
        whole("members", self.members, low=2)
        for name in ("counts", "noise_counts", "batch_sizes", "shift_sizes"):
            values = getattr(self, name)
            for value in values:
                whole(name, value, low=1)
            if len(values) < 2 or list(values) != sorted(set(values)):
                fail(name, values, "at least two increasing numbers")
        if any(self.counts[-1] % count for count in self.counts):
            fail("counts", self.counts, "such that each divides the last")
        if any(count % self.noise_counts[0] for count in self.noise_counts):
            fail("noise_counts", self.noise_counts, "multiples of the first")
        if any(size % 4 for size in self.shift_sizes):
            fail("shift_sizes", self.shift_sizes, "multiples of 4")


def row(game: str, what: str, method: str, theory: float, measured: Mean, over: Sequence[float]) -> dict[str, Any]:
    """One line of the table."""
    return {
        "game": game,
        "what": what,
        "method": method,
        "theory": theory,
        "measured": measured.value,
        "standard error": measured.error or None,
        "over": f"{over[0]:.4g} to {over[-1]:.4g}",
    }


def order_of(solver: str) -> int:
    """Its order; every solver here has one."""
    order = solvers.get(solver).order
    assert order is not None
    return order


def reference(problem: Problem, options: VanishingStep) -> torch.Tensor:
    """The flow at all times of the finest sequence, (counts[-1] + 1, P); each time ends a step, so none is interpolated."""
    t = torch.linspace(0, options.time, options.counts[-1] + 1, dtype=torch.float64, device=options.device)
    tight: dict[str, Any] = {"rtol": 1e-12, "atol": 1e-14, "options": {"step_t": t[1:]}}
    return finished(odeint_gan(problem.game, problem.y0, t, solver="dopri8", **tight, **problem.fixed)).ys


def sequence(problem: Problem, method: str, steps: int, options: VanishingStep) -> torch.Tensor:
    """All states (steps + 1, P) of one noiseless discrete sequence."""
    if method not in MOVEMENTS:
        return noiseless(problem, method, steps, options)
    tau, label = options.time / steps, f"{problem.name}, {method}, {steps} steps" if options.progress else False
    return minimizing_movement(
        problem.game, problem.y0, tau, steps, order=MOVEMENTS[method], batch=problem.batch, progress=label
    ).ys


def without_noise(
    problem: Problem, flow: torch.Tensor, options: VanishingStep, folder: Folder
) -> tuple[Panel, list[Any]]:
    """Sup distances to the flow against the step, at the sequences' own times."""
    series, rows = [], []
    for method in (*RUNGE_KUTTA, *MOVEMENTS):
        h, distances = [], []
        for steps in options.counts:
            found = sequence(problem, method, steps, options)
            gap = (found - flow[:: options.counts[-1] // steps]).norm(dim=1).max()
            h.append(options.time / steps)
            distances.append(Mean(float(gap), 0.0))
            folder.log({"run": f"{problem.name}, {method}", "step": steps, "sup distance": float(gap)})
        line = fitted(h, distances)
        order = 1 if method in MOVEMENTS else order_of(method)
        series.append(Series(f"{method}: slope {line.slope:.3f}", h, distances, line.curve))
        rows.append(row(problem.name, f"{SUP}: slope in h", method, order, Mean(line.slope, 0.0), h))
    return Panel(problem.name, STEP, SUP, series), rows


def measure(
    problem: Problem,
    solver: str,
    steps: int,
    batch_size: int,
    options: VanishingStep,
    folder: Folder,
    refresh: Any = None,
) -> Mean:
    """Mean square deviation at T from the noiseless sequence."""
    found = ends(problem, solver, steps, batch_size, options, folder, refresh)
    measured = deviation(found, noiseless(problem, solver, steps, options)[-1])
    about = {"run": f"{problem.name}, {solver}, B {batch_size}, refresh {refresh}", "step": steps}
    folder.log(about | {SQUARE: measured.value, "standard error": measured.error})
    return measured


def against_step_and_batch(problem: Problem, options: VanishingStep, folder: Folder) -> tuple[list[Series], list[Any]]:
    """Euler's deviation against h and against B: (a series for each, rows)."""
    h = [options.time / steps for steps in options.noise_counts]
    over_h = [measure(problem, "euler", steps, options.batch_size, options, folder) for steps in options.noise_counts]
    sizes = options.batch_sizes
    over_b = [measure(problem, "euler", options.noise_steps, size, options, folder) for size in sizes]
    series, rows = [], []
    for name, theory, x, y in (("h", 1, h, over_h), ("B", -1, sizes, over_b)):
        line = fitted(x, y)
        series.append(Series(f"{problem.name}: slope {line.slope:.3f}", x, y, line.curve))
        rows.append(row(problem.name, f"{SQUARE}: slope in {name}", "euler", theory, Mean(line.slope, line.error), x))
    return series, rows


def fresh_stages(problem: Problem, options: VanishingStep, folder: Folder) -> tuple[Panel, list[Any]]:
    """A minibatch for every stage of a step, against one for every step."""
    h, series, rows = [options.time / steps for steps in options.noise_counts], [], []
    for solver, theory in FRESH_STAGES.items():
        pair = {}
        for kind, refresh in (("step", None), ("stage", "stage")):
            arguments = options.batch_size, options, folder, refresh
            pair[kind] = [measure(problem, solver, steps, *arguments) for steps in options.noise_counts]
            line = fitted(h, pair[kind])
            series.append(Series(f"{solver}, every {kind}: slope {line.slope:.3f}", h, pair[kind], line.curve))
        ratio = mean_ratio(pair["stage"], pair["step"])
        rows.append(row(problem.name, f"{SQUARE}: fresh every stage / every step", solver, theory, ratio, h))
    return Panel("fresh minibatches every step or stage", STEP, SQUARE, series), rows


def fixed_refresh(problem: Problem, options: VanishingStep, folder: Folder) -> tuple[Panel, list[Any]]:
    """Euler's method with fresh minibatches at the times of its longest step, whatever the step: the noise stays."""
    h, series, rows = [options.time / steps for steps in options.noise_counts], [], []
    for name, refresh, theory in (("every step", None, 1), (f"every {h[0]:.4g}", h[0], 0)):
        found = [
            measure(problem, "euler", n, options.batch_size, options, folder, refresh) for n in options.noise_counts
        ]
        line = fitted(h, found)
        series.append(Series(f"{name}: slope {line.slope:.3f}", h, found, line.curve))
        if refresh is not None:
            what = f"{SQUARE}, minibatches {name}: slope in h"
            rows.append(row(problem.name, what, "euler", theory, Mean(line.slope, line.error), h))
    return Panel("Euler, fresh minibatches every step or at fixed times", STEP, SQUARE, series), rows


def from_the_flow(
    problem: Problem, flow: torch.Tensor, options: VanishingStep, folder: Folder
) -> tuple[Panel, list[Any]]:
    """Mean square distance to the flow at T, beside C1 h / B + C2 h^(2p) with the constants of the two parts alone."""
    counts, size, series, rows = options.noise_counts, options.large_batch, [], []
    h = [options.time / steps for steps in counts]
    for solver in ("euler", "heun2"):
        order = order_of(solver)
        found = {steps: ends(problem, solver, steps, size, options, folder) for steps in counts}
        last = {steps: noiseless(problem, solver, steps, options)[-1] for steps in counts}
        parts = [deviation(found[steps], last[steps]).value * size * steps / options.time for steps in counts]
        c1 = sum(parts) / len(parts)
        c2 = float(((last[counts[-1]] - flow[-1]) ** 2).sum()) / h[-1] ** (2 * order)

        def predicted(x: torch.Tensor, c1: float = c1, c2: float = c2, order: int = order) -> torch.Tensor:
            return c1 * x / size + c2 * x ** (2 * order)

        total = [deviation(found[steps], flow[-1]) for steps in counts]
        expected = [Mean(float(predicted(torch.tensor(x))), 0.0) for x in h]
        ratio = mean_ratio(total, expected)
        rows.append(row(problem.name, f"distance² to the flow / (C1 h/B + C2 h^{2 * order})", solver, 1, ratio, h))
        series.append(Series(f"{solver}: {c1:.2g} h/B + {c2:.2g} h^{2 * order}", h, total, predicted))
        folder.log(
            {
                "run": f"{problem.name}, {solver}, from the flow",
                "C1": c1,
                "C2": c2,
                "distance": [t.value for t in total],
            }
        )
    return Panel(f"{problem.name}, B = {size}", STEP, "mean square distance to the flow", series), rows


def penalty_shifts(problem: Problem, options: VanishingStep, folder: Folder) -> tuple[Panel, list[Any]]:
    """By how much penalties on minibatch norms shift the mean field at the start, as a share of the closed form."""
    sizes, series, rows = options.shift_sizes, [], []
    for name, shifting in SHIFTING.items():
        along = []
        for size in sizes:
            exact = exact_shift(problem, shifting.like, size)
            along.append(Mean.of(shifts(problem, name, size, options) @ exact / (exact @ exact)))
            folder.log(
                {"run": f"shift, {name}", "step": size, "share": along[-1].value, "standard error": along[-1].error}
            )
        share = Mean(sum(m.value for m in along) / len(along), math.hypot(*(m.error for m in along)) / len(along))
        rows.append(
            row(problem.name, "shift of the field / closed form of the biased", name, shifting.share, share, sizes)
        )
        series.append(Series(name, sizes, along, functools.partial(torch.full_like, fill_value=shifting.share)))
        if shifting.share:
            norms = [float(exact_shift(problem, name, size).norm()) for size in sizes]
            line = fitted(sizes, [Mean(m.value * n, m.error * n) for m, n in zip(along, norms, strict=True)])
            rows.append(
                row(problem.name, "shift of the field: slope in B", name, -1, Mean(line.slope, line.error), sizes)
            )
    return Panel("penalties on minibatch norms", BATCH, "shift of the mean field / closed form", series, "linear"), rows


def run(options: VanishingStep, folder: Folder) -> list[dict[str, Any]]:
    """All of it: both games without noise and against h and B; the rest on the Gaussian alone."""
    first = gaussian(options.device)
    problems = (first, network(options.device, options.seed))
    flows = {problem.name: reference(problem, options) for problem in problems}
    quiet = [without_noise(problem, flows[problem.name], options, folder) for problem in problems]
    noisy = [against_step_and_batch(problem, options, folder) for problem in problems]
    rest = [part(first, options, folder) for part in (fresh_stages, fixed_refresh, penalty_shifts)]
    total = from_the_flow(first, flows[first.name], options, folder)
    over_h, over_b = zip(*(series for series, _ in noisy), strict=True)
    about = f"Euler, {options.members} runs"
    panels = [Panel(f"{about}, B = {options.batch_size}", STEP, SQUARE, over_h)]
    panels += [Panel(f"{about}, h = {options.time / options.noise_steps:.4g}", BATCH, SQUARE, over_b)]
    folder.save(side_by_side([panel for panel, _ in quiet]), "deterministic")
    folder.save(side_by_side(panels), "noise")
    folder.save(side_by_side([rest[0][0], rest[1][0]]), "refresh")
    folder.save(side_by_side([total[0], rest[2][0]]), "bias")
    return [line for _, rows in [*quiet, *noisy, *rest, total] for line in rows]


def main(argv: Sequence[str] | None = None) -> int:
    """The command line."""
    return runner.main(VanishingStep, run, argv)


if __name__ == "__main__":
    sys.exit(main())
