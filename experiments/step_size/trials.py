"""What the step-size experiment measures on the mixture: advice along a training, and runs from its states at many steps."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from tqdm.auto import tqdm

from experiments.framework import mixture
from experiments.framework.runner import Folder, finished
from odegan import Game, advise, odeint_gan
from odegan.analysis.advisor import Advice
from odegan.data.minibatches import Minibatches
from odegan.utils.checks import fail

if TYPE_CHECKING:
    from experiments.step_size.experiment import StepSize

SHOWN = "rk4_classic"  # the solver that trains
APART = 1000  # the seeds of the minibatches of advice and trials, from those of the training


@dataclass(frozen=True)
class Along:
    """A training and the advice at its moments.

    moments (T,); states (T, E, P); advised and without: the largest stable step of ``SHOWN``, with the penalty in the field and
    without any, (T, E); unstable: the share of the computed eigenvalues that have a positive real part, (T, E).
    """

    moments: torch.Tensor
    states: torch.Tensor
    advised: torch.Tensor
    without: torch.Tensor
    unstable: torch.Tensor

    def at(self, chosen: Sequence[float]) -> torch.Tensor:
        """The states at these times, one after the other, (len(chosen) E, P)."""
        rows = [int((self.moments - t).abs().argmin()) for t in chosen]
        return self.states[rows].flatten(0, 1)

    def lines(self) -> Iterator[dict[str, Any]]:
        """For the log."""
        for t, *parts in zip(self.moments.tolist(), self.advised, self.without, self.unstable, strict=True):
            yield {"t": t, **dict(zip(("advised", "without penalty", "unstable"), parts, strict=True))}


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
        return ~(self.growth <= factor)


def along(game: Game, h: float, options: StepSize, folder: Folder) -> Along:
    """Train with classical RK4, the penalty after the step, and advise at the moments."""
    start = torch.stack([game.init(seed=options.seed + e) for e in range(options.seeds)]).to(options.device)
    moments = torch.linspace(0, options.time, options.moments + 1, dtype=torch.float64)
    solution = finished(
        odeint_gan(
            game,
            start,
            moments,
            data=mixture.draw,
            latent=mixture.LATENT,
            batch_size=options.batch_size,
            solver=SHOWN,
            step_size=h,
            penalties=options.charged(),
            placement="after_step",
            seed=options.seed,
            checkpoint=folder.checkpoint(f"h_{h:g}"),
            on_nonfinite="stop",
            progress=f"train, h = {h:g}" if options.progress else False,
        )
    )
    if not bool(solution.ys.isfinite().all()) or len(solution.ys) < len(moments):
        fail("steps", h, f"steps at which the training stays finite with these penalties ({solution.message})")
    pairs = [(at(game, y, e, options, True), at(game, y, e, options, False)) for e, y in members(solution.ys, options)]
    shape = solution.ys.shape[:2]
    found = [[a[SHOWN].step, b[SHOWN].step, a.unstable] for a, b in pairs]
    advised, without, unstable = torch.tensor(found, dtype=torch.float64).T.reshape(3, *shape)
    return Along(moments, solution.ys, advised, without, unstable)


def members(states: torch.Tensor, options: StepSize) -> Iterator[tuple[int, torch.Tensor]]:
    """(number of the minibatch, state) of states (..., E, P), under a progress bar."""
    flat = states.flatten(0, -2)
    yield from enumerate(tqdm(flat, "advice", disable=not options.progress, leave=False))


def minibatch_seed(member: int, options: StepSize) -> int:
    """Of advice and trials."""
    return options.seed + APART + member


def at(game: Game, y: torch.Tensor, member: int, options: StepSize, penalised: bool) -> Advice:
    """The advice at one state, in double precision, on the minibatch that the trials from it start with."""
    y = y.double()
    seed = minibatch_seed(member, options)
    batch = Minibatches(mixture.draw, mixture.LATENT, options.batch_size, seed, y)(0)
    names = list(dict.fromkeys([SHOWN, *options.solvers]))
    return advise(game, y, batch, options.charged() if penalised else [], solvers=names, k=options.k)


def advice(game: Game, states: torch.Tensor, options: StepSize) -> dict[str, list[float]]:
    """The advised step of each solver at each state."""
    found = [at(game, y, e, options, True) for e, y in members(states, options)]
    return {solver: [one[solver].step for one in found] for solver in options.solvers}


def trials(game: Game, states: torch.Tensor, fresh: bool, options: StepSize) -> dict[str, Trials]:
    """Each solver from all states, at every step of the grid."""
    low, high, count = options.grid
    steps = torch.logspace(math.log10(low), math.log10(high), count, dtype=torch.float64)
    # Fresh minibatches come once a step, so that the runs that are compared see other numbers of them.
    norm, end = attempt(game, states, SHOWN, min(options.reference, low), False, options)
    if fresh:
        norm, _ = attempt(game, states, SHOWN, low, True, options)
    gone = (end - states).norm(dim=-1)
    found = {}
    for solver in options.solvers:
        bar = tqdm(steps.tolist(), f"{solver}, {'fresh' if fresh else 'one minibatch'}", disable=not options.progress)
        pairs = [attempt(game, states, solver, h, fresh, options) for h in bar]
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
            penalties=options.charged(),
            seed=[minibatch_seed(e, options) for e in range(len(states))],
            on_nonfinite="stop",
        )
    )
    norms = solution.stats["field_norm"]
    reached = len(solution.ys) == 2
    end = solution.ys[-1] if reached else torch.full_like(states, math.nan)
    peak = torch.where(end.isfinite().all(-1).cpu(), norms.nan_to_num(math.inf).amax(0), math.inf)
    return peak, end
