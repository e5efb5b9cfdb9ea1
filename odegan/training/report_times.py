"""When a run reports: given as times, or as a number of refresh intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from odegan.training.options import MOST, Options
from odegan.training.time_grid import StepCounter, next_step
from odegan.utils.checks import argument_error, check_int


def report_times(
    options: Options, t: torch.Tensor | Sequence[float] | None, steps: int | None, report_every: int | None
) -> list[float]:
    """The times that a run reports, the first of which is its start; exactly one of t and steps is given."""
    if (t is None) == (steps is None):
        argument_error(
            "t, steps", "neither" if t is None else "both", "one of them: times to report, or a number of steps"
        )
    if steps is None:
        if report_every is not None:
            argument_error("report_every", report_every, "left out if t is given")
        return as_times(t)
    steps = check_int("steps", steps, low=1)
    if steps > MOST:
        argument_error("steps", steps, f"at most {MOST:g}")
    every = steps if report_every is None else check_int("report_every", report_every, low=1)
    # To the bit as the run itself will count them, so that each is reported without interpolation.
    ends = interval_ends(options, steps)
    return [0.0, *(end for i, end in enumerate(ends, 1) if i % every == 0 or i == steps)]


def interval_ends(options: Options, steps: int) -> list[float]:
    """The ends of the first refresh intervals of a run from t = 0, bitwise as the run counts them."""
    refresh = options.refresh
    if isinstance(refresh, int | float) and refresh != math.inf:
        # Products, not sums: i h is rounded once.
        return [i * float(refresh) for i in range(1, steps + 1)]
    if options.solver.adaptive or options.step_size is None:
        argument_error(
            "steps",
            steps,
            "given with refresh=..., the time of one, within which "
            f"{options.solver.name} chooses its own steps; or give t instead",
        )
    ends: list[float] = []
    t = 0.0
    counter = StepCounter(0.0, 0, math.nan)
    for number in range(steps):
        step = next_step(counter, t, options.step_at(t, number), math.inf)
        t = step.end
        counter = step.counter
        ends.append(t)
    return ends


def as_times(t: torch.Tensor | Sequence[float] | None) -> list[float]:
    """The times to report, checked, as plain numbers."""
    if isinstance(t, torch.Tensor) and t.dtype == torch.float32:
        # 0.2 means 0.2: not 0.200000003, whose last 3e-9 would be one more step.
        short = [float(str(x)) for x in t.detach().cpu().flatten().numpy()]
        t = torch.tensor(short, dtype=torch.float64).reshape(t.shape)
    if isinstance(t, torch.Tensor) and t.is_complex():
        argument_error("t", t, "real")
    try:
        times = torch.as_tensor(t, dtype=torch.float64).detach().cpu()
    except (TypeError, ValueError, RuntimeError):
        argument_error("t", t, "a 1-D tensor of increasing times")
    if times.ndim == 0:
        argument_error("t", t, "a 1-D tensor of increasing times; for a number of steps give steps=...")
    if times.ndim != 1 or len(times) < 2 or not torch.isfinite(times).all() or not (times[1:] > times[:-1]).all():
        argument_error(
            "t", t if times.numel() > 8 else times.tolist(), "a 1-D tensor of at least two increasing finite times"
        )
    return times.tolist()
