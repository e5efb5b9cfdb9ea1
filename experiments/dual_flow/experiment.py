"""The particle flow: a cloud under Wasserstein-2 against a discriminator in a kernel's RKHS, from a start inside one mode.

Targets: two modes, eight modes on a ring, and handwritten digits in two principal components. For Gaussian kernels of several
bandwidths and the energy distance, and for several time scales r of the discriminator: which modes are reached, MMD and |D|
over time, and animations. Beside it the same game in the parameters of a network, and an ordinary pair of networks. How well
the minimising-movement scheme follows the flow is measured by ``experiments.dual_flow_scheme``.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from tqdm.auto import tqdm

from experiments.dual_flow import figures, targets
from experiments.dual_flow.play import NETWORK, PAIR, PARTICLES, Path, Setting, solve
from experiments.dual_flow.targets import SPREAD
from experiments.framework import runner
from experiments.framework.runner import Folder, Options
from odegan import solvers
from odegan.metrics import energy_distance, mixture_scores
from odegan.training import options as arguments
from odegan.utils.checks import fail, number, whole

RADIUS = 3.0  # a particle is in a mode within this many of its standard deviations


@dataclass
class DualFlow(Options):
    """Targets, kernels, time scales and integration."""

    solver: str = "dopri5"
    """A name of odegan.solvers.names()."""
    step_size: float = 0.05
    """Length of a fixed step; adaptive solvers choose their own."""
    rtol: float = 1e-4
    """Relative tolerance of adaptive solvers."""
    atol: float = 1e-6
    """Absolute tolerance of adaptive solvers."""
    time: float = 100.0
    """How long the flow runs."""
    particles: int = 64
    """Points of the cloud."""
    data: int = 256
    """Points of a mixture; the digits are all of them."""
    bandwidths: tuple[float, ...] = (0.1, 0.3, 1.0, 3.0)
    """Of the Gaussian kernels; modes have standard deviation 0.1."""
    frequencies: int = 256
    """Random frequencies of a Gaussian kernel."""
    more_frequencies: tuple[int, ...] = (64, 1024)
    """Other numbers of frequencies that the ring is tried with at r = 1, to tell the kernel from its features."""
    ratios: tuple[float, ...] = (0.01, 0.1, 1.0, 10.0)
    """Time scales r of the discriminator; the generator's is 1."""
    network_ratios: tuple[float, ...] = (0.1, 1.0, 10.0)
    """The same for a network generator against the kernels' discriminators."""
    pair_ratios: tuple[float, ...] = (0.1, 1.0)
    """The same for a pair of networks, which is stiff at larger ones."""
    decay: float = 1.0
    """lambda of D' = m_data - m_mu - lambda D."""
    seeds: int = 3
    """Starts of each setting."""
    reports: int = 60
    """Moments reported, closer at the beginning; frames of the animations."""
    threads: int = 1
    """CPU threads."""

    def quick_form(self) -> DualFlow:
        """Few particles, features and settings, for a short time."""
        small: dict[str, Any] = {
            "particles": 8,
            "data": 16,
            "frequencies": 8,
            "more_frequencies": (4,),
            "seeds": 2,
            "reports": 4,
        }
        return replace(
            self, time=1.0, bandwidths=(1.0,), ratios=(1.0,), network_ratios=(1.0,), pair_ratios=(1.0,), **small
        )

    def check(self) -> None:
        """Refuse what no run can have."""
        for name in ("time", "step_size"):
            number(name, getattr(self, name), low=0.0, strict=True)
        number("decay", self.decay, low=0.0)
        for name in ("particles", "frequencies", "seeds", "reports", "threads"):
            whole(name, getattr(self, name), low=1)
        if whole("data", self.data, low=8) % 8:
            fail("data", self.data, "a multiple of 8, so that every mode has as many")
        for name in ("bandwidths", "ratios", "network_ratios", "pair_ratios", "more_frequencies"):
            for value in getattr(self, name):
                number(name, value, low=0.0, strict=True)
        if not self.bandwidths or 1.0 not in self.ratios:
            fail(
                "bandwidths, ratios",
                (self.bandwidths, self.ratios),
                "one bandwidth at least, and r = 1 among the ratios",
            )
        arguments.parse(**self.keywords())

    def keywords(self) -> dict[str, Any]:
        """The solver's, for ``odeint_gan``."""
        h = None if solvers.get(self.solver).adaptive else self.step_size
        return {"solver": self.solver, "step_size": h, "rtol": self.rtol, "atol": self.atol}


def settings(options: DualFlow) -> list[Setting]:
    """Everything that is run, in the table's order."""
    two, ring = (targets.circle(k, options.data, options.seed) for k in (2, 8))
    kernels: list[tuple[str, float | None, int | None]] = [
        *(("gaussian", bandwidth, options.frequencies) for bandwidth in options.bandwidths),
        ("energy distance", None, None),
    ]
    one, *_ = (r for r in options.ratios if r == 1.0)
    found = [
        Setting(target, PARTICLES, *kernel, r)
        for target, kernel, r in itertools.product((two, ring), kernels, options.ratios)
    ]
    found += [
        Setting(ring, PARTICLES, "gaussian", bandwidth, count, one)
        for bandwidth, count in itertools.product(options.bandwidths, options.more_frequencies)
    ]
    for target in (two, ring):
        found += [
            Setting(target, NETWORK, *kernel, r) for kernel, r in itertools.product(kernels, options.network_ratios)
        ]
        found += [Setting(target, PAIR, "network", None, None, r) for r in options.pair_ratios]
    return found + [Setting(targets.digits(), PARTICLES, *kernel, one) for kernel in kernels]


def reached(setting: Setting, points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(modes reached (...), share of particles in some mode (...)) of clouds (..., N, 2).

    A mode of K counts as reached when at least half of its due, 1 / (2 K) of the particles, is within 3 standard deviations.
    """
    modes = setting.target.modes
    assert modes is not None
    found = mixture_scores(points.flatten(0, -3), modes, SPREAD, radius=RADIUS, share=0.5 / len(modes))
    shape = points.shape[:-2]
    return found.modes_covered.reshape(shape), found.quality.reshape(shape)


def row(setting: Setting, path: Path) -> dict[str, Any]:
    """One line of the table: per start the modes at the end, the rest as means over the starts."""
    modes = share = first = None
    if setting.target.modes is not None:
        counts, shares = reached(setting, path.clouds)
        modes, share = " ".join(map(str, counts[-1].tolist())), float(shares[-1].mean())
        # The time from which on every mode is reached in every start.
        short = (counts < len(setting.target.modes)).any(1).nonzero()
        last = int(short[-1]) + 1 if len(short) else 0
        first = float(path.times[last]) if last < len(path.times) else None
    far = [energy_distance(points, setting.target.data) for points in path.clouds[-1]]
    known = setting.players != PAIR
    return {
        "target": setting.target.name,
        "players": setting.players,
        "kernel": setting.kernel,
        "bandwidth": setting.bandwidth,
        "frequencies": setting.frequencies,
        "r": setting.ratio,
        "modes reached": modes,
        "all from t": first,
        "share in modes": share,
        "MMD": float(path.mmd[-1].mean()) if known else None,
        "norm of D": float(path.norm[-1].mean()) if known else None,
        "energy distance": sum(far) / len(far),
    }


def run(options: DualFlow, folder: Folder) -> list[dict[str, Any]]:
    """Every setting, then the figures."""
    torch.set_num_threads(options.threads)
    every = settings(options)
    paths, rows = {}, []
    for setting in (bar := tqdm(every, disable=not options.progress)):
        bar.set_postfix_str(setting.label)
        path = solve(setting, options, folder)
        rows.append(row(setting, path))
        folder.log({"run": setting.label, **rows[-1]})
        for t, mmd, norm in zip(path.times.tolist(), path.mmd, path.norm, strict=True):
            folder.log({"run": setting.label, "t": t, "MMD": mmd, "norm of D": norm})
        if setting.ratio == 1.0 and setting.frequencies in (None, options.frequencies):
            paths[setting.target.name, setting.players, setting.discriminator] = path
    counted = [r for r in rows if r["frequencies"] in (None, options.frequencies) and r["modes reached"]]
    folder.save(figures.modes(counted), "modes")
    flows = {key: path for key, path in paths.items() if key[1] == PARTICLES}
    folder.save(figures.over_time(flows), "over_time")
    by_target = {setting.target.name: setting.target for setting in every}
    for name, target in by_target.items():
        chosen = {key[2]: path for key, path in flows.items() if key[0] == name}
        folder.animate(figures.film(target, chosen), name.replace(" ", "_"))
        folder.save(figures.moments(target, chosen), f"{name.replace(' ', '_')}_moments")
    return rows


def main(argv: Sequence[str] | None = None) -> int:
    """The command line."""
    return runner.main(DualFlow, run, argv)


if __name__ == "__main__":
    sys.exit(main())
