"""The step-size advisor's linear prediction against measured steps, on the rotational field and the mixture of 16 Gaussians.

The rotational field: the largest stable step that ``odegan.advise`` predicts for every fixed-step solver, beside the one
found by bisection on whether |y| grows under the solver itself. The mixture, in ODE-GAN's setting: the advised step along the
training at several step sizes; and from some of its states every solver is run at a range of steps, on the minibatch that the
advice was computed on and on fresh ones. A run goes wrong when it is not finite, or when its field norm exceeds a multiple of
that of a run with small steps.
"""

from __future__ import annotations

import math
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from scipy.stats import spearmanr

from experiments.framework import runner
from experiments.framework.folder import Folder, Row
from experiments.framework.planar_fields import path, rotation_matrix
from experiments.step_size import figures
from experiments.step_size.advice import AdvisedTraining, advised_steps, train_and_advise
from experiments.step_size.options import StepSize, fixed_solvers
from experiments.step_size.trials import Trials, trials
from odegan import Game, advise, games, gan, nets

# Of step over advised step, (low, high].
BANDS = {
    "up to 0.5": (0.0, 0.5),
    "0.5 to 0.8": (0.5, 0.8),
    "0.8 to 1": (0.8, 1.0),
    "1 to 1.25": (1.0, 1.25),
    "1.25 to 2": (1.25, 2.0),
    "above 2": (2.0, math.inf),
}
# What trials from the mixture's states draw -> whether minibatches are fresh every step.
FRESH = {"one minibatch": False, "fresh": True}
STEPS = 50  # of a solver on the rotational field, which decide whether it diverges


def measured(solver: str, options: StepSize) -> float:
    """The step above which |y| grows on the rotational field: doubled until it does, then by bisection."""
    game = games.quadratic(rotation_matrix(options.damping, options.rotation))

    def grows(h: float) -> bool:
        t = torch.tensor([0.0, STEPS * h], dtype=torch.float64, device=options.device)
        return bool(path(game, solver, t, h)[-1].norm() > 1)

    # Doubling first: limits of the solvers differ by an order of magnitude, so there is no common upper end.
    low = 0.0
    high = 1e-2 / math.hypot(options.damping, options.rotation)
    while not grows(high):
        low = high
        high = 2 * high
    while high - low > options.digits * high:
        middle = (low + high) / 2
        low, high = (low, middle) if grows(middle) else (middle, high)
    return (low + high) / 2


def rotational_rows(options: StepSize) -> list[Row]:
    """Predicted and measured on the rotational field."""
    game = games.quadratic(rotation_matrix(options.damping, options.rotation))
    # The field is linear, so its Jacobian is the same at every state.
    advised = advise(game, torch.zeros(2, dtype=torch.float64), solvers=fixed_solvers())
    rows: list[Row] = []
    for solver in fixed_solvers():
        rows.append(row("rotational", solver, [advised[solver].step], [measured(solver, options)]))
    return rows


def row(
    field: str,
    solver: str,
    predicted: Sequence[float],
    found: Sequence[float],
    wrong: Sequence[str | None] = (None,) * len(BANDS),
) -> Row:
    """Means over the states that went wrong at some step, with standard deviations if there are several."""
    pairs = [(p, m) for p, m in zip(predicted, found, strict=True) if math.isfinite(m)]
    ratios = [m / p for p, m in pairs]
    # spearmanr warns about constant columns, whose correlation is undefined.
    vary = len(pairs) > 2 and all(len(set(column)) > 1 for column in zip(*pairs, strict=True))
    return {
        "field": field,
        "solver": solver,
        "predicted step": spread(predicted),
        "measured step": spread([m for _, m in pairs]),
        "measured / predicted": spread(ratios),
        "rank correlation": float(spearmanr(*zip(*pairs, strict=True)).statistic) if vary else None,
        "states": f"{len(pairs)} of {len(predicted)}",
        **{f"wrong {band}": count for band, count in zip(BANDS, wrong, strict=True)},
    }


def spread(values: Sequence[float]) -> float | tuple[float, float] | None:
    """The one value, or (mean, standard deviation)."""
    if len(values) < 2:
        return values[0] if values else None
    return statistics.fmean(values), statistics.pstdev(values)


def limits(trial: Trials, factor: float) -> list[float]:
    """For each state the step at which runs start to go wrong, between two steps of the grid; inf if none did."""
    wrong = trial.wrong(factor)
    # Geometric means, as the grid is logarithmic.
    edges = torch.cat([trial.steps[:1], (trial.steps[1:] * trial.steps[:-1]).sqrt()])
    return [float(edges[int(w.nonzero()[0])]) if bool(w.any()) else math.inf for w in wrong.T]


def shares(trial: Trials, predicted: Sequence[float], factor: float) -> list[str]:
    """How many of the trials in each of the ``BANDS`` of step over predicted step went wrong."""
    wrong = trial.wrong(factor)
    ratio = trial.steps[:, None] / torch.tensor(predicted, dtype=torch.float64)
    bands = [wrong[(ratio > low) & (ratio <= high)] for low, high in BANDS.values()]
    return [f"{int(band.sum())} of {len(band)}" for band in bands]


@dataclass(frozen=True)
class MixtureResults:
    """Advice along the trainings, by step size; advice at the tried states, by solver; trials, by kind and solver."""

    trainings: Mapping[float, AdvisedTraining]
    advised: Mapping[str, Sequence[float]]
    tried: Mapping[str, Mapping[str, Trials]]


def measure_mixture(game: Game, options: StepSize, folder: Folder) -> MixtureResults:
    """The advice along the training, and the trials from some of its states."""
    trainings = {h: train_and_advise(game, h, options, folder) for h in options.steps}
    states = trainings[options.steps[0]].at(options.tried_at)
    tried = {label: trials(game, states, fresh, options) for label, fresh in FRESH.items()}
    return MixtureResults(trainings, advised_steps(game, states, options), tried)


def log_mixture(found: MixtureResults, folder: Folder) -> None:
    """Every advised step and every trial; means at both ends of the trainings as facts."""
    for h, training in found.trainings.items():
        for line in training.lines():
            folder.log({"run": f"advice, trained with h = {h:g}", **line})
        for moment, at in {"start": 0, "end": -1}.items():
            folder.facts[f"advised step at the {moment}, trained with h = {h:g}"] = spread(
                training.advised[at].tolist()
            )
    for label, by_solver in found.tried.items():
        for solver, trial in by_solver.items():
            for i, h in enumerate(trial.steps.tolist()):
                error = None if trial.error is None else trial.error[i]
                line = {"h": h, "advised": found.advised[solver], "growth": trial.growth[i], "error": error}
                folder.log({"run": f"{label}, {solver}", "step": i, **line})


def mixture_rows(found: MixtureResults, factor: float) -> list[Row]:
    """For every kind of trial and every solver, the advice beside the measurement."""
    return [
        row(
            f"mog16, {label}",
            solver,
            found.advised[solver],
            limits(trial, factor),
            shares(trial, found.advised[solver], factor),
        )
        for label, by_solver in found.tried.items()
        for solver, trial in by_solver.items()
    ]


def run(options: StepSize, folder: Folder) -> list[Row]:
    """The rotational field, then the mixture."""
    rotating = rotational_rows(options)
    found = measure_mixture(gan(*nets.mog16()), options, folder)
    log_mixture(found, folder)
    rows = [*rotating, *mixture_rows(found, options.factor)]
    for one in rows:
        folder.log({"run": f"{one['field']}, {one['solver']}", **one})
    measured_steps = {
        label: {solver: limits(trial, options.factor) for solver, trial in by_solver.items()}
        for label, by_solver in found.tried.items()
    }
    folder.save(figures.along(found.trainings), "along")
    folder.save(figures.compared(rotating, found.advised, measured_steps), "compared")
    folder.save(figures.trials(found.tried, found.advised, options.factor), "trials")
    return rows


def main(argv: Sequence[str] | None = None) -> int:
    """Run the experiment from the command line; return the exit code."""
    return runner.main(StepSize, run, argv)


if __name__ == "__main__":
    sys.exit(main())
