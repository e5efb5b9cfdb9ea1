"""Runs of the mixture from some of its states, at many steps of several solvers."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from experiments.framework import mixture
from experiments.framework.endings import finished
from experiments.framework.progress import shown
from experiments.step_size.advice import TRAINER
from experiments.step_size.options import StepSize
from odegan import Game, odeint_gan


@dataclass(frozen=True)
class Trials:
    """One solver at H steps from each of E states.

    steps (H,); growth (H, E): the largest field norm of a run over the reference's, inf where the run is not finite; error
    (H, E): distance from the reference at the end over the distance that this has gone; None with fresh minibatches.
    """

    steps: torch.Tensor
    growth: torch.Tensor
    error: torch.Tensor | None

    def wrong(self, factor: float) -> torch.Tensor:
        """Which runs went wrong, (H, E)."""
        # Negated, so that nan counts as wrong.
        return ~(self.growth <= factor)


def trials(game: Game, states: torch.Tensor, fresh: bool, options: StepSize) -> dict[str, Trials]:
    """Each solver from all states, at every step of the grid."""
    low, high, count = options.grid
    steps = torch.logspace(math.log10(low), math.log10(high), count, dtype=torch.float64)
    # With fresh minibatches each step size sees another number of them, so ends are not comparable, only norms.
    norm, end = attempt(game, states, TRAINER, min(options.reference, low), False, options)
    if fresh:
        norm, _ = attempt(game, states, TRAINER, low, True, options)
    gone = (end - states).norm(dim=-1)
    found = {}
    for solver in options.solvers:
        label = f"{solver}, {'fresh' if fresh else 'one minibatch'}"
        grid = shown(steps.tolist(), label, options.progress)
        pairs = [attempt(game, states, solver, h, fresh, options) for h in grid]
        # Relative to the reference's own peak: on the way to an equilibrium the norm may well rise for a while.
        growth = torch.stack([peak / norm for peak, _ in pairs])
        error = torch.stack([(y - end).norm(dim=-1) / gone for _, y in pairs]).double().cpu()
        found[solver] = Trials(steps, growth, None if fresh else error)
    return found


def attempt(
    game: Game, states: torch.Tensor, solver: str, h: float, fresh: bool, options: StepSize
) -> tuple[torch.Tensor, torch.Tensor]:
    """One run from all states: the largest field norm of each (E,), inf where it is not finite, and its end (E, P)."""
    solution = finished(
        odeint_gan(
            game,
            states,
            torch.tensor([0.0, options.span], dtype=torch.float64),
            data=mixture.draw,
            latent=mixture.LATENT,
            batch_size=options.batch_size,
            solver=solver,
            step_size=h,
            refresh=None if fresh else math.inf,
            penalties=options.chosen_penalties(),
            seed=[options.minibatch_seed(e) for e in range(len(states))],
            # A run that turns non-finite is a result here, not an error.
            on_nonfinite="stop",
        )
    )
    norms = solution.stats["field_norm"]
    reached = len(solution.ys) == 2
    end = solution.ys[-1] if reached else torch.full_like(states, math.nan)
    peak = torch.where(end.isfinite().all(-1).cpu(), norms.nan_to_num(math.inf).amax(0), math.inf)
    return peak, end
