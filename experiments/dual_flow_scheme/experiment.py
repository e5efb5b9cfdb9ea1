"""The minimizing-movement scheme on particles against the particle flow, as the scheme's step tau goes to 0.

Each step of the scheme solves, for the cloud, a proximal problem in the Wasserstein-2 distance, and for the discriminator one
in its RKHS; the flow is integrated by dopri5 at tight tolerance. Compared at fixed times: the exact Wasserstein-2 distance
of the two clouds, and |D - D'|. The expected slope on log-log axes is 1.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Sequence
from typing import NamedTuple

import torch

from experiments.dual_flow_scheme.figures import errors_over_tau
from experiments.dual_flow_scheme.options import Scheme
from experiments.framework import particle_targets, runner
from experiments.framework.endings import finished
from experiments.framework.folder import Folder, Row
from experiments.framework.power_laws import fit_power_law
from experiments.framework.progress import shown
from odegan import odeint_gan
from odegan.flows import ParticleGame, minimizing_movement, particle_game
from odegan.metrics import wasserstein2

ORDERS = ("simultaneous", "discriminator_first", "generator_first")
KERNELS = {"gaussian 1": particle_targets.gaussian(1.0, 64), "energy distance": particle_targets.energy}


class Errors(NamedTuple):
    """Of the scheme with the step tau, at each time: the W2 distance of the clouds, and |D - D'|."""

    tau: float
    distances: list[float]
    norms: list[float]


def compare(
    game: ParticleGame, order: str, options: Scheme, reference: torch.Tensor, start: torch.Tensor
) -> list[Errors]:
    """The errors of every step against the reference (T, P)."""
    found = []
    for tau in options.taus:
        # Rounded: the times are multiples of every tau, which binary fractions only approximate.
        steps = round(options.times[-1] / tau)
        scheme = minimizing_movement(game, start, tau, steps, order=order, tolerance=options.tolerance).ys
        states = scheme[[round(t / tau) for t in options.times]]
        pairs = list(zip(states, reference, strict=True))
        distances = [wasserstein2(game.particles(y), game.particles(z)) for y, z in pairs]
        found.append(Errors(tau, distances, [float((y - z)[: game.n_disc].norm()) for y, z in pairs]))
    return found


def flow(game: ParticleGame, start: torch.Tensor, options: Scheme) -> torch.Tensor:
    """The reference at the times, (T, P)."""
    times = torch.tensor((0.0, *options.times), dtype=torch.float64)
    # Ten times tighter than the scheme's inner problems, so that differences are the scheme's.
    tight = options.tolerance / 10
    # The solver stops at every compared time: otherwise its interpolation would be the error.
    stops = {"step_t": times[1:].to(start)}
    return finished(odeint_gan(game, start, times, solver="dopri5", rtol=tight, atol=tight, options=stops)).ys[1:]


def row(kernel: str, order: str, t: float, distances: Sequence[float], norms: Sequence[float], options: Scheme) -> Row:
    """One line of the table, from both errors at one time for every tau."""
    return {
        "kernel": kernel,
        "order": order,
        "t": t,
        **{f"W2, tau {tau:g}": distance for tau, distance in zip(options.taus, distances, strict=True)},
        "slope of W2": fit_power_law(options.taus, distances).slope,
        "slope of |D - D'|": fit_power_law(options.taus, norms).slope,
    }


def run(options: Scheme, folder: Folder) -> list[Row]:
    """Run the scheme for every kernel and order."""
    torch.set_num_threads(options.threads)
    target = particle_targets.circle(2, options.data, options.seed)
    rows: list[Row] = []
    for name, order in shown(list(itertools.product(KERNELS, ORDERS)), "kernels and orders", options.progress):
        features = KERNELS[name](target, options.seed)
        game = particle_game(target.data, features, options.particles, options.decay, target.start)
        start = game.init(seed=options.seed).to(options.device)
        found = compare(game, order, options, flow(game, start, options), start)
        for k, t in enumerate(options.times):
            norms = [errors.norms[k] for errors in found]
            rows.append(row(name, order, t, [errors.distances[k] for errors in found], norms, options))
            folder.log({"run": f"{name}, {order}", **rows[-1], "|D - D'|": norms})
    folder.save(errors_over_tau(rows, options), "errors")
    return rows


def main(argv: Sequence[str] | None = None) -> int:
    """Run the experiment from the command line; return the exit code."""
    return runner.main(Scheme, run, argv)


if __name__ == "__main__":
    sys.exit(main())
