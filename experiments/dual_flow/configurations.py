"""What the particle-flow experiment runs: targets, players, kernels and time scales."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import torch

from experiments.dual_flow.options import DualFlow
from experiments.framework import particle_targets
from experiments.framework.particle_targets import Target
from odegan import Game

PARTICLES = "particles"
NETWORK = "network generator"
PAIR = "network pair"


class Configuration(NamedTuple):
    """One line of the table: who plays on which target, with which kernel (bandwidth None: energy distance), at which r."""

    target: Target
    players: str
    kernel: str
    bandwidth: float | None
    frequencies: int | None
    ratio: float

    @property
    def discriminator(self) -> str:
        """The kernel with its bandwidth, or the network."""
        return self.kernel if self.bandwidth is None else f"{self.kernel} {self.bandwidth:g}"

    @property
    def label(self) -> str:
        """What logs, progress and checkpoints call it."""
        features = "" if self.frequencies is None else f", {self.frequencies} frequencies"
        return f"{self.target.name}, {self.players}, {self.discriminator}{features}, r {self.ratio:g}"


class Path(NamedTuple):
    """One configuration's solution at its times (T,): states (T, E, P), clouds (T, E, N, 2), and (T, E) of MMD and |D|."""

    game: Game
    times: torch.Tensor
    states: torch.Tensor
    clouds: torch.Tensor
    mmd: torch.Tensor
    norm: torch.Tensor


# Name, bandwidth and number of frequencies; the energy distance has neither.
Kernel = tuple[str, float | None, int | None]
ENERGY: Kernel = ("energy distance", None, None)


def configurations(options: DualFlow) -> list[Configuration]:
    """Everything that is run, in the table's order."""
    mixtures = [particle_targets.circle(modes, options.data, options.seed) for modes in (2, 8)]
    kernels: list[Kernel] = [*(("gaussian", width, options.frequencies) for width in options.bandwidths), ENERGY]
    found = [
        Configuration(target, PARTICLES, *kernel, ratio)
        for target, kernel, ratio in itertools.product(mixtures, kernels, options.ratios)
    ]
    found += [
        Configuration(mixtures[-1], PARTICLES, "gaussian", width, count, 1.0)
        for width, count in itertools.product(options.bandwidths, options.more_frequencies)
    ]
    for target in mixtures:
        found += [
            Configuration(target, NETWORK, *kernel, ratio)
            for kernel, ratio in itertools.product(kernels, options.network_ratios)
        ]
        # Without a kernel: here a network is the discriminator, so MMD and |D| are not known.
        found += [Configuration(target, PAIR, "network", None, None, ratio) for ratio in options.pair_ratios]
    return found + [Configuration(particle_targets.digits(), PARTICLES, *kernel, 1.0) for kernel in kernels]
