"""Ensembles of minibatch runs, and their distances from the end of the noiseless sequence."""

from __future__ import annotations

import torch
from einops import repeat

from experiments.framework.endings import finished
from experiments.framework.folder import Folder
from experiments.framework.power_laws import Mean
from experiments.vanishing_step.deterministic import noiseless
from experiments.vanishing_step.findings import SQUARE
from experiments.vanishing_step.options import VanishingStep
from experiments.vanishing_step.problems import Problem
from odegan import odeint_gan
from odegan.utils.random_streams import stream_seed

Refresh = float | str | None  # as ``odeint_gan`` takes it


def ends(
    problem: Problem,
    solver: str,
    steps: int,
    batch_size: int,
    options: VanishingStep,
    folder: Folder,
    refresh: Refresh = None,
) -> torch.Tensor:
    """Last states (members, P) of independent minibatch runs; the members of no two ensembles share a minibatch."""
    kind = refresh if isinstance(refresh, str) else "step" if refresh is None else f"{refresh:g}"
    label = f"{problem.name}_{solver}_{steps}_{batch_size}_{kind}"
    return finished(
        odeint_gan(
            problem.sampled,
            repeat(problem.y0, "p -> members p", members=options.members),
            torch.tensor([0.0, options.time], dtype=torch.float64),
            data=problem.data,
            latent=problem.latent,
            batch_size=batch_size,
            solver=solver,
            step_size=options.time / steps,
            refresh=refresh,
            # Seeds from the label, not seed + e: ensembles that shared minibatches would not be independent.
            seed=[stream_seed(options.seed, label, member) for member in range(options.members)],
            progress=label if options.progress else False,
            checkpoint=folder.checkpoint(label),
        )
    ).y


def deviation(found: torch.Tensor, at: torch.Tensor) -> Mean:
    """Mean square distance of the states (members, P) from one state."""
    return Mean.of(((found - at) ** 2).sum(1))


def measure(
    problem: Problem,
    solver: str,
    steps: int,
    batch_size: int,
    options: VanishingStep,
    folder: Folder,
    refresh: Refresh = None,
) -> Mean:
    """Mean square deviation at T from the noiseless sequence."""
    found = ends(problem, solver, steps, batch_size, options, folder, refresh)
    measured = deviation(found, noiseless(problem, solver, steps, options)[-1])
    about = {"run": f"{problem.name}, {solver}, B {batch_size}, refresh {refresh}", "step": steps}
    folder.log(about | {SQUARE: measured.value, "standard error": measured.error})
    return measured
