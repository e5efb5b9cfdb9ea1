"""Does the step-size advisor's linear prediction come true: on the rotational field, and on the mixture of 16 Gaussians?

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
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from scipy.stats import spearmanr
from tyro.conf import UseAppendAction

from experiments.framework import runner
from experiments.framework.runner import Folder, Options
from experiments.framework.solver_options import PenaltyOptions
from experiments.rotational.experiment import matrix, path
from experiments.step_size import figures as step_size_figures
from experiments.step_size.trials import Trials, advice, along, trials
from odegan import advise, games, gan, nets, solvers
from odegan.solvers import stability
from odegan.utils.checks import choose, fail, number, whole

# Of step over advised step, (low, high].
BANDS = {
    "up to 0.5": (0.0, 0.5),
    "0.5 to 0.8": (0.5, 0.8),
    "0.8 to 1": (0.8, 1.0),
    "1 to 1.25": (1.0, 1.25),
    "1.25 to 2": (1.25, 2.0),
    "above 2": (2.0, math.inf),
}
STEPS = 50  # of a solver on the rotational field, which decide whether it diverges


@dataclass
class StepSize(PenaltyOptions, Options):
    """The rotational field; the mixture's training, and what is tried from its states."""

    damping: float = 1.0
    """a of the rotational field y' = (-a I + b J) y."""
    rotation: float = 20.0
    """b of the rotational field."""
    digits: float = 1e-6
    """Relative accuracy of the measured step on the rotational field."""
    penalty: UseAppendAction[tuple[str, ...]] = ()
    """NAME:WEIGHT[,KEY=VALUE...], of the mixture; may be repeated. none: no penalty. Left out: generator_gradient:0.07.
    After the step in training, in the field where steps are advised and tried."""
    seeds: int = 4
    """Runs of the mixture."""
    time: float = 160.0
    """How long each trains, in units of t."""
    moments: int = 8
    """Moments of the training, besides the start, at which steps are advised."""
    steps: tuple[float, ...] = (0.1, 0.05, 0.2)
    """Step sizes of the training; the first, the authors', is the one from whose states solvers are tried."""
    tried_at: tuple[float, ...] = (20.0, 60.0, 160.0)
    """Times of these states: moments of the training."""
    batch_size: int = 512
    """Samples a minibatch, a multiple of 16."""
    solvers: tuple[str, ...] = ("euler", "extragradient", "heun2", "heun3", "rk4_classic")
    """What is tried: fixed-step solvers that have a stability function."""
    grid: tuple[float, float, int] = (0.035, 1.6, 12)
    """Smallest and largest step that is tried, and how many, at equal ratios."""
    span: float = 4.0
    """How long each trial runs."""
    reference: float = 0.0125
    """Step of rk4_classic for the reference trajectories."""
    factor: float = 2.0
    """A trial went wrong when its largest field norm exceeds this multiple of the reference's."""
    k: int = 20
    """Eigenvalues of largest modulus that the advice rests on."""

    own_penalty: ClassVar[tuple[str, ...]] = ("generator_gradient:0.07",)

    def quick_form(self) -> StepSize:
        """One seed, a few steps, two solvers."""
        return replace(
            self,
            digits=1e-3,
            seeds=2,
            time=1.0,
            moments=1,
            steps=(0.1, 0.2),
            tried_at=(0.0, 1.0),
            batch_size=32,
            solvers=("euler", "rk4_classic"),
            grid=(0.1, 3.2, 3),
            span=1.0,
            reference=0.1,
        )

    def check(self) -> None:
        """Refuse what is no field that converges, no moment of the training, and no solver with a prediction."""
        for name in ("damping", "digits", "time", "span", "reference"):
            number(name, getattr(self, name), low=0.0, strict=True)
        number("rotation", self.rotation)
        number("factor", self.factor, low=1.0, strict=True)
        for name in ("seeds", "moments", "k"):
            whole(name, getattr(self, name), low=1)
        if self.batch_size < 16 or self.batch_size % 16:
            fail("batch_size", self.batch_size, "a multiple of 16, one sample or more for every mode")
        for name in self.solvers:
            choose("solvers", name, fixed_solvers())
        for name, values in {"steps": self.steps, "tried_at": self.tried_at, "solvers": self.solvers}.items():
            if not values or len(set(values)) < len(values):
                fail(name, values, "at least one, each once")
        for h in self.steps:
            number("steps", h, low=0.0, strict=True)
        known = self.time * torch.arange(self.moments + 1, dtype=torch.float64) / self.moments
        for t in self.tried_at:
            if not bool((known - t).abs().min() < 1e-9):
                fail(
                    "tried_at",
                    t,
                    f"moments of the training: 0 to {self.time:g} in steps of {self.time / self.moments:g}",
                )
        for made in self.charged():
            if made.replay is not None or made.noise:
                fail("penalty", made, "one that the minibatch alone decides: advice is computed outside a run")
        low, high, count = self.grid
        if not 0 < low < high or count < 2:
            fail("grid", self.grid, "smallest and largest step, and how many, at least 2")


def fixed_solvers() -> list[str]:
    """The fixed-step solvers that have a stability function."""
    return [name for name in stability.names() if not solvers.get(name).adaptive]


def measured(solver: str, options: StepSize) -> float:
    """The step above which |y| grows on the rotational field: doubled until it does, then by bisection."""
    game = games.quadratic(matrix(options.damping, options.rotation))

    def grows(h: float) -> bool:
        t = torch.tensor([0.0, STEPS * h], dtype=torch.float64, device=options.device)
        return bool(path(game, solver, t, h)[-1].norm() > 1)

    low, high = 0.0, 1e-2 / math.hypot(options.damping, options.rotation)
    while not grows(high):
        low, high = high, 2 * high
    while high - low > options.digits * high:
        middle = (low + high) / 2
        low, high = (low, middle) if grows(middle) else (middle, high)
    return (low + high) / 2


def rotational_rows(options: StepSize) -> list[dict[str, Any]]:
    """Predicted and measured on the rotational field."""
    game = games.quadratic(matrix(options.damping, options.rotation))
    advised = advise(game, torch.zeros(2, dtype=torch.float64), solvers=fixed_solvers())
    rows = []
    for solver in fixed_solvers():
        predicted, found = advised[solver].step, measured(solver, options)
        rows.append(row("rotational", solver, [predicted], [found]))
    return rows


def row(
    field: str,
    solver: str,
    predicted: Sequence[float],
    found: Sequence[float],
    wrong: Sequence[str | None] = (None,) * len(BANDS),
) -> dict[str, Any]:
    """Means over the states, where there are several with their standard deviations; of those that went wrong at some step."""
    pairs = [(p, m) for p, m in zip(predicted, found, strict=True) if math.isfinite(m)]
    ratios = [m / p for p, m in pairs]
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


def spread(values: Sequence[float]) -> Any:
    """The one value, or (mean, standard deviation)."""
    if len(values) < 2:
        return values[0] if values else None
    return statistics.fmean(values), statistics.pstdev(values)


def limits(trial: Trials, factor: float) -> list[float]:
    """Of each state the step at which runs start to go wrong, between two of the grid; inf where none did."""
    wrong = trial.wrong(factor)
    edges = torch.cat([trial.steps[:1], (trial.steps[1:] * trial.steps[:-1]).sqrt()])
    return [float(edges[int(w.nonzero()[0])]) if bool(w.any()) else math.inf for w in wrong.T]


def shares(trial: Trials, predicted: Sequence[float], factor: float) -> list[str]:
    """How many of the trials in each of the ``BANDS`` of step over predicted step went wrong."""
    wrong = trial.wrong(factor)
    ratio = trial.steps[:, None] / torch.tensor(predicted, dtype=torch.float64)
    bands = [wrong[(ratio > low) & (ratio <= high)] for low, high in BANDS.values()]
    return [f"{int(band.sum())} of {len(band)}" for band in bands]


def mixture_rows(
    options: StepSize, folder: Folder
) -> tuple[list[dict[str, Any]], Mapping[str, Mapping[str, Trials]], Any]:
    """The advice along the training, the trials, and the rows that compare them."""
    game = gan(*nets.mog16())
    runs = {h: along(game, h, options, folder) for h in options.steps}
    for h, run in runs.items():
        for line in run.lines():
            folder.log({"run": f"advice, trained with h = {h:g}", **line})
        for moment, at in {"start": 0, "end": -1}.items():
            folder.facts[f"advised step at the {moment}, trained with h = {h:g}"] = spread(run.advised[at].tolist())
    states = runs[options.steps[0]].at(options.tried_at)
    advised = advice(game, states, options)
    tried = {
        label: trials(game, states, fresh, options) for label, fresh in {"one minibatch": False, "fresh": True}.items()
    }
    rows = []
    for label, by_solver in tried.items():
        for solver, trial in by_solver.items():
            found = limits(trial, options.factor)
            share = shares(trial, advised[solver], options.factor)
            rows.append(row(f"mog16, {label}", solver, advised[solver], found, share))
            for i, h in enumerate(trial.steps.tolist()):
                parts = {"growth": trial.growth[i], "error": trial.error[i] if trial.error is not None else None}
                folder.log({"run": f"{label}, {solver}", "step": i, "h": h, "advised": advised[solver], **parts})
    return rows, tried, (runs, advised)


def run(options: StepSize, folder: Folder) -> list[dict[str, Any]]:
    """Both fields."""
    rotating = rotational_rows(options)
    rows, tried, (runs, advised) = mixture_rows(options, folder)
    for one in [*rotating, *rows]:
        folder.log({"run": f"{one['field']}, {one['solver']}", **one})
    found = {label: {s: limits(trial, options.factor) for s, trial in part.items()} for label, part in tried.items()}
    folder.save(step_size_figures.along(runs), "along")
    folder.save(step_size_figures.compared(rotating, advised, found), "compared")
    folder.save(step_size_figures.trials(tried, advised, options.factor), "trials")
    return [*rotating, *rows]


def main(argv: Sequence[str] | None = None) -> int:
    """The command line."""
    return runner.main(StepSize, run, argv)


if __name__ == "__main__":
    sys.exit(main())
