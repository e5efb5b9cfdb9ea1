"""Noiseless sequences and the flow that they tend to."""

from __future__ import annotations

import torch

from experiments.framework.endings import finished
from experiments.framework.folder import Folder
from experiments.framework.power_laws import Mean, fit_power_law
from experiments.vanishing_step.figures import Panel, Series
from experiments.vanishing_step.findings import STEP, SUP, Finding, order_of, row
from experiments.vanishing_step.options import VanishingStep
from experiments.vanishing_step.problems import Problem
from odegan import odeint_gan
from odegan.flows import minimizing_movement

RUNGE_KUTTA = ("euler", "heun2", "rk4", "rk4_classic")
MOVEMENTS = {"minimizing movement": "simultaneous", "minimizing, alternating": "discriminator_first"}


def reference(problem: Problem, options: VanishingStep) -> torch.Tensor:
    """The flow at all times of the finest sequence, (counts[-1] + 1, P); each time ends a step, so none is interpolated."""
    t = torch.linspace(0, options.time, options.counts[-1] + 1, dtype=torch.float64, device=options.device)
    solution = odeint_gan(
        problem.game,
        problem.y0,
        t,
        solver="dopri8",
        rtol=1e-12,
        atol=1e-14,
        # Steps that end at the reports: interpolation would add an error far above the tolerance.
        options={"step_t": t[1:]},
        **problem.fixed,
    )
    return finished(solution).ys


def noiseless(problem: Problem, solver: str, steps: int, options: VanishingStep) -> torch.Tensor:
    """All states (steps + 1, P) of the discrete sequence with the mean field."""
    t = torch.linspace(0, options.time, steps + 1, dtype=torch.float64)
    h = options.time / steps
    return finished(odeint_gan(problem.game, problem.y0, t, solver=solver, step_size=h, **problem.fixed)).ys


def sequence(problem: Problem, method: str, steps: int, options: VanishingStep) -> torch.Tensor:
    """All states (steps + 1, P) of one noiseless discrete sequence."""
    if method not in MOVEMENTS:
        return noiseless(problem, method, steps, options)
    return minimizing_movement(
        problem.game,
        problem.y0,
        options.time / steps,
        steps,
        order=MOVEMENTS[method],
        batch=problem.batch,
        progress=f"{problem.name}, {method}, {steps} steps" if options.progress else False,
    ).ys


def without_noise(problem: Problem, flow: torch.Tensor, options: VanishingStep, folder: Folder) -> Finding:
    """Sup distances to the flow against the step, at the sequences' own times."""
    series = []
    rows = []
    for method in (*RUNGE_KUTTA, *MOVEMENTS):
        h = []
        distances = []
        for steps in options.counts:
            found = sequence(problem, method, steps, options)
            # Each number of steps divides the finest, so the sequences' times are among the flow's.
            gap = (found - flow[:: options.counts[-1] // steps]).norm(dim=1).max()
            h.append(options.time / steps)
            distances.append(Mean(float(gap), 0.0))
            folder.log({"run": f"{problem.name}, {method}", "step": steps, "sup distance": float(gap)})
        line = fit_power_law(h, distances)
        order = 1 if method in MOVEMENTS else order_of(method)
        series.append(Series(f"{method}: slope {line.slope:.3f}", h, distances, line.curve))
        rows.append(row(problem.name, f"{SUP}: slope in h", method, order, Mean(line.slope, 0.0), h))
    return Finding(Panel(problem.name, STEP, SUP, series), rows)
