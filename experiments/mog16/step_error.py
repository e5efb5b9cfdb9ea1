"""The integration error of a run's steps, by step doubling."""

from __future__ import annotations

import math

import torch

from experiments.framework import mixture
from experiments.framework.endings import finished
from experiments.mog16.options import Mog16
from odegan import Game, odeint_gan, solvers


def step_errors(game: Game, options: Mog16, states: torch.Tensor) -> torch.Tensor:
    """The relative error of one step h from every state y, each on a minibatch of its own, the same in both computations.

    ||Phi_h(y) - z|| / ((1 - 2^-p) ||z - y||) with z = Phi_h/2(Phi_h/2(y)), where Phi_h is the solver's step and p its order:
    two half steps leave 2^-p of a whole step's error. A penalty counts only where it is part of the field. In float64.

    Args:
        game: of the two networks.
        options: of the run; its solver and step are measured.
        states: (R, E, P).

    Returns:
        (R, E); NaN of states that are not finite, and of all states if the solver is not a fixed-step Runge-Kutta method.
    """
    errors = torch.full(states.shape[:2], math.nan, dtype=torch.float64)
    facts = solvers.get(options.solver)
    if not facts.fixed_one_step or facts.order is None:
        return errors
    # Report by report: all states at once would need as many minibatches in memory.
    for reported, found in zip(states.double(), errors, strict=True):
        finite = reported.isfinite().all(1)
        if finite.any():
            y = reported[finite]
            whole, halves = (step(game, options, y, h) for h in (options.h, options.h / 2))
            relative = (whole - halves).norm(dim=1) / (halves - y).norm(dim=1)
            found[finite.cpu()] = (relative / (1 - 2.0**-facts.order)).cpu()
    return errors


def step(game: Game, options: Mog16, y: torch.Tensor, step_size: float) -> torch.Tensor:
    """The states y (M, P) after the time h of ``options``, in steps of ``step_size``."""
    keywords = options.keywords() | {"step_size": step_size, "refresh": math.inf}
    if options.placement != "field":
        keywords["penalties"] = []
    solution = odeint_gan(
        game,
        y,
        torch.tensor([0.0, options.h], dtype=torch.float64),
        data=mixture.draw,
        batch_size=options.batch_size,
        seed=options.seed,
        on_nonfinite="stop",
        **keywords,
    )
    return finished(solution).y
