"""The minimising-movement scheme on particles against the particle flow, as the scheme's step tau goes to 0.

Each step of the scheme solves, for the cloud, a proximal problem in the Wasserstein-2 distance, and for the discriminator one
in its RKHS; the flow is integrated by dopri5 at tight tolerance. Compared at fixed times: the exact Wasserstein-2 distance
of the two clouds, and |D - D'|. The expected slope on log-log axes is 1.
"""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from tqdm.auto import tqdm

from experiments.dual_flow import targets
from experiments.framework import runner
from experiments.framework.runner import Folder, Options, finished
from odegan import odeint_gan, plots
from odegan.flows import ParticleGame, minimizing_movement, particle_game
from odegan.metrics import wasserstein2
from odegan.utils.checks import fail, number, whole

ORDERS = ("simultaneous", "discriminator_first", "generator_first")
KERNELS = {"gaussian 1": targets.gaussian(1.0, 64), "energy distance": targets.energy}


@dataclass
class Scheme(Options):
    """The clouds, the steps and the times of the comparison."""

    particles: int = 16
    """Points of the cloud; the target is the two modes."""
    data: int = 64
    """Points of the target."""
    times: tuple[float, ...] = (1.0, 2.0, 4.0)
    """Moments of the comparison."""
    taus: tuple[float, ...] = (0.2, 0.1, 0.05, 0.025)
    """Steps of the scheme; each must divide every time."""
    decay: float = 1.0
    """lambda of D' = m_data - m_mu - lambda D."""
    tolerance: float = 1e-8
    """Of the inner problems and, over 10, of the reference."""
    threads: int = 1
    """CPU threads."""

    def quick_form(self) -> Scheme:
        """Four particles, two steps, one time."""
        return replace(self, particles=4, data=16, times=(0.4,), taus=(0.2, 0.1))

    def check(self) -> None:
        """Refuse what cannot be compared."""
        for name in ("particles", "data", "threads"):
            whole(name, getattr(self, name), low=1)
        number("tolerance", self.tolerance, low=0.0, strict=True)
        if len(self.taus) < 2 or not self.times or list(self.times) != sorted(set(self.times)):
            fail("times, taus", (self.times, self.taus), "increasing times, and two steps at least")
        for t, tau in itertools.product(self.times, self.taus):
            if not math.isclose(t / number("taus", tau, low=0.0, strict=True), round(t / tau)):
                fail("taus", tau, f"a divisor of every time, {t:g} too")


def slope(taus: Sequence[float], errors: Sequence[float]) -> float:
    """Of log error on log tau, by least squares.

    >>> round(slope([0.1, 0.2, 0.4], [0.01, 0.04, 0.16]), 6)
    2.0
    """
    return float(np.polyfit(np.log(taus), np.log(errors), 1)[0])


def compare(game: ParticleGame, order: str, options: Scheme, reference: torch.Tensor, start: torch.Tensor) -> list[Any]:
    """(tau, W2 at each time, |D - D'| at each time) for every step."""
    found = []
    for tau in options.taus:
        steps = round(options.times[-1] / tau)
        scheme = minimizing_movement(game, start, tau, steps, order=order, tolerance=options.tolerance).ys
        states = scheme[[round(t / tau) for t in options.times]]
        pairs = list(zip(states, reference, strict=True))
        w2 = [wasserstein2(game.particles(y), game.particles(z)) for y, z in pairs]
        found.append((tau, w2, [float((y - z)[: game.n_disc].norm()) for y, z in pairs]))
    return found


def flow(game: ParticleGame, start: torch.Tensor, options: Scheme) -> torch.Tensor:
    """The reference at the times, (T, P)."""
    times = torch.tensor((0.0, *options.times), dtype=torch.float64)
    tight = options.tolerance / 10
    # The solver stops at every compared time: otherwise its interpolation would be the error.
    stops = {"step_t": times[1:].to(start)}
    return finished(odeint_gan(game, start, times, solver="dopri5", rtol=tight, atol=tight, options=stops)).ys[1:]


def run(options: Scheme, folder: Folder) -> list[dict[str, Any]]:
    """Every kernel and order."""
    torch.set_num_threads(options.threads)
    target = targets.circle(2, options.data, options.seed)
    rows: list[dict[str, Any]] = []
    for name, order in tqdm(list(itertools.product(KERNELS, ORDERS)), disable=not options.progress):
        phi = KERNELS[name](target, options.seed)
        game = particle_game(target.data, phi, options.particles, options.decay, target.start)
        start = game.init(seed=options.seed).to(options.device)
        found = compare(game, order, options, flow(game, start, options), start)
        taus, distances, apart = zip(*found, strict=True)
        for k, t in enumerate(options.times):
            errors, norms = [w2[k] for w2 in distances], [norm[k] for norm in apart]
            row: dict[str, Any] = {"kernel": name, "order": order, "t": t}
            row |= {f"W2, tau {tau:g}": error for tau, error in zip(taus, errors, strict=True)}
            row |= {"slope of W2": slope(taus, errors), "slope of |D - D'|": slope(taus, norms)}
            rows.append(row)
            folder.log({"run": f"{name}, {order}", **row, "|D - D'|": norms})
    folder.save(errors_over_tau(rows, options), "errors")
    return rows


def errors_over_tau(rows: Sequence[Mapping[str, Any]], options: Scheme) -> Figure:
    """W2 at the last time over tau, a panel a kernel, beside slope 1."""
    last = [row for row in rows if row["t"] == options.times[-1]]
    with plots.style():
        figure = Figure(figsize=(7.6, 3.4), layout="constrained")
        panels = figure.subplots(1, len(KERNELS), sharey=True)
        for axes, kernel in zip(panels, KERNELS, strict=True):
            for row, marker in zip([row for row in last if row["kernel"] == kernel], "osv", strict=True):
                errors = [row[f"W2, tau {tau:g}"] for tau in options.taus]
                label = f"{row['order'].replace('_', ' ')}, slope {row['slope of W2']:.3f}"
                axes.plot(options.taus, errors, marker=marker, markersize=5, fillstyle="none", label=label)
            guide = [0.5 * errors[0] * tau / options.taus[0] for tau in options.taus]
            axes.plot(options.taus, guide, ":", color=plots.PALETTE[-1], linewidth=1.0, label="slope 1")
            axes.set(title=f"{kernel}, t = {options.times[-1]:g}", xscale="log", yscale="log", xlabel="step tau")
            axes.set_xticks(options.taus, [f"{tau:g}" for tau in options.taus])
            axes.minorticks_off()
            axes.grid(axis="y")
            axes.legend(fontsize="small")
        panels[0].set_ylabel("W2 between scheme and flow")
    return figure


def main(argv: Sequence[str] | None = None) -> int:
    """The command line."""
    return runner.main(Scheme, run, argv)


if __name__ == "__main__":
    sys.exit(main())
