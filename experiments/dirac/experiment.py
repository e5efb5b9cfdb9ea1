"""The Dirac GAN: one point of data at c, one generated point theta, the discriminator D(x) = phi x.

A gallery of its vector fields under every loss and penalty, with trajectories from (phi, theta) = (1, 1); the eigenvalues at
the equilibrium (0, c) against the penalties' weights; and the closed loop of the Wasserstein loss, phi' = c - theta -
lambda phi, theta' = phi, beside its transfer function 1 / (s^2 + lambda s + 1).
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence

import torch

from experiments.dirac import figures
from experiments.dirac.options import Dirac
from experiments.dirac.response import responses, undamped
from experiments.dirac.variants import SWEPT, VARIANTS, Variant, block, build, is_smooth
from experiments.framework import runner
from experiments.framework.eigenvalue_blocks import as_text, eigenvalues, relative_difference
from experiments.framework.eigenvalue_branches import Branches, draw_branches
from experiments.framework.endings import finished
from experiments.framework.folder import Folder, Row
from experiments.framework.planar_fields import arrows
from odegan import Game, max_stable_step, odeint_gan, solvers, spectrum
from odegan.penalties import Penalty

COMPARED = ("euler", "alternating")  # beside the chosen solver


def variants(options: Dirac) -> dict[str, Variant]:
    """The gallery: its own variants, or every loss with the penalties of the command line."""
    if not options.chosen_penalties():
        return VARIANTS
    # Penalties of the command line replace those of the gallery, and are added to every loss.
    alone = {name: one for name, one in VARIANTS.items() if one.penalty is None and not one.feedback}
    return {f"{name} + {', '.join(options.penalty)}": one._replace(method=None) for name, one in alone.items()}


def built(variant: Variant, c: float, options: Dirac) -> tuple[Game, list[Penalty]]:
    """The game and all its penalties."""
    game, made = build(variant, c, options.weight)
    return game, [*made, *options.chosen_penalties()]


def path(game: Game, made: list[Penalty], solver: str, options: Dirac) -> torch.Tensor:
    """States (T, 2) from (1, 1), up to where they stop being finite."""
    t = options.step_size * torch.arange(options.steps + 1, dtype=torch.float64)
    h = None if solvers.get(solver).adaptive else options.step_size
    start = torch.ones(2, dtype=torch.float64, device=options.device)
    # Some variants diverge, and the portrait shows how far they came.
    return finished(odeint_gan(game, start, t, solver=solver, step_size=h, penalties=made, on_nonfinite="stop")).ys


def distance(states: torch.Tensor, equilibrium: torch.Tensor, steps: int) -> float:
    """|y - y*| at the end; inf if the trajectory ended before."""
    return float((states[-1] - equilibrium).norm()) if len(states) == steps + 1 else math.inf


def equilibrium(c: float, options: Dirac) -> torch.Tensor:
    """The equilibrium of the game, (phi, theta) = (0, c)."""
    return torch.tensor([0.0, c], dtype=torch.float64, device=options.device)


def linearized(variant: Variant, c: float, options: Dirac) -> Row:
    """The cells that follow from the eigenvalues at the equilibrium; None at a kink, or if there is no equilibrium."""
    game, made = built(variant, c, options)
    at = equilibrium(c, options)
    known = block(variant, c)
    if not is_smooth(game, made, at):
        return dict.fromkeys(("eigenvalues", "phase factor", "largest Euler step", "off closed form"))
    found = spectrum(game, at, penalties=made)
    values = found.eigenvalues.tolist()
    limit = max_stable_step(found.eigenvalues, "euler")
    exact = eigenvalues(variant.method or "", [known], options.weight) if known else None
    return {
        "eigenvalues": as_text(values),
        "phase factor": None if math.isnan(found.phase_factor) else found.phase_factor,
        "largest Euler step": None if math.isinf(limit) else limit,
        "off closed form": relative_difference(values, exact) if exact else None,
    }


def gallery(c: float, options: Dirac, folder: Folder) -> list[Row]:
    """One row a variant, and the figure of phase portraits."""
    rows: list[Row] = []
    frames = {}
    # Each once, since the chosen solver may be one of those that are always compared.
    names = dict.fromkeys([options.solver, *COMPARED])
    for name, variant in variants(options).items():
        game, made = built(variant, c, options)
        paths = {solver: path(game, made, solver, options) for solver in names}
        ends = {f"end, {s}": distance(p, equilibrium(c, options), options.steps) for s, p in paths.items()}
        rows.append({"setting": name, "c": c, **linearized(variant, c, options), **ends})
        shown = {solver: paths[solver] for solver in dict.fromkeys(["euler", options.solver])}
        frames[name] = shown, arrows(game, made)
    folder.save(figures.gallery(frames, c), f"gallery_c{c:g}")
    return rows


def sweep(options: Dirac) -> dict[str, Branches]:
    """Of each penalty with the minimax loss at c = 1: measured eigenvalues, and the closed form between them."""
    coarse = torch.logspace(-2, 2, 4 * options.per_decade + 1, dtype=torch.float64).tolist()
    fine = torch.logspace(-2, 2, 401, dtype=torch.float64).tolist()
    found = {}
    for name, variant in SWEPT.items():
        known = block(variant, 1.0)
        assert known is not None
        measured = []
        for weight in coarse:
            game, made = build(variant, 1.0, weight)
            measured.append(spectrum(game, equilibrium(1.0, options), penalties=made).eigenvalues.tolist())
        exact = [eigenvalues(variant.method or "", [known], weight) for weight in fine]
        found[name] = Branches(coarse, measured, fine, exact)
    return found


def run(options: Dirac, folder: Folder) -> list[Row]:
    """The galleries, the eigenvalues, the responses, and the undamped loop."""
    rows = [row for c in options.points for row in gallery(c, options, folder)]
    branches = sweep(options)
    for name, branch in branches.items():
        for weight, values in zip(branch.weights, branch.measured, strict=True):
            found = {"real": [v.real for v in values], "imag": [v.imag for v in values]}
            folder.log({"run": f"eigenvalues: {name}", "t": weight, "weight": weight, **found})
    folder.save(draw_branches(branches, "weight"), "eigenvalues")
    curves, response_rows = responses(options.lambdas, options.solver, options.device, options.response_steps)
    long, long_rows = undamped(options.long_steps, options.device)
    folder.save(figures.responses(curves, long), "responses")
    keys = list(rows[0])
    # The rows of a table have the same columns.
    rows += [{key: row.get(key) for key in keys} for row in (*response_rows, *long_rows)]
    for row in rows:
        folder.log({"run": f"{row['setting']}, c = {row['c']:g}", **row})
    return rows


def main(argv: Sequence[str] | None = None) -> int:
    """Run the experiment from the command line; return the exit code."""
    return runner.main(Dirac, run, argv)


if __name__ == "__main__":
    sys.exit(main())
