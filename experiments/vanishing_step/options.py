"""The command line of the vanishing step."""

from __future__ import annotations

from dataclasses import dataclass, replace

from experiments.framework.options import Options
from odegan.utils.checks import argument_error, check_int, check_number


@dataclass
class VanishingStep(Options):
    """The horizon, the steps, and the ensembles."""

    time: float = 2.0
    """T, the horizon."""
    counts: tuple[int, ...] = (64, 128, 256, 512)
    """Numbers of steps over T without noise; each divides the last."""
    noise_counts: tuple[int, ...] = (16, 32, 64, 128, 256)
    """Numbers of steps over T with minibatches; each divides the last, and is a multiple of the first."""
    noise_steps: int = 64
    """Steps over T where the batch size varies."""
    batch_size: int = 32
    """B where the step varies."""
    batch_sizes: tuple[int, ...] = (8, 16, 32, 64, 128)
    """The batch sizes where these vary."""
    large_batch: int = 512
    """B of the distance to the flow, where the error of the step shall show beside the noise."""
    members: int = 256
    """Independent runs of each ensemble."""
    shift_sizes: tuple[int, ...] = (4, 8, 16, 32)
    """The batch sizes of the penalties' shift of the field; multiples of 4."""
    batches: int = 200_000
    """Minibatches over which that is averaged."""

    def quick_form(self) -> VanishingStep:
        """Half the time, two steps, two batch sizes, few members."""
        return replace(
            self,
            time=1.0,
            counts=(8, 16),
            noise_counts=(4, 8),
            noise_steps=4,
            batch_size=8,
            batch_sizes=(8, 16),
            shift_sizes=(4, 8),
            large_batch=64,
            members=8,
            batches=1000,
        )

    def check(self) -> None:
        """Refuse steps that do not share their times, and batches that do not divide."""
        check_number("time", self.time, low=0.0, strict=True)
        for name in ("noise_steps", "batch_size", "large_batch", "batches"):
            check_int(name, getattr(self, name), low=1)
        check_int("members", self.members, low=2)
        for name in ("counts", "noise_counts", "batch_sizes", "shift_sizes"):
            values = getattr(self, name)
            for value in values:
                check_int(name, value, low=1)
            if len(values) < 2 or list(values) != sorted(set(values)):
                argument_error(name, values, "at least two increasing numbers")
        if any(self.counts[-1] % count for count in self.counts):
            argument_error("counts", self.counts, "such that each divides the last")
        if any(count % self.noise_counts[0] for count in self.noise_counts):
            argument_error("noise_counts", self.noise_counts, "multiples of the first")
        if any(size % 4 for size in self.shift_sizes):
            argument_error("shift_sizes", self.shift_sizes, "multiples of 4")
