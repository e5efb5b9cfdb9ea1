"""``Options``: the checked arguments of a run, and what follows from them."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from odegan import solvers
from odegan.field.schedules import Schedule, in_steps
from odegan.field.training_field import Penalty
from odegan.solvers import baselines
from odegan.solvers.rates import Rates
from odegan.training.time_grid import StepLength, to_float
from odegan.utils.checks import argument_error, check_number
from odegan.utils.distributed import Ranks

MOST = 1e12  # steps of a run: at a microsecond each, eleven days
SHORTEST = 1e-6  # part of a run's length: a step size that is a function of time and falls below it goes nowhere

Tolerance = float | torch.Tensor  # a tensor: one number, or one per parameter
StepSize = float | torch.Tensor | Schedule | Callable[[float], float]


def check_length(step_size: StepSize | None, length: float) -> None:
    """Refuse a number as step size with which a length of time would practically never end."""
    if step_size is None or callable(step_size):
        return
    steps = length / to_float(step_size)
    if steps > MOST:
        argument_error("step_size", step_size, f"larger: a length of time of {length:g} would take {steps:.3g} steps")


@dataclass(frozen=True)
class Options:
    """The arguments that ``odeint_gan`` and ``Stepper`` share, checked; made by ``odegan.training.arguments.parse``."""

    solver: solvers.Solver
    step_size: StepSize | None
    refresh: float | str | None
    rates: Rates
    penalties: tuple[Penalty, ...]
    placement: str
    players: str
    rtol: Tolerance
    atol: Tolerance
    clip: float | None
    solver_options: dict[str, Any] = field(default_factory=dict)
    compile: bool | str = False
    micro_batch: int | None = None
    ranks: Ranks | None = None
    checkpoint_steps: int | None = None  # refresh intervals whose graph is made again in the backward pass
    horizon: float = 0.0  # a run's length in time, where its end is one
    steps: int | None = None  # a run's length in refresh intervals, where it is given so
    projects: bool = False  # whether the game has a projection: the caller, who knows the game, says so

    def step_at(self, t: float, number: int) -> StepLength:
        """The size of the step of this number, from time t: a number, or the tensor that was given."""
        assert self.step_size is not None
        if not callable(self.step_size):
            return self.step_size
        counted = in_steps(self.step_size)
        h = self.step_size(number if counted else t)
        where = f"step {number}" if counted else f"t = {t:g}"
        check_number(f"step_size at {where}", h, low=0.0, strict=True)
        # In steps the run's length is a number of steps, which a small step size reaches too.
        if not counted and to_float(h) < SHORTEST * self.horizon:
            argument_error(
                f"step_size at {where}",
                h,
                f"at least {SHORTEST:g} of the run's length {self.horizon:g}, whose end it would hardly reach; a schedule that "
                "falls to zero goes in steps: odegan.schedules with unit='steps', and steps=... instead of t",
            )
        # One of shape (1,) would raise the state's dtype and add a dimension to what it multiplies.
        return h.reshape(()) if isinstance(h, torch.Tensor) else h

    @property
    def counts_steps(self) -> bool:
        """Whether a rate or a penalty's weight is a schedule in steps."""
        return any(in_steps(value) for value in [*self.rates, *(getattr(p, "weight", None) for p in self.penalties)])

    @property
    def field_rates(self) -> Rates:
        """The rates within the field. A baseline multiplies its step by them instead, since Adam's rule would cancel them."""
        return (1.0, 1.0) if self.solver.name in solvers.BASELINES else self.rates

    @functools.cached_property
    def stages(self) -> int:
        """The number of minibatches that one refresh interval reads."""
        if self.refresh != "stage":
            return 1
        name = self.solver.name
        return (
            baselines.stages(name, self.solver_options) if name in solvers.BASELINES else int(self.solver.stages or 1)
        )

    def penalties_act(self, placement: str) -> bool:
        """Whether there are penalties that act at this placement."""
        return bool(self.penalties) and self.placement == placement

    @functools.cached_property
    def evaluations(self) -> int:
        """Field evaluations of one fixed step: of both players, or of the one evaluated most often."""
        name = self.solver.name
        if name in solvers.BASELINES:
            return baselines.evaluations(name, self.solver_options)
        return int(self.solver.stages or 1)

    @functools.cached_property
    def several_steps(self) -> bool:
        """Whether a refresh interval holds more than one fixed step."""
        return isinstance(self.refresh, int | float) and self.refresh != math.inf

    @property
    def remembers(self) -> bool:
        """Whether a penalty keeps samples between steps."""
        return any(getattr(penalty, "replay", None) is not None for penalty in self.penalties)

    def one_call(self, has_data: bool) -> bool:
        """Whether the whole run is one call of torchdiffeq's solver on one smooth field."""
        plain = self.players == "joint" and (self.placement == "field" or not self.penalties)
        plain = plain and not self.remembers and not self.projects and not self.counts_steps
        plain = plain and self.checkpoint_steps is None
        still = self.refresh == math.inf or (not has_data and self.refresh is None)
        return self.solver.torchdiffeq and plain and still
