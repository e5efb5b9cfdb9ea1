"""Does GAN training approach the edge of stability: for which solvers, batches and penalties, and along which eigenvalue?

The mixture of 16 Gaussians is trained with a fixed step by several solvers, with a penalty in the field or without, on fresh
minibatches, on small ones, and on a single one; the digits are trained by some of them, and Fashion-MNIST by Euler's method. At
several times the field is linearized on one minibatch, which gives the largest step that is stable for this solver, the
eigenvalue that limits it, and the discriminator's share of its eigenvector. For RMSProp and Adam, the field is divided by the
root of the running mean of squares, which is held fixed; Adam's momentum enters its region of stability.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence

import torch

from experiments.edge import figures
from experiments.edge.linearized import LOST, Found, limit, packed, unpacked
from experiments.edge.optimizers import MOMENTUM, Scales
from experiments.edge.options import SETTINGS, Edge, Setting
from experiments.edge.problems import PROBLEMS
from experiments.framework import mixture, runner
from experiments.framework.endings import finished
from experiments.framework.folder import Folder, Row, file_name
from experiments.framework.progress import shown
from odegan import Batch, Game, Solution, odeint_gan
from odegan.data.minibatches import Minibatches
from odegan.utils import checkpoint

APART = 1000  # the seeds of the minibatches on which the field is linearized, from those of the training


def run(options: Edge, folder: Folder) -> list[Row]:
    """All settings, one after the other."""
    found = {}
    for name in (name for name in SETTINGS if name in options.settings):
        found[name] = measure(name, options, folder)
        log(name, found[name], folder)
    folder.save(figures.along(found), "along")
    folder.save(figures.eigenvalues(found), "eigenvalues")
    return [row(name, one) for name, one in found.items()]


def measure(name: str, options: Edge, folder: Folder) -> Found:
    """Train, and linearize at the moments, except at those that an interrupted run has finished."""
    setting = SETTINGS[name]
    game = PROBLEMS[setting.problem].game()
    solution, scales = train(game, name, options, folder)
    optimizer = setting.solver in MOMENTUM
    # Optimizers have no mean squares at their start.
    first = 1 if optimizer else 0
    path = folder.own(f"linearized/{file_name(name)}.pt")
    limits = unpacked(checkpoint.load(path)["limits"]) if path.exists() else []
    for i in shown(range(first + len(limits), len(solution.ys)), f"{name}: linearize", options.progress):
        row = []
        for member, y in enumerate(solution.ys[i].cpu().double()):
            if not y.isfinite().all():
                row.append(LOST)
                continue
            batch = minibatch(setting, options, member, y)
            scale = scales.kept[i - 1][member].cpu() if optimizer else None
            row.append(limit(game, y, batch, setting.penalties, setting.solver, options.k, scale))
        limits.append(row)
        checkpoint.save(path, {"limits": packed(limits)})
    # Of moments that no member reached.
    limits += [[LOST] * options.seeds] * (len(options.counts) - first - len(limits))
    return Found(setting.solver, setting.step_size, options.counts[first:], limits)


def train(game: Game, name: str, options: Edge, folder: Folder) -> tuple[Solution, Scales]:
    """Train one setting, or take it from its checkpoint."""
    setting = SETTINGS[name]
    problem = PROBLEMS[setting.problem]
    times = options.counts * setting.step_size
    scales = Scales(times.tolist())
    solution = odeint_gan(
        game,
        mixture.starting_points(game, options.seed, options.seeds).to(options.device),
        times,
        data=problem.data(),
        latent=problem.latent,
        batch_size=setting.batch_size or options.batch_size,
        solver=setting.solver,
        step_size=setting.step_size,
        refresh=None if setting.fresh else math.inf,
        penalties=setting.penalties,
        placement="field",
        seed=options.seed,
        checkpoint=folder.checkpoint(name),
        callback=scales,
        on_nonfinite="stop",
        progress=name if options.progress else False,
    )
    return finished(solution), scales


def minibatch(setting: Setting, options: Edge, member: int, y: torch.Tensor) -> Batch:
    """The one that is trained on where it is a single one, else another than those."""
    seed = options.seed + member + APART * setting.fresh
    problem = PROBLEMS[setting.problem]
    samples = min(options.batch_size, problem.samples or options.batch_size)
    return Minibatches(problem.data(), problem.latent, samples, seed, y)(0)


def log(name: str, found: Found, folder: Folder) -> None:
    """Log what limits the step at every moment of one setting, for all members."""
    for count, limits in zip(found.counts.tolist(), found.limits, strict=True):
        columns = {
            "largest step": [one.step for one in limits],
            "real part": [one.eigenvalue.real for one in limits],
            "imaginary part": [one.eigenvalue.imag for one in limits],
            "discriminator's share": [one.share for one in limits],
            "growing": [one.growing for one in limits],
        }
        folder.log({"run": name, "step": int(count), "h": found.h, **columns})


def row(name: str, found: Found) -> Row:
    """At the first moment (the start, except for optimizers), over the second half, and what sets the limit there."""
    limits = [one for moment in found.late for one in moment]
    ratios = found.h / torch.tensor([one.step for one in limits], dtype=torch.float64)
    # Of states at which every eigenvalue grows, none sets a limit.
    limited = [one for one in limits if math.isfinite(one.step)]
    return {
        "setting": name,
        "h": found.h,
        "h / largest step, first": mixture.spread(found.ratios[0]),
        "h / largest step, second half": mixture.spread(ratios),
        "largest, second half": float(ratios.max()) if limits else math.nan,
        "above 1, second half": float((ratios > 1).double().mean()) if limits else math.nan,
        "h modulus, second half": mixture.spread(torch.tensor([found.h * abs(one.eigenvalue) for one in limited])),
        "real": sum(one.real for one in limited) / len(limited) if limited else math.nan,
        "discriminator's share": mixture.spread(torch.tensor([one.share for one in limited])),
        "linearized": len(limits),
        "diverged": f"{sum(math.isnan(one.step) for one in found.limits[-1])} of {len(found.limits[-1])}",
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Run the experiment from the command line; return the exit code."""
    return runner.main(Edge, run, argv)


if __name__ == "__main__":
    sys.exit(main())
