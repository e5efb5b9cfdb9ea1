"""The command line of the minimizing-movement scheme on particles."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace

from experiments.framework.options import Options
from odegan.utils.checks import argument_error, check_int, check_number


@dataclass
class Scheme(Options):
    """The clouds, the steps and the times of the comparison."""

    particles: int = 16
    """Points of the cloud; the target is the two modes."""
    data: int = 64
    """Points of the target."""
    times: tuple[float, ...] = (1.0, 2.0, 4.0)
    """Times of the comparison."""
    taus: tuple[float, ...] = (0.2, 0.1, 0.05, 0.025)
    """Steps of the scheme; each must divide every time."""
    decay: float = 1.0
    """lambda of D' = m_data - m_mu - lambda D."""
    tolerance: float = 1e-8
    """Tolerance of the inner problems; the reference has a tenth of it."""
    threads: int = 1
    """CPU threads."""

    def quick_form(self) -> Scheme:
        """Four particles, two steps, one time."""
        return replace(self, particles=4, data=16, times=(0.4,), taus=(0.2, 0.1))

    def check(self) -> None:
        """Refuse what cannot be compared."""
        for name in ("particles", "data", "threads"):
            check_int(name, getattr(self, name), low=1)
        check_number("tolerance", self.tolerance, low=0.0, strict=True)
        if len(self.taus) < 2 or not self.times or list(self.times) != sorted(set(self.times)):
            argument_error("times, taus", (self.times, self.taus), "increasing times, and two steps at least")
        for t, tau in itertools.product(self.times, self.taus):
            if not math.isclose(t / check_number("taus", tau, low=0.0, strict=True), round(t / tau)):
                argument_error("taus", tau, f"a divisor of every time, {t:g} too")
