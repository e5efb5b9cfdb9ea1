"""The integration error of a run's steps, by step doubling."""

from __future__ import annotations

import math

import torch

from experiments.framework import mixture
from experiments.mog16.options import Mog16
from odegan import Game, odeint_gan, solvers


def step_errors(game: Game, options: Mog16, states: torch.Tensor) -> torch.Tensor:
    """The relative error of one step h from every state y, on one minibatch that is held.

    ||Phi_h(y) - Phi_h/2(Phi_h/2(y))|| / ||Phi_h/2(Phi_h/2(y)) - y||, where Phi_h is the solver's step. A penalty counts only
    where it is part of the field.

    Args:
        game: of the two networks.
        options: of the run; its solver and step are measured.
        states: (R, E, P).

    Returns:
        (R, E); NaN of states that are not finite, and of all states for optimizers, solvers whose players move in turn, and
        solvers that choose their steps.
    """
    flat = states.reshape(-1, states.shape[-1])
    errors = flat.new_full(flat.shape[:1], math.nan)
    finite = flat.isfinite().all(1)
    if measurable(options.solver) and finite.any():
        y = flat[finite]
        whole, halves = (step(game, options, y, h) for h in (options.h, options.h / 2))
        errors[finite] = (whole - halves).norm(dim=1) / (halves - y).norm(dim=1)
    return errors.reshape(states.shape[:2]).cpu()


def measurable(solver: str) -> bool:
    """Whether a solver takes steps of a given length along the field.

    >>> [measurable(name) for name in ("euler", "rk4_classic", "alternating", "adam", "dopri5")]
    [True, True, False, False, False]
    """
    return solver not in solvers.BASELINES and not solvers.get(solver).adaptive


def step(game: Game, options: Mog16, y: torch.Tensor, step_size: float) -> torch.Tensor:
    """The states y (M, P) after the time h of ``options``, in steps of ``step_size``."""
    keywords = options.keywords() | {"step_size": step_size, "refresh": math.inf}
    if options.placement != "field":
        keywords["penalties"] = []
    return odeint_gan(
        game,
        y,
        torch.tensor([0.0, options.h], dtype=torch.float64),
        data=mixture.draw,
        batch_size=options.batch_size,
        seed=options.seed,
        on_nonfinite="stop",
        **keywords,
    ).y
