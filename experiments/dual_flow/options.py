"""The command line of the particle flow."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from experiments.framework.options import Options
from odegan import solvers
from odegan.training.arguments import parse
from odegan.utils.checks import argument_error, check_int, check_number


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
    """Duration of the flow."""
    particles: int = 64
    """Points of the cloud."""
    data: int = 256
    """Number of points of each mixture; the digits are always all 1,797."""
    bandwidths: tuple[float, ...] = (0.1, 0.3, 1.0, 3.0)
    """Bandwidths of the Gaussian kernels; modes have standard deviation 0.1."""
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
    """Number of starts of each configuration."""
    reports: int = 60
    """Number of reports, denser at the beginning; also the frames of the animations."""
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
            check_number(name, getattr(self, name), low=0.0, strict=True)
        check_number("decay", self.decay, low=0.0)
        for name in ("particles", "frequencies", "seeds", "reports", "threads"):
            check_int(name, getattr(self, name), low=1)
        if check_int("data", self.data, low=8) % 8:
            argument_error("data", self.data, "a multiple of 8, so that every mode has as many")
        for name in ("bandwidths", "ratios", "network_ratios", "pair_ratios", "more_frequencies"):
            for value in getattr(self, name):
                check_number(name, value, low=0.0, strict=True)
        if 1.0 not in self.ratios:
            argument_error("ratios", self.ratios, "a list with r = 1 among the ratios")
        parse(**self.keywords())

    def keywords(self) -> dict[str, Any]:
        """The solver's arguments of ``odeint_gan``."""
        h = None if solvers.get(self.solver).adaptive else self.step_size
        return {"solver": self.solver, "step_size": h, "rtol": self.rtol, "atol": self.atol}
