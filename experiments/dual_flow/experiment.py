"""The particle flow: a cloud under Wasserstein-2 against a discriminator in a kernel's RKHS, from a start inside one mode.

Targets: two modes, eight modes on a ring, and handwritten digits in two principal components. For Gaussian kernels of several
bandwidths and the energy distance, and for several time scales r of the discriminator: which modes are reached, MMD and |D|
over time, and animations. Beside it the same game in the parameters of a network, and an ordinary pair of networks. How well
the minimizing-movement scheme follows the flow is measured by ``experiments.dual_flow_scheme``.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import torch
from einops import rearrange

from experiments.dual_flow import figures
from experiments.dual_flow.configurations import PAIR, PARTICLES, Configuration, Path, configurations
from experiments.dual_flow.options import DualFlow
from experiments.dual_flow.play import solve
from experiments.framework import runner
from experiments.framework.folder import Folder, Row
from experiments.framework.particle_targets import SPREAD
from experiments.framework.progress import shown
from odegan.metrics import energy_distance, mixture_scores

RADIUS = 3.0  # a particle is in a mode within this many of its standard deviations


def reached(configuration: Configuration, clouds: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(modes reached (T, E), share of particles in some mode (T, E)) of clouds (T, E, N, 2).

    A mode of K counts as reached when at least half of its due, 1 / (2 K) of the particles, is within 3 standard deviations.
    """
    modes = configuration.target.modes
    assert modes is not None
    flat = rearrange(clouds, "time start point xy -> (time start) point xy")
    found = mixture_scores(flat, modes, SPREAD, radius=RADIUS, share=0.5 / len(modes))
    by_time = "(time start) -> time start"
    times = len(clouds)
    return rearrange(found.modes_covered, by_time, time=times), rearrange(found.quality, by_time, time=times)


def row(configuration: Configuration, path: Path) -> Row:
    """One line of the table: per start the modes at the end, the rest as means over the starts."""
    modes: str | None = None
    share: float | None = None
    first: float | None = None
    if configuration.target.modes is not None:
        counts, shares = reached(configuration, path.clouds)
        modes = " ".join(map(str, counts[-1].tolist()))
        share = float(shares[-1].mean())
        # The time from which on every mode is reached in every start.
        short = (counts < len(configuration.target.modes)).any(1).nonzero()
        # From the last time that falls short: a mode may be lost again after it was reached.
        last = int(short[-1]) + 1 if len(short) else 0
        first = float(path.times[last]) if last < len(path.times) else None
    far = [energy_distance(points, configuration.target.data) for points in path.clouds[-1]]
    known = configuration.players != PAIR
    return {
        "target": configuration.target.name,
        "players": configuration.players,
        "kernel": configuration.kernel,
        "bandwidth": configuration.bandwidth,
        "frequencies": configuration.frequencies,
        "r": configuration.ratio,
        "modes reached": modes,
        "all from t": first,
        "share in modes": share,
        "MMD": float(path.mmd[-1].mean()) if known else None,
        "norm of D": float(path.norm[-1].mean()) if known else None,
        "energy distance": sum(far) / len(far),
    }


def run(options: DualFlow, folder: Folder) -> list[Row]:
    """Every configuration, then the figures."""
    torch.set_num_threads(options.threads)
    paths: dict[tuple[str, str, str], Path] = {}
    rows: list[Row] = []
    for configuration in shown(configurations(options), "configurations", options.progress):
        path = solve(configuration, options, folder)
        rows.append(row(configuration, path))
        folder.log({"run": configuration.label, **rows[-1]})
        for t, mmd, norm in zip(path.times.tolist(), path.mmd, path.norm, strict=True):
            folder.log({"run": configuration.label, "t": t, "MMD": mmd, "norm of D": norm})
        # Figures show r = 1 and the default number of features; the table has the rest.
        if configuration.ratio == 1.0 and configuration.frequencies in (None, options.frequencies):
            paths[configuration.target.name, configuration.players, configuration.discriminator] = path
    counted = [r for r in rows if r["frequencies"] in (None, options.frequencies) and r["modes reached"]]
    folder.save(figures.modes(counted), "modes")
    flows = {key: path for key, path in paths.items() if key[1] == PARTICLES}
    folder.save(figures.over_time(flows), "over_time")
    for target in {
        configuration.target.name: configuration.target for configuration in configurations(options)
    }.values():
        chosen = {kernel: path for (name, _, kernel), path in flows.items() if name == target.name}
        name = target.name.replace(" ", "_")
        folder.animate(figures.film(target, chosen), name)
        folder.save(figures.moments(target, chosen), f"{name}_moments")
    return rows


def main(argv: Sequence[str] | None = None) -> int:
    """Run the experiment from the command line; return the exit code."""
    return runner.main(DualFlow, run, argv)


if __name__ == "__main__":
    sys.exit(main())
