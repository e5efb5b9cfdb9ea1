"""Advised steps along a training of the mixture, and at some of its states."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from einops import rearrange

from experiments.framework import mixture
from experiments.framework.endings import finished
from experiments.framework.folder import Folder, Row
from experiments.framework.progress import shown
from experiments.step_size.options import StepSize
from odegan import Game, NonFiniteError, advise, odeint_gan
from odegan.analysis.advisor import Advice
from odegan.data.minibatches import Minibatches
from odegan.penalties import Penalty

TRAINER = "rk4_classic"  # the solver that trains


@dataclass(frozen=True)
class AdvisedTraining:
    """A training and the advice at its moments.

    moments (T,); states (T, E, P); advised and without: the largest stable step of ``TRAINER``, with the penalty in the
    field and without any, (T, E); unstable: the share of the computed eigenvalues that have a positive real part, (T, E).
    """

    moments: torch.Tensor
    states: torch.Tensor
    advised: torch.Tensor
    without: torch.Tensor
    unstable: torch.Tensor

    def at(self, chosen: Sequence[float]) -> torch.Tensor:
        """The states at these times, one after the other, (len(chosen) E, P)."""
        rows = [int((self.moments - t).abs().argmin()) for t in chosen]
        return rearrange(self.states[rows], "time seed p -> (time seed) p")

    def lines(self) -> Iterator[Row]:
        """The advice as lines for the log."""
        for t, *values in zip(self.moments.tolist(), self.advised, self.without, self.unstable, strict=True):
            yield {"t": t, **dict(zip(("advised", "without penalty", "unstable"), values, strict=True))}


def train_and_advise(game: Game, h: float, options: StepSize, folder: Folder) -> AdvisedTraining:
    """Train with classical RK4, the penalty after the step, and advise at the moments."""
    start = mixture.starting_points(game, options.seed, options.seeds).to(options.device)
    moments = torch.linspace(0, options.time, options.moments + 1, dtype=torch.float64)
    solution = finished(
        odeint_gan(
            game,
            start,
            moments,
            data=mixture.draw,
            latent=mixture.LATENT,
            batch_size=options.batch_size,
            solver=TRAINER,
            step_size=h,
            penalties=options.chosen_penalties(),
            placement="after_step",
            seed=options.seed,
            checkpoint=folder.checkpoint(f"h_{h:g}"),
            on_nonfinite="stop",
            progress=f"train, h = {h:g}" if options.progress else False,
        )
    )
    if not bool(solution.ys.isfinite().all()) or len(solution.ys) < len(moments):
        # Nothing can be linearized at such a state.
        raise NonFiniteError(
            f"the training with steps of {h:g}, {solution.message}; smaller --steps may help", solution
        )
    found = []
    for member, y in members(rearrange(solution.ys, "time seed p -> (time seed) p"), options):
        penalized = advice_at(game, y, member, options, options.chosen_penalties())
        free = advice_at(game, y, member, options, [])
        found.append([penalized[TRAINER].step, free[TRAINER].step, penalized.unstable])
    table = torch.tensor(found, dtype=torch.float64)
    advised, without, unstable = rearrange(table, "(time seed) what -> what time seed", seed=options.seeds)
    return AdvisedTraining(moments, solution.ys, advised, without, unstable)


def members(states: torch.Tensor, options: StepSize) -> Iterator[tuple[int, torch.Tensor]]:
    """(number of the minibatch, state) of states (N, P), under a progress bar."""
    yield from enumerate(shown(states.unbind(), "advice", options.progress))


def advice_at(game: Game, y: torch.Tensor, member: int, options: StepSize, penalties: Sequence[Penalty]) -> Advice:
    """The advice at one state, in double precision, on the minibatch that the trials from it start with."""
    y = y.double()
    seed = options.minibatch_seed(member)
    batch = Minibatches(mixture.draw, mixture.LATENT, options.batch_size, seed, y)(0)
    # The trainer's own step is followed along the training, whether or not the trainer is among the solvers tried.
    names = list(dict.fromkeys([TRAINER, *options.solvers]))
    return advise(game, y, batch, penalties, solvers=names, k=options.k)


def advised_steps(game: Game, states: torch.Tensor, options: StepSize) -> dict[str, list[float]]:
    """The advised step of each solver at each state."""
    found = [advice_at(game, y, e, options, options.chosen_penalties()) for e, y in members(states, options)]
    return {solver: [one[solver].step for one in found] for solver in options.solvers}
