"""The Dirac GAN: one point of data at c, one generated point theta, the discriminator D(x) = phi x.

A gallery of its vector fields under every loss and penalty, with trajectories from (phi, theta) = (1, 1); the eigenvalues at
the equilibrium (0, c) against the penalties' weights; and the closed loop of the Wasserstein loss, phi' = c - theta -
lambda phi, theta' = phi, beside its transfer function 1 / (s^2 + lambda s + 1).
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from tyro.conf import UseAppendAction

from experiments.dirac import figures as dirac_figures
from experiments.dirac.response import responses, undamped
from experiments.dirac.settings import SETTINGS, SWEPT, Setting, block, build, is_smooth
from experiments.framework import runner
from experiments.framework.eigenvalue_blocks import as_text, eigenvalues, relative_difference
from experiments.framework.runner import Folder, Options, finished
from experiments.framework.solver_options import PenaltyOptions
from experiments.rotational.experiment import arrows
from odegan import Game, games, max_stable_step, odeint_gan, solvers, spectrum, vector_field
from odegan.utils.checks import fail, number, whole

COMPARED = ("euler", "alternating")  # beside the chosen solver


@dataclass
class Dirac(PenaltyOptions, Options):
    """The gallery, and how its trajectories are integrated."""

    penalty: UseAppendAction[tuple[str, ...]] = ()
    """NAME:WEIGHT[,KEY=VALUE...], as jare:10; may be repeated. The gallery is then every loss with these, together."""
    points: tuple[float, ...] = (0.0, 1.0)
    """Where the data are: a gallery for each c."""
    weight: float = 1.0
    """Of every penalty in the gallery."""
    solver: str = "rk4"
    """A name of odegan.solvers.names(); Euler's method and alternating steps are run beside it."""
    step_size: float = 0.2
    """h of the trajectories."""
    steps: int = 500
    """Their length, in steps."""
    lambdas: tuple[float, ...] = (0.0, 0.5, 2.0, 5.0)
    """Feedbacks of the responses."""
    long_steps: int = 20_000
    """Steps of 0.01 on the undamped loop."""
    per_decade: int = 4
    """Weights a decade, from 0.01 to 100, of the measured eigenvalues."""
    full: bool = False
    """The papers' length of the undamped loop, 200,000 steps."""

    def __post_init__(self) -> None:
        """The full form."""
        super().__post_init__()
        self.long_steps = 200_000 if self.full else self.long_steps

    def quick_form(self) -> Dirac:
        """Few steps, one gallery, two feedbacks."""
        return replace(
            self, points=self.points[-1:], steps=20, lambdas=(0.0, 2.0), long_steps=200, per_decade=1, full=False
        )

    def check(self) -> None:
        """Refuse what odeint_gan would refuse, before anything is written."""
        solvers.get(self.solver)
        number("step_size", self.step_size, low=0.0, strict=True)
        number("weight", self.weight, low=0.0)
        for name in ("steps", "long_steps", "per_decade"):
            whole(name, getattr(self, name), low=1)
        for name in ("points", "lambdas"):
            values = getattr(self, name)
            if not values or len(set(values)) < len(values):
                fail(name, values, "at least one number, each once")
        for value in self.lambdas:
            number("lambdas", value, low=0.0)
        vector_field(games.dirac("minimax", 1.0), self.charged())(0.0, torch.zeros(2, dtype=torch.float64))


def settings(options: Dirac) -> dict[str, Setting]:
    """The gallery: its own settings, or every loss with the penalties of the command line."""
    if not options.charged():
        return SETTINGS
    alone = {name: one for name, one in SETTINGS.items() if one.penalty is None and not one.feedback}
    return {f"{name} + {', '.join(options.penalty)}": one._replace(method=None) for name, one in alone.items()}


def built(setting: Setting, c: float, options: Dirac) -> tuple[Game, list[Any]]:
    """The game and all its penalties."""
    game, made = build(setting, c, options.weight)
    return game, [*made, *options.charged()]


def path(game: Game, made: list[Any], solver: str, options: Dirac) -> torch.Tensor:
    """States (T, 2) from (1, 1), up to where they stop being finite."""
    t = options.step_size * torch.arange(options.steps + 1, dtype=torch.float64)
    h = None if solvers.get(solver).adaptive else options.step_size
    start = torch.ones(2, dtype=torch.float64, device=options.device)
    return finished(odeint_gan(game, start, t, solver=solver, step_size=h, penalties=made, on_nonfinite="stop")).ys


def distance(states: torch.Tensor, equilibrium: torch.Tensor, steps: int) -> float:
    """|y - y*| at the end; inf where the trajectory did not get there."""
    return float((states[-1] - equilibrium).norm()) if len(states) == steps + 1 else math.inf


def equilibrium(c: float, options: Dirac) -> torch.Tensor:
    """(0, c)."""
    return torch.tensor([0.0, c], dtype=torch.float64, device=options.device)


def linearised(setting: Setting, c: float, options: Dirac) -> dict[str, Any]:
    """What the eigenvalues at the equilibrium say; None where it says nothing: a kink, no equilibrium, eigenvalues 0."""
    game, made = built(setting, c, options)
    at, known = equilibrium(c, options), block(setting, c)
    if not is_smooth(game, made, at):
        return dict.fromkeys(("eigenvalues", "phase factor", "largest Euler step", "off closed form"))
    found = spectrum(game, at, penalties=made)
    values = found.eigenvalues.tolist()
    limit = max_stable_step(found.eigenvalues, "euler")
    exact = eigenvalues(setting.method or "", [known], options.weight) if known else None
    return {
        "eigenvalues": as_text(values),
        "phase factor": None if math.isnan(found.phase_factor) else found.phase_factor,
        "largest Euler step": None if math.isinf(limit) else limit,
        "off closed form": relative_difference(values, exact) if exact else None,
    }


def gallery(c: float, options: Dirac, folder: Folder) -> list[dict[str, Any]]:
    """One row a setting, and the figure of phase portraits."""
    rows, frames = [], {}
    names = dict.fromkeys([options.solver, *COMPARED])
    for name, setting in settings(options).items():
        game, made = built(setting, c, options)
        paths = {solver: path(game, made, solver, options) for solver in names}
        ends = {f"end, {s}": distance(p, equilibrium(c, options), options.steps) for s, p in paths.items()}
        rows.append({"setting": name, "c": c, **linearised(setting, c, options), **ends})
        shown = {solver: paths[solver] for solver in dict.fromkeys(["euler", options.solver])}
        frames[name] = shown, arrows(game, made)
    folder.save(dirac_figures.gallery(frames, c), f"gallery_c{c:g}")
    return rows


def sweep(options: Dirac) -> dict[str, dirac_figures.Branches]:
    """Of each penalty with the minimax loss at c = 1: measured eigenvalues, and the closed form between them."""
    coarse = torch.logspace(-2, 2, 4 * options.per_decade + 1, dtype=torch.float64).tolist()
    fine = torch.logspace(-2, 2, 401, dtype=torch.float64).tolist()
    found = {}
    for name, setting in SWEPT.items():
        known = block(setting, 1.0)
        assert known is not None
        measured = []
        for weight in coarse:
            game, made = build(setting, 1.0, weight)
            measured.append(spectrum(game, equilibrium(1.0, options), penalties=made).eigenvalues.tolist())
        exact = [eigenvalues(setting.method or "", [known], weight) for weight in fine]
        found[name] = dirac_figures.Branches(coarse, measured, fine, exact)
    return found


def run(options: Dirac, folder: Folder) -> list[dict[str, Any]]:
    """The galleries, the eigenvalues, the responses, and the undamped loop."""
    rows = [row for c in options.points for row in gallery(c, options, folder)]
    branches = sweep(options)
    for name, branch in branches.items():
        for weight, values in zip(branch.weights, branch.measured, strict=True):
            parts = {"real": [v.real for v in values], "imag": [v.imag for v in values]}
            folder.log({"run": f"eigenvalues: {name}", "t": weight, "weight": weight, **parts})
    folder.save(dirac_figures.eigenvalues(branches, "weight"), "eigenvalues")
    curves, response_rows = responses(options.lambdas, options.solver, options.device, 400 if not options.quick else 20)
    long, long_rows = undamped(options.long_steps, options.device)
    folder.save(dirac_figures.responses(curves, long), "responses")
    keys = list(rows[0])
    rows += [{key: row.get(key) for key in keys} for row in (*response_rows, *long_rows)]
    for row in rows:
        folder.log({"run": f"{row['setting']}, c = {row['c']:g}", **row})
    return rows


def main(argv: Sequence[str] | None = None) -> int:
    """The command line."""
    return runner.main(Dirac, run, argv)


if __name__ == "__main__":
    sys.exit(main())
